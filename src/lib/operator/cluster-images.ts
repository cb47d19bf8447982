// Which images a cluster runs, as its journal and the bundles on this computer tell.
import { FlynnError, isFlynnError } from '../api/errors.js';
import { canonicalJson } from '../api/template.js';
import { openBundle, type ImageBundle, type ImageManifest } from './images.js';
import type { ClusterJournal } from './journal.js';

/** The images of a cluster. Without a bundle they are on its hosts only. */
export interface ClusterImages {
  manifest: ImageManifest;
  bundle?: ImageBundle;
}

/** The images that the cluster runs, and the bundle that holds them where there is one. Throws `missing` or `conflict`. */
export async function imagesOf(journal: ClusterJournal, given: string | undefined): Promise<ClusterImages> {
  const bundle = given === undefined ? await formerBundle(journal) : await openBundle(given);
  const { images } = journal;
  if (!images && !bundle) {
    throw new FlynnError({
      code: 'missing',
      message: `this computer does not know the images of the cluster ${journal.name}`,
      hint: 'give the bundle that it was made from with --images',
    });
  }
  if (images && bundle && canonicalJson(images) !== canonicalJson(bundle.manifest)) {
    // The bundle of a former bootstrap that was built anew since; the hosts have what it held.
    if (given === undefined) return { manifest: images };
    throw new FlynnError({
      code: 'conflict',
      message: `${given} holds other images than the cluster ${journal.name} runs`,
      hint: 'leave out --images: they are fetched from the cluster',
    });
  }
  if (images) return { manifest: images, ...(bundle ? { bundle } : {}) };
  return { manifest: (bundle as ImageBundle).manifest, ...(bundle ? { bundle } : {}) };
}

async function formerBundle(journal: ClusterJournal): Promise<ImageBundle | undefined> {
  if (journal.bundle === undefined) return undefined;
  try {
    return await openBundle(journal.bundle);
  } catch (error) {
    if (isFlynnError(error, 'missing') || isFlynnError(error, 'invalid')) return undefined;
    throw error;
  }
}

// Images built on a host and kept on this computer, so that every further host gets the very same ones.
import { join } from 'node:path';
import type { Docker } from '../docker/port.js';
import { packageRoot } from '../util/package-root.js';
import { splitBundle } from '../util/pem.js';
import { openBundle, type ImageBundle, type ImageManifest } from './images.js';

const bundleFile = (home: string): string => join(home, 'images.tar.gz');

/** A bundle, and whether it is another one than before. */
export interface FetchedBundle {
  bundle: ImageBundle;
  changed: boolean;
}

/** Brings images that an engine has here, unless they lie here already. */
export async function fetchBundle(
  docker: Docker,
  manifest: ImageManifest,
  home: string,
  progress: (text: string) => void,
): Promise<FetchedBundle> {
  const { saveBundle } = await import('./system-images.js');
  const file = bundleFile(home);
  progress('bringing the images here');
  const changed = await saveBundle(docker, manifest, file);
  return { bundle: await openBundle(file), changed };
}

/** Builds what the engine lacks, trusting the authorities of the PEM text `trust`, and brings the bundle here, unless the same one lies here already. */
export async function buildBundle(
  docker: Docker,
  home: string,
  trust: string,
  progress: (text: string) => void,
  signal: AbortSignal,
): Promise<FetchedBundle> {
  const { buildSystemImages } = await import('./system-images.js');
  const manifest = await buildSystemImages(docker, {
    root: packageRoot(),
    trust: splitBundle(trust),
    onProgress: progress,
    signal,
  });
  return fetchBundle(docker, manifest, home, progress);
}

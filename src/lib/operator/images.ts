// The appliances' images: a bundle on this computer, and how it gets to hosts that lack it.
import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { z } from 'zod';
import { FlynnError, isFlynnError } from '../api/errors.js';
import type { Docker } from '../docker/port.js';

/** Which image each appliance runs from, and the id that each reference must have. */
export const ImageManifest = z.object({
  images: z.record(z.string(), z.string()),
  ids: z.record(z.string(), z.string()),
});
export type ImageManifest = z.infer<typeof ImageManifest>;

/** A `docker save` archive with its manifest. */
export interface ImageBundle {
  tar: string;
  bytes: number;
  manifest: ImageManifest;
}

/** Appliances that a cluster cannot start without. */
const needed = ['etcd', 'host'];

/** Manifest that belongs to a bundle: `images.tar.gz` has `images.json` beside it. */
export function manifestPath(tar: string): string {
  return `${tar.replace(/\.tar(\.gz)?$/, '')}.json`;
}

/** Opens a bundle: the archive at `tar` and its manifest beside it. Throws `missing` or `invalid`, naming the file. */
export async function openBundle(tar: string): Promise<ImageBundle> {
  const list = manifestPath(tar);
  const text = await readFile(list, 'utf8').catch((cause: unknown) => {
    throw new FlynnError({
      code: 'missing',
      message: `${list} cannot be read: it says what is in ${tar}`,
      hint: 'give --images the archive in the directory it was made in',
      cause,
    });
  });
  const bytes = await stat(tar).then(
    (found) => found.size,
    (cause: unknown) => {
      throw new FlynnError({ code: 'missing', message: `the image bundle ${tar} cannot be read`, cause });
    },
  );
  const parsed = ImageManifest.safeParse(JSON.parse(text));
  const absent = parsed.success ? needed.filter((name) => parsed.data.images[name] === undefined) : needed;
  if (!parsed.success || absent.length > 0) {
    throw new FlynnError({ code: 'invalid', message: `${list} names no image for ${absent.join(', ')}` });
  }
  return { tar, bytes, manifest: parsed.data };
}

/** References of the manifest that the engine does not have under the same id. */
export async function missingImages(docker: Docker, manifest: ImageManifest): Promise<string[]> {
  const refs = [...new Set(Object.values(manifest.images))];
  const found = await Promise.all(
    refs.map(async (ref) => {
      try {
        const id = manifest.ids[ref];
        const { id: there } = await docker.images.inspect(ref);
        return id === undefined || there === id ? [] : [ref];
      } catch (error) {
        if (isFlynnError(error, 'image_missing')) return [ref];
        throw error;
      }
    }),
  );
  return found.flat();
}

/** Streams the bundle into an engine and checks what arrived. `progress` gets whole percents, rising. */
export async function loadBundle(
  docker: Docker,
  bundle: ImageBundle,
  progress: (percent: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const stream = createReadStream(bundle.tar, { highWaterMark: 256 * 1024 });
  let sent = 0;
  let shown = 0;
  stream.on('data', (chunk) => {
    sent += chunk.length;
    const percent = Math.floor((sent / bundle.bytes) * 100);
    if (percent >= shown + 25) progress((shown = percent));
  });
  // A listener for data starts the flow before anybody reads.
  stream.pause();
  await docker.images.load(stream, { signal });
  const missing = await missingImages(docker, bundle.manifest);
  if (missing.length > 0) {
    throw new FlynnError({
      code: 'image_missing',
      message: `${bundle.tar} does not hold ${missing.join(', ')} as its manifest says`,
      hint: 'make the bundle again',
    });
  }
}

// Images built on a host and kept on this computer, so that every further host gets the very same ones.
import { join } from 'node:path';
import type { Docker } from '../docker/port.js';
import { packageRoot } from '../util/package-root.js';
import { openBundle, type ImageBundle } from './images.js';

/** Builds what the engine lacks and brings the bundle here, unless the same one lies here already. */
export async function buildBundle(
  docker: Docker,
  home: string,
  progress: (text: string) => void,
  signal: AbortSignal,
): Promise<ImageBundle> {
  const { buildSystemImages, saveBundle } = await import('./system-images.js');
  const manifest = await buildSystemImages(docker, { root: packageRoot(), onProgress: progress, signal });
  const file = join(home, 'images.tar.gz');
  progress('bringing the images here');
  await saveBundle(docker, manifest, file);
  return openBundle(file);
}

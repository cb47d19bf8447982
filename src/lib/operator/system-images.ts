// The recipe of the appliances' images: what is built from what, named by content, with any Docker engine.
import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { pack } from 'tar-stream';
import { FlynnError, isFlynnError } from '../api/errors.js';
import type { Docker } from '../docker/port.js';
import { trusting, type Files } from './image-trust.js';
import { manifestPath, openBundle, type ImageManifest } from './images.js';

/** One image: its folder below `templates/images`, what it is built on, and which appliances run from it. */
interface Recipe {
  name: string;
  base?: string;
  /** What the build context holds beside the image's own folder: the appliances' bundle, the buildpacks. */
  context?: 'bundle' | 'buildpacks';
  appliances: string[];
}

/** In the order of building. */
const recipes: readonly Recipe[] = [
  { name: 'base', appliances: [] },
  { name: 'etcd', appliances: ['etcd'] },
  { name: 'registry', appliances: ['registry'] },
  { name: 'slugrunner', base: 'base', appliances: ['slugrunner'] },
  { name: 'git', base: 'base', appliances: [] },
  { name: 'slugbuilder', base: 'git', context: 'buildpacks', appliances: ['slugbuilder'] },
  { name: 'flynn', base: 'base', context: 'bundle', appliances: ['host', 'sampi', 'controller', 'seed'] },
  { name: 'gateway', base: 'git', context: 'bundle', appliances: ['gateway'] },
  { name: 'dns', base: 'base', appliances: ['dns'] },
  { name: 'router', base: 'base', context: 'bundle', appliances: ['router'] },
];

export interface BuildImagesOptions {
  /** Folder of the package: holds `templates/images` and `dist/appliance`. */
  root: string;
  /** PEM certificates of authorities that the images trust beside the usual ones, while they are built and after. */
  trust?: readonly string[];
  onProgress?: (text: string) => void;
  signal?: AbortSignal;
}

/**
 * Builds what is not there yet and returns the names. Images are named by a hash of all that goes into them,
 * so an image that exists is the right one. Throws `missing` when the bundle was not built.
 */
export async function buildSystemImages(docker: Docker, options: BuildImagesOptions): Promise<ImageManifest> {
  const contexts = {
    bundle: await readTree(join(options.root, 'dist', 'appliance')),
    buildpacks: await readTree(join(options.root, 'templates', 'buildpacks')),
  };
  if (contexts.bundle.size === 0) {
    throw new FlynnError({ code: 'missing', message: 'the appliances are not built', hint: 'npm run build' });
  }
  const refs: Record<string, string> = {};
  const manifest: ImageManifest = { images: {}, ids: {} };
  for (const recipe of recipes) {
    const own = await readTree(join(options.root, 'templates', 'images', recipe.name));
    // What an image is built on hands its authorities down.
    const files = recipe.base ? own : trusting(own, options.trust ?? []);
    const context = recipe.context;
    if (context) for (const [path, content] of contexts[context]) files.set(`${context}/${path}`, content);
    const base = recipe.base ? refs[recipe.base] : undefined;
    const ref = `flynn/${recipe.name}:${hashOf(files, base)}`;
    refs[recipe.name] = ref;
    const id = (await idOf(docker, ref)) ?? (await build(docker, ref, files, base, options));
    for (const appliance of recipe.appliances) {
      manifest.images[appliance] = ref;
      manifest.ids[ref] = id;
    }
  }
  return manifest;
}

async function build(
  docker: Docker,
  ref: string,
  files: Files,
  base: string | undefined,
  options: BuildImagesOptions,
): Promise<string> {
  options.onProgress?.(`building ${ref}`);
  const context = pack();
  for (const [name, content] of files)
    context.entry({ name, mode: name.endsWith('.sh') ? 0o755 : 0o644 }, content);
  context.finalize();
  return docker.images.build(Readable.from(context), {
    tags: [ref],
    ...(base ? { buildArgs: { BASE: base } } : {}),
    labels: { 'flynn.system': 'image' },
    timeoutMs: 900_000,
    ...(options.signal ? { signal: options.signal } : {}),
  });
}

async function idOf(docker: Docker, ref: string): Promise<string | undefined> {
  try {
    return (await docker.images.inspect(ref)).id;
  } catch (error) {
    if (isFlynnError(error, 'image_missing')) return undefined;
    throw error;
  }
}

function hashOf(files: Files, base: string | undefined): string {
  const hash = createHash('sha256').update(base ?? '');
  for (const [path, content] of [...files].sort(([a], [b]) => (a < b ? -1 : 1))) {
    hash.update(`\0${path}\0${content.length}\0`).update(content);
  }
  return hash.digest('hex').slice(0, 12);
}

async function readTree(root: string): Promise<Files> {
  const files: Files = new Map();
  const found = await readdir(root, { recursive: true, withFileTypes: true }).catch(() => []);
  for (const entry of found) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    files.set(relative(root, path), await readFile(path));
  }
  return files;
}

/** Writes images and manifest to `file` (`.tar`, or `.tar.gz`) unless they lie there already. Returns true when it wrote. */
export async function saveBundle(docker: Docker, manifest: ImageManifest, file: string): Promise<boolean> {
  const there = await openBundle(file).catch(() => undefined);
  if (there && JSON.stringify(there.manifest) === JSON.stringify(manifest)) return false;
  await mkdir(dirname(file), { recursive: true });
  const part = `${file}.part`;
  const tar = await docker.images.save(Object.keys(manifest.ids));
  // Level 1: the network of a laptop is slower than this, and a better level costs ten times the time.
  if (file.endsWith('.gz')) await pipeline(tar, createGzip({ level: 1 }), createWriteStream(part));
  else await pipeline(tar, createWriteStream(part));
  await rename(part, file);
  await writeFile(manifestPath(file), JSON.stringify(manifest, null, 2));
  return true;
}

// Images on the machine's engine: built from a context, saved to a bundle, and the lab host's own.
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { FlynnError } from '../api/errors.js';
import { docker, dockerAny, imageId } from './docker-cli.js';
import { templatesDir } from './paths.js';
import type { LabReport } from './types.js';

/** How to build an image. */
export interface BuildOptions {
  /** Path of the Dockerfile; `Dockerfile` in the context when left out. */
  dockerfile?: string;
  /** Stage to stop at. */
  target?: string;
  buildArgs?: Record<string, string>;
  labels?: Record<string, string>;
  /** Milliseconds; 15 minutes when left out. */
  timeoutMs?: number;
  /** Told each line of the build. */
  onLine?: (line: string) => void;
  signal?: AbortSignal;
}

const pairs = (flag: string, values: Record<string, string> = {}): string[] =>
  Object.entries(values).flatMap(([key, value]) => [flag, `${key}=${value}`]);

/** Builds `contextDir` on the machine's engine as `tag` and returns the image's id. Throws `build_failed`. */
export const buildImage = async (
  contextDir: string,
  tag: string,
  opts: BuildOptions = {},
): Promise<string> => {
  const args = [
    ...['build', '-t', tag, ...(opts.dockerfile ? ['-f', opts.dockerfile] : [])],
    ...(opts.target ? ['--target', opts.target] : []),
    ...pairs('--build-arg', opts.buildArgs),
    ...pairs('--label', opts.labels),
    contextDir,
  ];
  const { signal, onLine, timeoutMs = 900_000 } = opts;
  try {
    await docker(args, { timeoutMs, signal, onLine });
  } catch (cause) {
    if (!(cause instanceof FlynnError) || cause.code !== 'failed') throw cause;
    throw new FlynnError({ code: 'build_failed', message: `image ${tag}: ${cause.message}`, cause });
  }
  const id = await imageId(tag, signal);
  if (!id) throw new FlynnError({ code: 'build_failed', message: `image ${tag} is absent after its build` });
  return id;
};

/**
 * Saves images to one tar file that `docker load` reads, unless the file already holds exactly these.
 * Returns whether it was written. Throws `not_found` for a tag that is not on the machine's engine.
 */
export const saveImages = async (
  tags: readonly string[],
  file: string,
  opts: { report?: LabReport; signal?: AbortSignal } = {},
): Promise<boolean> => {
  const ids: Record<string, string> = {};
  for (const tag of tags) {
    const id = await imageId(tag, opts.signal);
    if (!id)
      throw new FlynnError({ code: 'not_found', message: `image ${tag} is not on this machine's engine` });
    ids[tag] = id;
  }
  const want = JSON.stringify(ids);
  const record = `${file}.ids`;
  const [have, there] = await Promise.all([
    readFile(record, 'utf8').catch(() => ''),
    readdir(dirname(file)).then(
      (names) => names.some((name) => join(dirname(file), name) === file),
      () => false,
    ),
  ]);
  if (there && have === want) return false;
  opts.report?.({ code: 'image.save', message: `saving ${tags.length} images to ${file}` });
  await mkdir(dirname(file), { recursive: true });
  await rm(record, { force: true });
  const part = `${file}.${process.pid}.part`;
  try {
    await docker(['save', '-o', part, ...tags], { timeoutMs: 600_000, signal: opts.signal });
    await rename(part, file);
  } finally {
    await rm(part, { force: true });
  }
  await writeFile(record, want);
  return true;
};

const hashOf = async (dir: string, ...extra: string[]): Promise<string> => {
  const hash = createHash('sha256');
  for (const name of (await readdir(dir)).toSorted()) {
    hash.update(`${name}\0`).update(await readFile(join(dir, name)));
  }
  for (const text of extra) hash.update(`\0${text}`);
  return hash.digest('hex').slice(0, 12);
};

/** Removes the images that an earlier state of the templates left; one that a lab still uses stays. */
const removeOthers = async (tag: string, signal?: AbortSignal): Promise<void> => {
  const [name = ''] = tag.split(':');
  const tags = await docker(['images', '--format', '{{.Repository}}:{{.Tag}}', name], { signal });
  for (const other of tags.split('\n')) {
    if (other && other !== tag) await dockerAny(['rmi', other], { signal });
  }
};

/** Tag of the lab host's image, made when its templates or its base have changed. */
export const ensureHostImage = async (
  bare: boolean,
  baseId: string,
  report: LabReport,
  signal?: AbortSignal,
): Promise<string> => {
  const dir = templatesDir();
  const tag = `flynn-lab-host${bare ? '-bare' : ''}:${await hashOf(dir, baseId)}`;
  if (await imageId(tag, signal)) return tag;
  report({ code: 'image.build', message: `building the lab host image ${tag}` });
  await buildImage(dir, tag, { target: bare ? 'bare' : 'host', signal });
  await removeOthers(tag, signal);
  return tag;
};

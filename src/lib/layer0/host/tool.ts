// The directory that jobs see as /.flynn: sdutil with a Node to run it, brought to the host once per version.
import { createHash } from 'node:crypto';
import { chmod, constants, copyFile, mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { FlynnError } from '../../api/errors.js';

/** What the directory is made of. */
export interface ToolSource {
  /** Folder with `sdutil` and `sdutil.cjs`. */
  dir: string;
  /** A Node that runs where there is glibc. */
  node: string;
}

const files = ['sdutil', 'sdutil.cjs'] as const;
/** Directories kept: jobs of the version before may run on. */
const kept = 2;

/**
 * Makes the directory below `root` unless it is there, and returns it. Its name tells its content, and it is put there
 * whole. Throws `missing` when there is nothing to make it of.
 */
export const bringTool = async (root: string, source: ToolSource): Promise<string> => {
  const hash = createHash('sha256').update(process.version);
  try {
    for (const name of files) hash.update(await readFile(join(source.dir, name)));
    hash.update(String((await stat(source.node)).size));
  } catch (cause) {
    throw new FlynnError({
      code: 'missing',
      message: `sdutil is not part of this agent's image: ${source.dir}`,
      hint: 'npm run build',
      cause,
    });
  }
  const dir = join(root, hash.digest('hex').slice(0, 12));
  if (await isThere(dir)) return dir;
  const part = `${dir}.part`;
  await rm(part, { recursive: true, force: true });
  await mkdir(part, { recursive: true, mode: 0o755 });
  for (const name of files) await copyFile(join(source.dir, name), join(part, name));
  await copyFile(source.node, join(part, 'node'), constants.COPYFILE_FICLONE);
  for (const name of ['sdutil', 'node']) await chmod(join(part, name), 0o755);
  await chmod(join(part, 'sdutil.cjs'), 0o644);
  await chmod(part, 0o755);
  await rename(part, dir);
  await forgetOld(root, dir);
  return dir;
};

const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

const forgetOld = async (root: string, present: string): Promise<void> => {
  const names = (await readdir(root)).map((name) => join(root, name)).filter((path) => path !== present);
  const dated = await Promise.all(names.map(async (path) => ({ path, at: (await stat(path)).mtimeMs })));
  dated.sort((a, b) => b.at - a.at);
  await Promise.all(dated.slice(kept - 1).map(({ path }) => rm(path, { recursive: true, force: true })));
};

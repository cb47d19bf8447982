// Small file helpers of this room: optional files and the wildcards of `Include`.
import { readdir, readFile } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { matchesPattern } from './patterns.js';

const absent = new Set<unknown>(['ENOENT', 'ENOTDIR']);

/** True when an error says that a file or a folder is not there. */
export const isAbsent = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && absent.has(error.code);

/** A file's text, undefined when it does not exist. Throws what else goes wrong. */
export const readOptional = async (path: string): Promise<string | undefined> => {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
};

const names = async (folder: string): Promise<string[]> => {
  try {
    return (await readdir(folder)).sort();
  } catch (error) {
    if (isAbsent(error)) return [];
    throw error;
  }
};

/** Paths that match an absolute pattern with `*` and `?` in any of its parts, in order of name. Parts without wildcards are not looked up. */
export const findFiles = async (pattern: string): Promise<string[]> => {
  let found: string[] = [sep];
  for (const part of pattern.split(sep).filter((word) => word !== '')) {
    const next: string[] = [];
    for (const folder of found) {
      if (!/[*?]/.test(part)) next.push(join(folder, part));
      else {
        for (const name of await names(folder)) {
          if (!name.startsWith('.') && matchesPattern(part, name)) next.push(join(folder, name));
        }
      }
    }
    found = next;
  }
  return found;
};

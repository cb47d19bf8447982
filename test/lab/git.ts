// The ordinary git client in a folder of the test's own, as nobody in particular.
import { cp, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expect } from 'vitest';
import { command, type CliOptions, type Finished } from './grid.js';

const who = {
  GIT_AUTHOR_NAME: 'Ada',
  GIT_AUTHOR_EMAIL: 'ada@example.com',
  GIT_COMMITTER_NAME: 'Ada',
  GIT_COMMITTER_EMAIL: 'ada@example.com',
  GIT_TERMINAL_PROMPT: '0',
};

/** Runs git in a folder; the result whatever the exit code. */
export function git(cwd: string, args: string[], options: CliOptions = {}): Promise<Finished> {
  return command('git', args, { timeoutMs: 180_000, ...options, cwd, env: { ...who, ...options.env } });
}

/** Commits everything in a work tree. */
export async function commitAll(cwd: string, message: string): Promise<void> {
  for (const args of [
    ['add', '-A'],
    ['commit', '-qm', message],
  ]) {
    const done = await git(cwd, args);
    expect(done.code, done.stderr).toBe(0);
  }
}

/** A new work tree with one commit on main: of a folder's files, or of files by path. */
export async function workTree(
  dir: string,
  source: string | Readonly<Record<string, string | Buffer>>,
): Promise<void> {
  if (typeof source === 'string') await cp(source, dir, { recursive: true });
  else {
    for (const [path, content] of Object.entries(source)) {
      await mkdir(dirname(join(dir, path)), { recursive: true });
      await writeFile(join(dir, path), content);
    }
  }
  await git(dir, ['init', '-q', '-b', 'main']);
  await commitAll(dir, 'first');
}

// The source of a commit: its size, and the whole of it as a tar stream, straight from git.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { FlynnError } from '../../../api/errors.js';
import { gitEnv, gitSettings } from './run.js';

/** What to archive. */
export interface ArchiveOptions {
  /** Path of the bare repository. */
  repo: string;
  commit: string;
  /** Environment under which the commit can be seen. */
  objects: Readonly<Record<string, string>>;
}

/** Bytes of all files of the commit, without tar's headers. Throws `failed` when git cannot tell. */
export async function sourceBytes({ repo, commit, objects }: ArchiveOptions): Promise<number> {
  const child = spawn('git', [...gitSettings(), 'ls-tree', '-r', '-l', `${commit}^{commit}`], {
    cwd: repo,
    env: gitEnv({ GIT_DIR: repo, ...objects }),
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const ended = once(child, 'close') as Promise<[number | null]>;
  let bytes = 0;
  // MODE TYPE HASH SIZE, a tab, the path; a submodule has `-` for its size.
  for await (const line of createInterface({ input: child.stdout })) {
    bytes += Number(/^\S+ \S+ \S+ +(\d+)\t/.exec(line)?.[1] ?? 0);
  }
  const [code] = await ended;
  if (code === 0) return bytes;
  throw new FlynnError({
    code: 'failed',
    message: `the source of ${commit.slice(0, 12)} cannot be read: git ended with ${code}`,
    hint: 'git push flynn main   (again)',
  });
}

/** The tar. Throws `failed` when git cannot make it; whoever stops reading ends git. */
export async function* archive({ repo, commit, objects }: ArchiveOptions): AsyncGenerator<Buffer> {
  const child = spawn('git', [...gitSettings(), 'archive', '--format=tar', `${commit}^{commit}`], {
    cwd: repo,
    env: gitEnv({ GIT_DIR: repo, ...objects }),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => (said = (said + chunk.toString()).slice(-2_000)));
  const ended = once(child, 'close') as Promise<[number | null]>;
  // Looked at below, unless the reader stops before.
  ended.catch(() => undefined);
  try {
    for await (const chunk of child.stdout as AsyncIterable<Buffer>) yield chunk;
    const [code] = await ended;
    if (code === 0) return;
    throw new FlynnError({
      code: 'failed',
      message: `the source of ${commit.slice(0, 12)} cannot be read: ${said.trim() || `git ended with ${code}`}`,
    });
  } finally {
    child.kill('SIGKILL');
  }
}

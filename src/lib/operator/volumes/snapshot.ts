// The content of a volume to a file or a stream, and from one: whole, or not under its name.
import { createReadStream, createWriteStream } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { resolve } from 'node:path';
import { Transform, type Readable, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { FlynnError } from '../../api/errors.js';

/** Throws `usage` where a tar would land on a screen, or in the middle of a JSON document. */
export function checkTarget(file: string | undefined, out: { tty: boolean; json: boolean }): void {
  if (file !== undefined || (!out.tty && !out.json)) return;
  throw new FlynnError({
    code: 'usage',
    message: 'a snapshot is a tar, and would go to where text belongs',
    hint: 'flynn volumes:snapshot VOLUME --output FILE',
  });
}

/** Writes it and returns its size. A file appears under its name when all of it is there. */
export async function snapshotTo(
  tar: Readable,
  file: string | undefined,
  { stdout, cwd }: { stdout: Writable; cwd: string },
  signal: AbortSignal,
): Promise<{ bytes: number }> {
  let bytes = 0;
  const count = new Transform({
    transform: (chunk: Buffer, _encoding, done) => {
      bytes += chunk.length;
      done(null, chunk);
    },
  });
  if (file === undefined) {
    await pipeline(tar, count, stdout, { signal, end: false });
    return { bytes };
  }
  const path = resolve(cwd, file);
  const part = `${path}.part`;
  try {
    await pipeline(tar, count, createWriteStream(part), { signal });
    await rename(part, path);
  } catch (cause) {
    await rm(part, { force: true });
    if (signal.aborted) throw cause;
    throw new FlynnError({
      code: 'failed',
      message: `${file} could not be written: ${cause instanceof Error ? cause.message : String(cause)}`,
      hint: 'flynn volumes:snapshot VOLUME --output FILE',
      cause,
    });
  }
  return { bytes };
}

/** Opens a tar file; throws `usage` when it cannot be read. */
export async function tarFrom(file: string, cwd: string): Promise<Readable> {
  const path = resolve(cwd, file);
  try {
    // A stream would fail only once somebody reads it.
    await (await open(path, 'r')).close();
    return createReadStream(path);
  } catch (cause) {
    throw new FlynnError({
      code: 'usage',
      message: `${file} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`,
      hint: 'flynn volumes:restore VOLUME --host HOST --input FILE',
      cause,
    });
  }
}

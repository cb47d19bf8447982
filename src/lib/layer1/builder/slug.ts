// The builder's output as a stream: one line of JSON, then the slug; hashed on its way to the registry.
import { createHash } from 'node:crypto';
import { createGunzip } from 'node:zlib';
import { z } from 'zod';
import { FlynnError } from '../../api/errors.js';

/** What the builder says of the slug. */
export const SlugHeader = z.object({
  buildpack: z.string().max(200),
  processes: z.record(z.string(), z.string().max(10_000)),
});
export type SlugHeader = z.infer<typeof SlugHeader>;

const maxHeader = 1024 * 1024;

/** Splits the first line off a byte stream. `rest` must be read to its end. Throws `build_failed` when it ends before. */
export async function splitHeader(
  stream: AsyncIterable<Buffer>,
): Promise<{ header: SlugHeader; rest: AsyncIterable<Buffer> }> {
  const chunks = stream[Symbol.asyncIterator]();
  let head: Buffer = Buffer.alloc(0);
  for (;;) {
    const end = head.indexOf(10);
    if (end >= 0) {
      const header = SlugHeader.parse(JSON.parse(head.toString('utf8', 0, end)));
      return { header, rest: remaining(head.subarray(end + 1), chunks) };
    }
    if (head.length > maxHeader)
      throw new FlynnError({ code: 'build_failed', message: 'the builder answered out of shape' });
    const next = await chunks.next();
    if (next.done) throw new FlynnError({ code: 'build_failed', message: 'the build ended without a slug' });
    head = Buffer.concat([head, next.value]);
  }
}

async function* remaining(first: Buffer, chunks: AsyncIterator<Buffer>): AsyncGenerator<Buffer> {
  if (first.length > 0) yield first;
  for (;;) {
    const next = await chunks.next();
    if (next.done) return;
    yield next.value;
  }
}

/** Passes a gzip stream through and reckons the digest of what is inside; `diffId()` may be asked once it was read whole. */
export function withDiffId(stream: AsyncIterable<Buffer>): {
  stream: AsyncIterable<Buffer>;
  diffId: () => Promise<string>;
} {
  const hash = createHash('sha256');
  const gunzip = createGunzip();
  const inside = new Promise<string>((resolve, reject) => {
    gunzip.on('data', (chunk: Buffer) => hash.update(chunk));
    gunzip.once('end', () => resolve(`sha256:${hash.digest('hex')}`));
    gunzip.once('error', (cause) =>
      reject(new FlynnError({ code: 'build_failed', message: 'the slug arrived damaged', cause })),
    );
  });
  // Whoever asks gets the failure; nobody asking must not end the process.
  inside.catch(() => undefined);
  const through = async function* () {
    for await (const chunk of stream) {
      if (!gunzip.write(chunk)) await drained(gunzip);
      yield chunk;
    }
    gunzip.end();
  };
  return { stream: through(), diffId: () => inside };
}

function drained(gunzip: ReturnType<typeof createGunzip>): Promise<void> {
  if (gunzip.destroyed || gunzip.errored) return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      gunzip.off('drain', done);
      gunzip.off('close', done);
      resolve();
    };
    gunzip.once('drain', done);
    gunzip.once('close', done);
  });
}

// What goes into a build and what comes out of it, kept within bounds.
import { frame, type Frame } from '../../api/attach.js';
import { FlynnError, isFlynnError } from '../../api/errors.js';
import type { AttachedJob } from '../builder/build.js';

const MiB = 1024 * 1024;
/** Bytes of output without the end of a line that are gathered. */
const lineBytes = 8_192;

/** The source, counted; what goes wrong with it is told at once, since nobody else can end the builder. */
export async function* boundedSource(
  source: AsyncIterable<Buffer>,
  max: number,
  fail: (error: unknown) => void,
): AsyncGenerator<Buffer> {
  let size = 0;
  try {
    for await (const chunk of source) {
      size += chunk.length;
      if (size > max)
        throw new FlynnError({
          code: 'too_large',
          message: `the source has more than ${Math.floor(max / MiB)} MiB`,
          hint: 'leave large files out with .gitignore, or deploy an image: flynn deploy --image IMAGE',
        });
      yield chunk;
    }
  } catch (error) {
    fail(
      isFlynnError(error)
        ? error
        : new FlynnError({ code: 'interrupted', message: 'the source did not arrive whole', cause: error }),
    );
    throw error;
  }
}

/** The same job, with line feeds put into output that never ends a line: nobody gathers more than 8 KiB of it. */
export function brokenLines(job: AttachedJob): AttachedJob {
  const frames = async function* (): AsyncGenerator<Frame> {
    let open = 0;
    for await (const one of job.frames) {
      yield one;
      if (one.type !== frame.stderr) continue;
      const last = one.payload.lastIndexOf(10);
      open = last < 0 ? open + one.payload.length : one.payload.length - last - 1;
      if (open <= lineBytes) continue;
      open = 0;
      yield { type: frame.stderr, payload: Buffer.from('\n') };
    }
  };
  return {
    job: job.job,
    host: job.host,
    write: (chunk) => job.write(chunk),
    end: () => job.end(),
    frames: frames(),
    close: () => job.close(),
  };
}

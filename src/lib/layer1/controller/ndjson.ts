// Streams of JSON lines: written no faster than they are read, with a blank line as a sign of life every 5 s.
import { codedError } from '../../appliance/server.js';
import type { Clock } from '../../util/clock.js';

/** Where a producer writes its lines. */
export interface LineSink {
  /** Writes one value as a line; resolves when there is room for the next. Does nothing once the reader is gone. */
  write(value: unknown): Promise<void>;
  /** Aborted when the reader is gone, or the process stops. */
  readonly signal: AbortSignal;
}

/** Bytes that may wait for a slow reader. */
const buffered = 256 * 1024;
const heartbeatMs = 5_000;

/**
 * An answer whose lines `produce` writes; it ends when that is done. What it throws becomes a last line `{error}`.
 * A slow reader makes `write` wait: nothing is buffered beyond 256 KiB and one line.
 */
export function ndjson(
  clock: Clock,
  stop: AbortSignal,
  produce: (sink: LineSink) => Promise<void>,
): Response {
  const encoder = new TextEncoder();
  const gone = new AbortController();
  const signal = AbortSignal.any([gone.signal, stop]);
  let wanted = (): void => undefined;
  let endBeat = (): void => undefined;

  const stream = new ReadableStream<Uint8Array>(
    {
      start: (controller) => {
        const room = () => (controller.desiredSize ?? 0) > 0;
        endBeat = clock.every(heartbeatMs, () => {
          if (!signal.aborted && room()) controller.enqueue(encoder.encode('\n'));
        });
        const sink: LineSink = {
          signal,
          write: async (value) => {
            if (signal.aborted) return;
            controller.enqueue(encoder.encode(`${JSON.stringify(value)}\n`));
            if (!room()) await nextPull(signal, (resolve) => (wanted = resolve));
          },
        };
        produce(sink)
          .catch((error: unknown) => {
            if (!signal.aborted)
              controller.enqueue(
                encoder.encode(`${JSON.stringify({ error: codedError(error).toBody() })}\n`),
              );
          })
          .finally(() => {
            endBeat();
            // After a cancel the stream is closed already.
            if (!gone.signal.aborted) controller.close();
          })
          .catch(() => undefined);
      },
      pull: () => wanted(),
      cancel: () => {
        endBeat();
        gone.abort();
      },
    },
    { highWaterMark: buffered, size: (chunk) => chunk?.byteLength ?? 0 },
  );
  return new Response(stream, {
    headers: {
      'content-type': 'application/x-ndjson',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
    },
  });
}

function nextPull(signal: AbortSignal, arm: (resolve: () => void) => void): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      signal.removeEventListener('abort', done);
      resolve();
    };
    signal.addEventListener('abort', done, { once: true });
    arm(done);
  });
}

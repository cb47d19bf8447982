// A stream of JSON lines as an HTTP answer: pulled by its reader, with a sign of life, ended when the reader leaves.
import { toFlynnError } from '../../api/errors.js';

/** Bytes gathered into one piece before the reader gets it, when there is more at once. */
const pieceBytes = 32 * 1024;
const heartbeatMs = 5_000;

/**
 * The items as JSON lines, a blank line when there was none for 5 s, and an `{error}` line when the source fails.
 * `stop` is called when the reader leaves. Nothing is taken from the source before the reader asks for it.
 */
export const ndjsonStream = (
  source: AsyncIterator<unknown>,
  stop: () => void,
  everyMs: number = heartbeatMs,
): ReadableStream<Uint8Array> => {
  const encoder = new TextEncoder();
  let next: Promise<IteratorResult<unknown>> | undefined;
  const nothing = Symbol('nothing');
  const within = async (ms: number): Promise<IteratorResult<unknown> | typeof nothing> => {
    next ??= source.next();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<typeof nothing>((resolve) => (timer = setTimeout(() => resolve(nothing), ms)));
    try {
      const found = await Promise.race([next, late]);
      if (found !== nothing) next = undefined;
      return found;
    } finally {
      clearTimeout(timer);
    }
  };
  return new ReadableStream<Uint8Array>(
    {
      pull: async (controller) => {
        let text = '';
        try {
          let found = await within(everyMs);
          if (found === nothing) text = '\n';
          // What is there already goes out in one piece; the first item that has to be waited for ends it.
          while (found !== nothing && !found.done) {
            text += `${JSON.stringify(found.value)}\n`;
            if (text.length >= pieceBytes) break;
            found = await within(0);
          }
          if (text !== '') controller.enqueue(encoder.encode(text));
          if (found !== nothing && found.done) controller.close();
        } catch (error) {
          controller.enqueue(
            encoder.encode(`${text}${JSON.stringify({ error: toFlynnError(error).toBody() })}\n`),
          );
          controller.close();
          stop();
        }
      },
      cancel: () => {
        stop();
        next?.catch(() => undefined);
        void source.return?.().then(undefined, () => undefined);
      },
    },
    { highWaterMark: 1 },
  );
};

// A hijacked connection as separate streams.
import { PassThrough, Writable, type Duplex } from 'node:stream';
import { abortReason } from '../util/signal.js';
import { demux } from './demux.js';
import type { Attachment } from './port.js';

/** What an attachment is made from. */
export interface AttachParts {
  /** The raw connection. */
  socket: Duplex;
  tty: boolean;
  resize(cols: number, rows: number): Promise<void>;
  /** Makes a coded error of what the connection threw. */
  toError(error: unknown): unknown;
  signal?: AbortSignal;
}

/** Input for a container: written through, and its end closes only our direction of the connection. */
const inputOf = (socket: Duplex): Writable =>
  new Writable({
    write(chunk, encoding, done) {
      if (socket.writable) socket.write(chunk, encoding, done);
      // The container is gone: what was meant for it has no meaning any more.
      else done();
    },
    final(done) {
      if (socket.writable) socket.end(done);
      else done();
    },
  });

/** Takes a hijacked connection apart. Errors of the connection arrive on stdout. */
export const makeAttachment = ({ socket, tty, resize, toError, signal }: AttachParts): Attachment => {
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  let detached = false;
  const detach = (): void => {
    detached = true;
    socket.destroy();
  };
  const onAbort = (): void => void socket.destroy(signal && abortReason(signal));
  signal?.addEventListener('abort', onAbort, { once: true });
  if (signal?.aborted) onAbort();
  const closed = demux(socket, { stdout, stderr }, tty)
    .catch((error: unknown) => {
      if (detached) return;
      const coded = toError(error);
      stdout.destroy(coded instanceof Error ? coded : new Error(String(coded)));
    })
    .finally(() => {
      signal?.removeEventListener('abort', onAbort);
      socket.destroy();
    });
  return { stdin: inputOf(socket), stdout, stderr, closed, resize, detach };
};

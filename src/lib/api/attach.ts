// The attach protocol: frames over an upgraded connection that carry a job's streams, size, signals and end.
import type { Duplex } from 'node:stream';
import { z } from 'zod';
import { FlynnError } from './errors.js';

/** Frame types. A frame is one byte of type, four bytes of length (big endian), and the payload. */
export const frame = {
  stdin: 0,
  stdout: 1,
  stderr: 2,
  /** JSON `AttachExit`: the job ended; the last frame. */
  exit: 3,
  /** No more stdin; empty. */
  eof: 4,
  /** JSON `{columns, rows}`. */
  resize: 5,
  /** JSON `{signal}`. */
  signal: 6,
  /** JSON `ErrorBody`: the attach failed; the last frame. */
  error: 7,
  /** JSON `{job, host}`: the job's container runs and stdin is read from now on. */
  started: 8,
} as const;

export type FrameType = (typeof frame)[keyof typeof frame];

export interface Frame {
  type: number;
  payload: Buffer;
}

/** How a job that was attached to ended. */
export const AttachExit = z.object({
  /** Exit code; 128 + signal number when a signal ended it. */
  code: z.number().int(),
  reason: z.string().optional(),
});
export type AttachExit = z.infer<typeof AttachExit>;

export const Resize = z.object({
  columns: z.number().int().min(1).max(10_000),
  rows: z.number().int().min(1).max(10_000),
});
export const Signal = z.object({ signal: z.string().regex(/^SIG[A-Z0-9]{2,10}$/) });

const headerBytes = 5;
/** Larger payloads are sent as several frames. */
const maxPayload = 64 * 1024;

/** A frame as bytes. */
export function encodeFrame(type: FrameType, payload: Buffer | string | object = ''): Buffer {
  const body = Buffer.isBuffer(payload)
    ? payload
    : Buffer.from(typeof payload === 'string' ? payload : JSON.stringify(payload));
  const bytes = Buffer.allocUnsafe(headerBytes + body.length);
  bytes.writeUInt8(type, 0);
  bytes.writeUInt32BE(body.length, 1);
  body.copy(bytes, headerBytes);
  return bytes;
}

/** Frames of a byte stream, whatever its chunks. Throws `invalid` on a length that nobody sends; ends with the stream. */
export async function* decodeFrames(stream: AsyncIterable<Buffer>): AsyncGenerator<Frame> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of stream) {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    while (rest.length >= headerBytes) {
      const length = rest.readUInt32BE(1);
      if (length > maxPayload)
        throw new FlynnError({ code: 'invalid', message: `an attach frame of ${length} bytes is too large` });
      if (rest.length < headerBytes + length) break;
      yield { type: rest.readUInt8(0), payload: rest.subarray(headerBytes, headerBytes + length) };
      rest = rest.subarray(headerBytes + length);
    }
  }
}

/** Writes a frame, split when it is large; resolves when the other side has taken it (backpressure), rejects when it is gone. */
export async function writeFrame(
  stream: Duplex,
  type: FrameType,
  payload: Buffer | string | object = '',
): Promise<void> {
  const body = Buffer.isBuffer(payload)
    ? payload
    : Buffer.from(typeof payload === 'string' ? payload : JSON.stringify(payload));
  let at = 0;
  do {
    const part = body.subarray(at, at + maxPayload);
    at += maxPayload;
    if (stream.destroyed || stream.writableEnded)
      throw new FlynnError({ code: 'unreachable', message: 'the attached side is gone' });
    if (!stream.write(encodeFrame(type, part))) await drained(stream);
  } while (at < body.length);
}

function drained(stream: Duplex): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (gone: boolean) => {
      stream.off('drain', onDrain);
      stream.off('close', onClose);
      if (gone) reject(new FlynnError({ code: 'unreachable', message: 'the attached side is gone' }));
      else resolve();
    };
    const onDrain = () => settle(false);
    const onClose = () => settle(true);
    stream.once('drain', onDrain);
    stream.once('close', onClose);
  });
}

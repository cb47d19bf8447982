// Docker's multiplexed stdout and stderr: 8-byte headers (stream, 0, 0, 0, length as big-endian uint32), then the payload.
import type { Readable, Writable } from 'node:stream';
import { FlynnError } from '../api/errors.js';

/** A piece of a frame; `last` says that its frame is complete. */
export interface Piece {
  stream: 'stdout' | 'stderr';
  data: Buffer;
  last: boolean;
}

const HEADER = 8;
/** 0 stdin (echoed), 1 stdout, 2 stderr, 3 an error of the engine itself. */
const STREAMS = ['stdout', 'stdout', 'stderr', 'stderr'] as const;

/** Takes the frames apart without ever holding more than a header: payloads are handed on as they come. */
export class Demuxer {
  #header = Buffer.alloc(0);
  #stream: Piece['stream'] = 'stdout';
  #left = 0;

  /** The pieces in `chunk`, in order. Throws `internal` when the bytes are not multiplexed. */
  push(chunk: Buffer): Piece[] {
    const pieces: Piece[] = [];
    let rest = chunk;
    while (rest.length > 0) {
      if (this.#left === 0) {
        const missing = HEADER - this.#header.length;
        this.#header = Buffer.concat([this.#header, rest.subarray(0, missing)]);
        rest = rest.subarray(missing);
        if (this.#header.length < HEADER) break;
        this.#begin();
        if (this.#left === 0) pieces.push({ stream: this.#stream, data: Buffer.alloc(0), last: true });
        continue;
      }
      const data = rest.subarray(0, this.#left);
      rest = rest.subarray(data.length);
      this.#left -= data.length;
      pieces.push({ stream: this.#stream, data, last: this.#left === 0 });
    }
    return pieces;
  }

  #begin(): void {
    const stream = STREAMS[this.#header[0] ?? 255];
    if (!stream || this.#header[1] || this.#header[2] || this.#header[3]) {
      throw new FlynnError({
        code: 'internal',
        message: 'the Docker engine sent a stream that is not multiplexed',
      });
    }
    this.#stream = stream;
    this.#left = this.#header.readUInt32BE(4);
    this.#header = Buffer.alloc(0);
  }
}

const room = (target: Writable): Promise<void> =>
  new Promise((resolve) => {
    const done = (): void => {
      target.off('drain', done);
      target.off('close', done);
      resolve();
    };
    target.once('drain', done);
    target.once('close', done);
  });

/** Writes a chunk and waits while the target is full; a target that is gone loses it. */
const put = async (target: Writable, data: Buffer): Promise<void> => {
  if (target.destroyed || target.writableEnded) return;
  if (!target.write(data)) await room(target);
};

/**
 * Copies a multiplexed stream (or, with `tty`, a plain one) to two targets and ends them. Backpressure holds: nothing
 * is read while a target is full. A target that was destroyed loses its part, the other goes on. Rejects with what
 * the source throws.
 */
export const demux = async (
  source: Readable,
  targets: { stdout: Writable; stderr: Writable },
  tty = false,
): Promise<void> => {
  const parser = new Demuxer();
  try {
    for await (const chunk of source) {
      if (tty) await put(targets.stdout, chunk as Buffer);
      else for (const piece of parser.push(chunk as Buffer)) await put(targets[piece.stream], piece.data);
    }
  } finally {
    targets.stdout.end();
    targets.stderr.end();
  }
};

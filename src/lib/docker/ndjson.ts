// JSON documents, one per line, out of a byte stream cut anywhere.
import type { Readable } from 'node:stream';
import { FlynnError } from '../api/errors.js';

/** A line longer than this is no message of an engine. */
const MAX_LINE = 16 * 1024 * 1024;
const NEWLINE = 0x0a;

/** Assembles lines from bytes, so that characters cut in the middle come out whole. */
export class NdjsonParser {
  #parts: Buffer[] = [];
  #size = 0;

  /** The documents that `chunk` completes. Throws `internal` for a line that is no JSON or has no end. */
  push(chunk: Buffer): unknown[] {
    const found: unknown[] = [];
    let start = 0;
    for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, start)) {
      this.#keep(chunk.subarray(start, at));
      start = at + 1;
      found.push(...this.#take());
    }
    this.#keep(chunk.subarray(start));
    return found;
  }

  /** What is left when the stream ends without a newline. */
  end(): unknown[] {
    return this.#take();
  }

  #keep(part: Buffer): void {
    if (part.length === 0) return;
    this.#size += part.length;
    if (this.#size > MAX_LINE) throw broken('a line without an end');
    this.#parts.push(part);
  }

  #take(): unknown[] {
    const line = Buffer.concat(this.#parts).toString('utf8').trim();
    this.#parts = [];
    this.#size = 0;
    if (line === '') return [];
    try {
      return [JSON.parse(line) as unknown];
    } catch (cause) {
      throw broken(`'${line.slice(0, 80)}'`, cause);
    }
  }
}

const broken = (what: string, cause?: unknown): FlynnError =>
  new FlynnError({
    code: 'internal',
    message: `the Docker engine sent ${what} where JSON was expected`,
    cause,
  });

/** The documents of a stream, read only as fast as they are taken. Breaking out destroys the stream. */
export async function* ndjson(stream: Readable): AsyncGenerator<unknown, void, undefined> {
  const parser = new NdjsonParser();
  for await (const chunk of stream) yield* parser.push(chunk as Buffer);
  yield* parser.end();
}

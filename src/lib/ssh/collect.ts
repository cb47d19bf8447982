// What a remote command prints: bounded buffers and whole lines out of chunks.
import { StringDecoder } from 'node:string_decoder';

/** Keeps the first `limit` bytes of what is added, and knows whether there was more. */
export class BoundedText {
  readonly #chunks: Buffer[] = [];
  #size = 0;
  truncated = false;

  constructor(private readonly limit: number) {}

  add(chunk: Buffer): void {
    const room = this.limit - this.#size;
    if (chunk.length > room) this.truncated = true;
    if (room <= 0) return;
    const kept = chunk.length > room ? chunk.subarray(0, room) : chunk;
    this.#chunks.push(kept);
    this.#size += kept.length;
  }

  toString(): string {
    return Buffer.concat(this.#chunks).toString('utf8');
  }
}

/** Longest line handed out in one piece, in characters; what has no newline may not fill the memory. */
const MAX_LINE = 64 * 1024;

/** Calls back with whole lines without their newline; `end` hands out what is left. */
export class LineSplitter {
  readonly #decoder = new StringDecoder('utf8');
  #rest = '';

  constructor(private readonly onLine: (line: string) => void) {}

  add(chunk: Buffer): void {
    this.#rest += this.#decoder.write(chunk);
    const lines = this.#rest.split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) this.onLine(line.replace(/\r$/, ''));
    if (this.#rest.length > MAX_LINE) {
      this.onLine(this.#rest);
      this.#rest = '';
    }
  }

  end(): void {
    const rest = this.#rest + this.#decoder.end();
    this.#rest = '';
    if (rest !== '') this.onLine(rest.replace(/\r$/, ''));
  }
}

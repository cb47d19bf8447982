// Log lines out of Docker's frames: one frame is one message `TIMESTAMP TEXT`, long lines come as several of them.
import type { Piece } from './demux.js';
import type { LogLine } from './port.js';

const SPACE = 0x20;
const NEWLINE = 0x0a;
/** Longest message an engine writes, timestamp included; drivers cut at 16 KiB. */
const MAX_FRAME = 1024 * 1024;

interface Pending {
  frame: Buffer[];
  size: number;
  ts: string;
  line: Buffer[];
  length: number;
}

const empty = (): Pending => ({ frame: [], size: 0, ts: '', line: [], length: 0 });

/** Assembles lines per stream. */
export class LogAssembler {
  readonly #pending = { stdout: empty(), stderr: empty() };

  /** @param maxLineBytes longer lines are cut into pieces of about this size */
  constructor(private readonly maxLineBytes: number) {}

  /** The lines that a piece completes. */
  push(piece: Piece): LogLine[] {
    const pending = this.#pending[piece.stream];
    pending.frame.push(piece.data);
    pending.size += piece.data.length;
    if (!piece.last && pending.size < MAX_FRAME) return [];
    const frame = Buffer.concat(pending.frame);
    pending.frame = [];
    pending.size = 0;
    return this.#message(piece.stream, frame);
  }

  /** Lines that had no newline when the stream ended. */
  end(): LogLine[] {
    return (['stdout', 'stderr'] as const).flatMap((stream) =>
      this.#pending[stream].length > 0 ? [this.#flush(stream)] : [],
    );
  }

  #message(stream: LogLine['stream'], frame: Buffer): LogLine[] {
    const pending = this.#pending[stream];
    const space = frame.indexOf(SPACE);
    const ts = frame.toString('latin1', 0, Math.max(0, space));
    const found: LogLine[] = [];
    let text = frame.subarray(space + 1);
    if (pending.length === 0) pending.ts = ts;
    for (let at = text.indexOf(NEWLINE); at >= 0; at = text.indexOf(NEWLINE)) {
      this.#keep(pending, text.subarray(0, at));
      found.push(this.#flush(stream));
      pending.ts = ts;
      text = text.subarray(at + 1);
    }
    this.#keep(pending, text);
    if (pending.length >= this.maxLineBytes) found.push(this.#flush(stream));
    return found;
  }

  #keep(pending: Pending, text: Buffer): void {
    if (text.length === 0) return;
    pending.line.push(text);
    pending.length += text.length;
  }

  #flush(stream: LogLine['stream']): LogLine {
    const pending = this.#pending[stream];
    const line = Buffer.concat(pending.line).toString('utf8').replace(/\r$/, '');
    pending.line = [];
    pending.length = 0;
    return { stream, line, ts: pending.ts };
  }
}

/** Splits what a TTY printed into frames, one per line, so that the assembler reads both alike. */
export class TtyFrames {
  push(chunk: Buffer): Piece[] {
    const pieces: Piece[] = [];
    let rest = chunk;
    for (let at = rest.indexOf(NEWLINE); at >= 0; at = rest.indexOf(NEWLINE)) {
      pieces.push({ stream: 'stdout', data: rest.subarray(0, at + 1), last: true });
      rest = rest.subarray(at + 1);
    }
    if (rest.length > 0) pieces.push({ stream: 'stdout', data: rest, last: false });
    return pieces;
  }
}

/** A point in time as the engine's query wants it: `seconds.nanoseconds`. Takes seconds since the epoch or an RFC 3339 text, whose nanoseconds are kept. */
export const engineTime = (when: number | string): string => {
  if (typeof when === 'number') return when.toFixed(9);
  const [, whole, fraction, zone] = /^(.*?)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)$/.exec(when) ?? [];
  const seconds = Math.floor(Date.parse(`${whole}${zone}`) / 1000);
  if (!Number.isFinite(seconds)) throw new RangeError(`'${when}' is not a time in RFC 3339`);
  return `${seconds}.${(fraction ?? '').padEnd(9, '0').slice(0, 9)}`;
};

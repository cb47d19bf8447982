// The stream readers: whatever the cuts, the same comes out; and nothing is read faster than it is taken.
import fc from 'fast-check';
import { PassThrough, Readable, Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { demux, Demuxer, type Piece } from '../../../src/lib/docker/demux.js';
import { engineTime, LogAssembler, TtyFrames } from '../../../src/lib/docker/log-lines.js';
import { ndjson, NdjsonParser } from '../../../src/lib/docker/ndjson.js';
import type { LogLine } from '../../../src/lib/docker/index.js';

const cut = (bytes: Buffer, places: number[]): Buffer[] => {
  const at = [0, ...places.map((p) => p % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  return at.slice(1).map((end, i) => bytes.subarray(at[i], end));
};
const frame = (stream: number, payload: Buffer): Buffer => {
  const header = Buffer.alloc(8);
  header[0] = stream;
  header.writeUInt32BE(payload.length, 4);
  return Buffer.concat([header, payload]);
};
const places = fc.array(fc.nat(), { maxLength: 40 });
const payload = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes));
const frames = fc.array(fc.record({ err: fc.boolean(), payload }), { maxLength: 20 });
const bytesOf = (list: { err: boolean; payload: Buffer }[]): Buffer =>
  Buffer.concat(list.map((f) => frame(f.err ? 2 : 1, f.payload)));

describe('ndjson', () => {
  it('given any documents cut anywhere, then they come out whole and in order', () => {
    fc.assert(
      fc.property(
        fc.array(fc.jsonValue()),
        places,
        fc.constantFrom('\n', '\r\n', '\n\n'),
        (documents, where, end) => {
          const parser = new NdjsonParser();
          const bytes = Buffer.from(documents.map((d) => `${JSON.stringify(d)}${end}`).join(''));
          const got = cut(bytes, where).flatMap((piece) => parser.push(piece));
          expect(JSON.stringify([...got, ...parser.end()])).toBe(JSON.stringify(documents));
        },
      ),
    );
  });

  it('given a last line without an end, then it counts; given what is no JSON, then it throws', async () => {
    const all: unknown[] = [];
    for await (const d of ndjson(Readable.from([Buffer.from('{"a":1}\n{"b"'), Buffer.from(':2}')])))
      all.push(d);
    expect(all).toEqual([{ a: 1 }, { b: 2 }]);
    expect(() => new NdjsonParser().push(Buffer.from('<html>\n'))).toThrowError(/<html>/);
    const endless = new NdjsonParser();
    expect(() => {
      for (let n = 0; n < 20; n++) endless.push(Buffer.alloc(1024 * 1024, 'x'));
    }).toThrowError(/without an end/);
  });

  it('given a reader that breaks out, then the stream is destroyed', async () => {
    const source = new PassThrough();
    source.write('1\n2\n3\n');
    for await (const d of ndjson(source)) if (d === 2) break;
    expect(source.destroyed).toBe(true);
  });
});

describe('demuxer', () => {
  it('given any frames cut anywhere, then each stream has its bytes in order', () => {
    fc.assert(
      fc.property(frames, places, (list, where) => {
        const demuxer = new Demuxer();
        const pieces = cut(bytesOf(list), where).flatMap((piece) => demuxer.push(piece));
        for (const [stream, err] of [
          ['stdout', false],
          ['stderr', true],
        ] as const) {
          const got = Buffer.concat(pieces.filter((p) => p.stream === stream).map((p) => p.data));
          expect(got.equals(Buffer.concat(list.filter((f) => f.err === err).map((f) => f.payload)))).toBe(
            true,
          );
        }
        expect(pieces.filter((p) => p.last)).toHaveLength(list.length);
      }),
    );
  });

  it.each([[4], [0x31]])('given a first byte %i, then it is not multiplexed', (byte) => {
    expect(() => new Demuxer().push(Buffer.from([byte, 0, 0, 0, 0, 0, 0, 1]))).toThrowError(
      /not multiplexed/,
    );
  });

  it('given bytes where zeros belong, then it is not multiplexed', () => {
    expect(() => new Demuxer().push(Buffer.from('\u0001abc1234'))).toThrowError(/not multiplexed/);
  });

  it('given a slow target, then the source is held back and every byte arrives', async () => {
    let written = 0;
    let produced = 0;
    const slow = new Writable({
      highWaterMark: 1024,
      write: (chunk: Buffer, _encoding, done) => {
        written += chunk.length;
        setTimeout(done, 1);
      },
    });
    const source = Readable.from(
      (function* () {
        for (let n = 0; n < 100; n++) {
          produced += 1000;
          expect(produced - written).toBeLessThan(40_000);
          yield frame(1, Buffer.alloc(1000));
        }
      })(),
      { highWaterMark: 1 },
    );
    await demux(source, { stdout: slow, stderr: new PassThrough() });
    expect(slow.writableEnded).toBe(true);
    await new Promise((resolve) => slow.once('finish', resolve));
    expect(written).toBe(100_000);
  });

  it('given one target that is gone, then the other still gets everything', async () => {
    const gone = new PassThrough();
    gone.destroy();
    const out: Buffer[] = [];
    const stdout = new Writable({ write: (chunk: Buffer, _encoding, done) => (out.push(chunk), done()) });
    await demux(Readable.from([frame(2, Buffer.alloc(70_000)), frame(1, Buffer.from('kept'))]), {
      stdout,
      stderr: gone,
    });
    expect(Buffer.concat(out).toString()).toBe('kept');
  });

  it('given a target that goes while it is full, then the wait ends', async () => {
    const stuck = new Writable({ highWaterMark: 1, write: () => undefined });
    setTimeout(() => stuck.destroy(), 20);
    const stderr = new PassThrough();
    await demux(Readable.from([frame(1, Buffer.from('xx')), frame(1, Buffer.from('yy'))]), {
      stdout: stuck,
      stderr,
    });
    expect(stderr.writableEnded).toBe(true);
  });

  it('given a source that breaks, then the targets end and the error is thrown', async () => {
    const source = Readable.from(
      (function* () {
        yield frame(1, Buffer.from('half'));
        throw new Error('cut');
      })(),
    );
    const stdout = new PassThrough();
    await expect(demux(source, { stdout, stderr: new PassThrough() })).rejects.toThrow('cut');
    expect(stdout.writableEnded).toBe(true);
  });
});

describe('log lines', () => {
  const TS = '2024-05-06T07:08:09.123456789Z';
  const read = (pieces: Piece[], max = 64 * 1024): LogLine[] => {
    const lines = new LogAssembler(max);
    return [...pieces.flatMap((piece) => lines.push(piece)), ...lines.end()];
  };
  const text = fc.string({ unit: 'grapheme', maxLength: 60 }).map((s) => s.replaceAll(/[\r\n]/g, ''));

  it('given messages cut anywhere, long ones in several frames, then each line is whole with its own time', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ text, split: fc.nat(), err: fc.boolean() })),
        places,
        (messages, where) => {
          const bytes = Buffer.concat(
            messages.flatMap(({ text: line, split, err }) => {
              const whole = Buffer.from(`${line}\n`);
              const at = split % whole.length;
              const parts = at > 0 ? [whole.subarray(0, at), whole.subarray(at)] : [whole];
              return parts.map((part) => frame(err ? 2 : 1, Buffer.concat([Buffer.from(`${TS} `), part])));
            }),
          );
          const demuxer = new Demuxer();
          const got = read(cut(bytes, where).flatMap((piece) => demuxer.push(piece)));
          const expected = messages.map((m) => ({
            stream: m.err ? 'stderr' : 'stdout',
            line: m.text,
            ts: TS,
          }));
          expect(got).toEqual(expected);
        },
      ),
    );
  });

  it('given a terminal’s output cut anywhere, then the lines are the same', () => {
    fc.assert(
      fc.property(fc.array(text), places, (lines, where) => {
        const frames_ = new TtyFrames();
        const bytes = Buffer.from(lines.map((line) => `${TS} ${line}\r\n`).join(''));
        const got = read(cut(bytes, where).flatMap((piece) => frames_.push(piece)));
        expect(got).toEqual(lines.map((line) => ({ stream: 'stdout', line, ts: TS })));
      }),
    );
  });

  it('given a line beyond the limit, then it comes in pieces', () => {
    const part = (s: string): Piece => ({ stream: 'stdout', data: Buffer.from(`${TS} ${s}`), last: true });
    const got = read([part('aaaa'), part('bbbb'), part('cc\n')], 8);
    expect(got.map((l) => l.line)).toEqual(['aaaabbbb', 'cc']);
  });

  it('given times, then the engine gets seconds with their nanoseconds', () => {
    expect(engineTime(TS)).toBe('1714979289.123456789');
    expect(engineTime('2024-05-06T09:08:09+02:00')).toBe('1714979289.000000000');
    expect(engineTime(1.5)).toBe('1.500000000');
    expect(() => engineTime('yesterday')).toThrow(RangeError);
  });
});

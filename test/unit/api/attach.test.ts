// Frames arrive as they were sent, however the connection cuts them.
import fc from 'fast-check';
import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { decodeFrames, encodeFrame, frame, writeFrame } from '../../../src/lib/api/attach.js';

const collect = async (stream: AsyncIterable<Buffer>) => {
  const frames = [];
  for await (const one of decodeFrames(stream))
    frames.push({ type: one.type, payload: Buffer.from(one.payload) });
  return frames;
};

describe('attach frames', () => {
  it('survive any cutting of the stream', async () => {
    const anyFrames = fc.array(
      fc.tuple(fc.constantFrom(frame.stdin, frame.stdout, frame.stderr), fc.uint8Array({ maxLength: 200 })),
      { maxLength: 8 },
    );
    await fc.assert(
      fc.asyncProperty(anyFrames, fc.integer({ min: 1, max: 17 }), async (sent, size) => {
        const bytes = Buffer.concat(sent.map(([type, payload]) => encodeFrame(type, Buffer.from(payload))));
        const chunks: Buffer[] = [];
        for (let at = 0; at < bytes.length; at += size) chunks.push(bytes.subarray(at, at + size));
        const got = await collect(
          (async function* () {
            yield* chunks;
          })(),
        );
        expect(got).toEqual(sent.map(([type, payload]) => ({ type, payload: Buffer.from(payload) })));
      }),
    );
  });

  it('carry large payloads in parts', async () => {
    const stream = new PassThrough();
    const data = Buffer.alloc(200_000, 7);
    const reading = collect(stream);
    await writeFrame(stream, frame.stdout, data);
    await writeFrame(stream, frame.exit, { code: 3 });
    stream.end();
    const got = await reading;
    expect(
      Buffer.concat(got.filter(({ type }) => type === frame.stdout).map(({ payload }) => payload)).equals(
        data,
      ),
    ).toBe(true);
    expect(JSON.parse(got.at(-1)!.payload.toString())).toEqual({ code: 3 });
  });

  it('refuse a length that nobody sends', async () => {
    const bytes = Buffer.from([1, 0xff, 0xff, 0xff, 0xff, 0]);
    await expect(
      collect(
        (async function* () {
          yield bytes;
        })(),
      ),
    ).rejects.toMatchObject({ code: 'invalid' });
  });

  it('tell the writer when the other side is gone', async () => {
    const stream = new PassThrough();
    stream.destroy();
    await expect(writeFrame(stream, frame.stdin, 'x')).rejects.toMatchObject({ code: 'unreachable' });
  });
});

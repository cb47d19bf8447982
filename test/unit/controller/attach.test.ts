// Attaching: asked again while the job is not there, for as long as is promised, and the agent's own words when it cannot be.
import { PassThrough, type Duplex } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { encodeFrame, frame } from '../../../src/lib/api/attach.js';
import { FlynnError, type ErrorCode } from '../../../src/lib/api/errors.js';
import type { JobState } from '../../../src/lib/api/job.js';
import { attachJob, type AttachPorts } from '../../../src/lib/layer1/controller/attach.js';
import { seededRng } from '../../../src/lib/util/rng.js';
import { fakeClock } from '../../fakes/clock.js';

const placed = { job: 'a-1', host: 'a', address: '10.0.0.1', template: 't' };

/** An agent that plays the given answers, the last one for ever. */
const rig = (...answers: ('held' | 'cut' | 'starts' | { http: ErrorCode } | { said: ErrorCode })[]) => {
  const clock = fakeClock();
  const state: { status?: JobState } = {};
  const sockets: PassThrough[] = [];
  const upgrade = async (): Promise<Duplex> => {
    const answer = (answers.length > 1 ? answers.shift() : answers[0])!;
    if (typeof answer === 'object' && 'http' in answer)
      throw new FlynnError({ code: answer.http, message: 'not yet' });
    const socket = new PassThrough();
    sockets.push(socket);
    if (answer === 'cut') socket.end();
    if (answer === 'starts')
      socket.end(Buffer.concat([encodeFrame(frame.started, '{}'), encodeFrame(frame.exit, { code: 0 })]));
    if (typeof answer === 'object')
      socket.end(encodeFrame(frame.error, { code: answer.said, message: 'as I said' }));
    return socket;
  };
  const statuses = {
    get: () => (state.status ? { value: { state: state.status, reason: 'why' } } : undefined),
  };
  const ports = {
    clock,
    rng: seededRng(1),
    picture: { records: { statuses } },
    agent: () => ({ upgrade }),
  } as unknown as AttachPorts;
  const run = (signal = new AbortController().signal) => {
    let took: number | undefined;
    const done = attachJob(ports, placed, () => undefined, signal).finally(() => (took = clock.mono()));
    done.catch(() => undefined);
    return { done, took: () => took };
  };
  return { clock, state, sockets, run };
};

describe('attaching to a placed job', () => {
  it('when the agent does not know it yet, is away, or cuts the line, then it is asked again, and no frame is lost', async () => {
    const { clock, run } = rig(
      { http: 'unreachable' },
      { http: 'not_found' },
      { said: 'not_found' },
      { said: 'unreachable' },
      'cut',
      'starts',
    );
    const { done, took } = run();
    await clock.advanceUntil(() => took() !== undefined, 10_000);
    const types: number[] = [];
    for await (const { type } of (await done).frames) types.push(type);
    expect(types).toEqual([frame.started, frame.exit]);
  });

  it.each([
    [undefined, 60_000],
    ['pulling', 300_000],
  ] as const)(
    'when the agent holds it in state %s, then it is given up after %i ms, and the attach is let go of',
    async (status, limit) => {
      const { clock, run, state, sockets } = rig('held');
      if (status) state.status = status;
      const { done, took } = run();
      await clock.advance(limit - 100);
      expect(took()).toBeUndefined();
      await clock.advance(2_500);
      expect(took()).toBeDefined();
      await expect(done).rejects.toMatchObject({
        code: 'timeout',
        message: expect.stringContaining('on host a') as string,
      });
      expect(sockets.every(({ destroyed }) => destroyed)).toBe(true);
    },
  );

  it.each([[{ http: 'forbidden' }], [{ said: 'failed' }]] as const)(
    'when the agent says %j, then that is the error at once',
    async (answer) => {
      const { clock, run } = rig(answer as { said: ErrorCode });
      const { done } = run();
      await clock.advance(100);
      await expect(done).rejects.toMatchObject({ code: Object.values(answer)[0] });
    },
  );

  it('when the caller gives up, then the attach is let go of', async () => {
    const { clock, run, sockets } = rig('held');
    const end = new AbortController();
    const { done } = run(end.signal);
    await clock.advance(500);
    end.abort(new Error('enough'));
    await expect(done).rejects.toThrow('enough');
    expect(sockets[0]?.destroyed).toBe(true);
  });
});

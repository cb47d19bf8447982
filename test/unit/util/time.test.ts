// Clocks, deadlines and retries: everything that waits is bounded and can be aborted.
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../../src/lib/util/clock.js';
import { backoff, poll, retry } from '../../../src/lib/util/retry.js';
import { seededRng } from '../../../src/lib/util/rng.js';
import {
  DeadlineError,
  abortReason,
  abortable,
  anySignal,
  withDeadline,
} from '../../../src/lib/util/signal.js';
import { fakeClock } from '../../fakes/clock.js';

const rng = seededRng(1);

describe.each([
  ['the system clock', systemClock],
  ['the fake clock', undefined],
])('%s', (_name, real) => {
  const fake = fakeClock();
  const clock = real ?? fake;
  const pass = (ms: number): Promise<void> => (real ? real.sleep(ms + 20) : fake.advance(ms));

  it('given timers, when time passes, then after fires once, every again and again, and neither when cancelled', async () => {
    const fired = { after: 0, every: 0, cancelled: 0 };
    clock.after(10, () => (fired.after += 1));
    const end = clock.every(10, () => (fired.every += 1));
    clock.after(10, () => (fired.cancelled += 1))();
    const start = clock.mono();
    await pass(60);
    end();
    expect(clock.mono() - start).toBeGreaterThanOrEqual(60);
    expect(fired.after).toBe(1);
    expect(fired.every).toBeGreaterThanOrEqual(3);
    const so_far = fired.every;
    await pass(30);
    expect(fired).toEqual({ after: 1, every: so_far, cancelled: 0 });
  });

  it('given a sleep, when its signal is aborted, then it rejects with the reason at once, before and during', async () => {
    const controller = new AbortController();
    const sleeping = clock.sleep(60_000, controller.signal);
    controller.abort(new Error('enough'));
    await expect(sleeping).rejects.toThrow('enough');
    await expect(clock.sleep(60_000, controller.signal)).rejects.toThrow('enough');
  });
});

describe('signals', () => {
  it('given a reason that is no error, when asked for, then it is wrapped', () => {
    const controller = new AbortController();
    controller.abort('a word');
    expect(abortReason(controller.signal).message).toBe('a word');
    expect(anySignal(undefined, controller.signal).aborted).toBe(true);
    expect(anySignal(undefined).aborted).toBe(false);
  });

  it('given work that never ends and ignores its signal, when the deadline passes, then the caller goes on', async () => {
    const clock = fakeClock();
    let told: AbortSignal | undefined;
    const bounded = withDeadline(clock, 500, (signal) => ((told = signal), new Promise(() => undefined)), {
      what: 'work',
    });
    const outcome = expect(bounded).rejects.toThrow('work did not finish within 500 ms');
    await clock.advance(500);
    await outcome;
    expect(told?.reason).toBeInstanceOf(DeadlineError);
  });

  it('given work that ends in time, when it has ended, then no timer is left', async () => {
    const clock = fakeClock();
    expect(await withDeadline(clock, 500, () => Promise.resolve(7))).toBe(7);
    expect(clock.pending).toBe(0);
    const controller = new AbortController();
    const waiting = abortable(new Promise(() => undefined), controller.signal);
    controller.abort(new Error('stopped'));
    await expect(waiting).rejects.toThrow('stopped');
  });
});

describe('retry', () => {
  it('given work that fails twice, when retried, then it succeeds after growing pauses', async () => {
    const clock = fakeClock();
    const at: number[] = [];
    const done = retry(
      (attempt) => {
        at.push(clock.mono());
        return attempt < 3 ? Promise.reject(new Error('not yet')) : Promise.resolve('done');
      },
      { clock, rng, attempts: 5, baseMs: 100 },
    );
    await clock.advance(1_000);
    expect(await done).toBe('done');
    const [first, second, third] = at as [number, number, number];
    expect(second - first).toBeGreaterThanOrEqual(50);
    expect(second - first).toBeLessThanOrEqual(100);
    expect(third - second).toBeGreaterThanOrEqual(100);
    expect(third - second).toBeLessThanOrEqual(200);
  });

  it('given work that always fails, when its bounds are reached, then the last error comes', async () => {
    const clock = fakeClock();
    let tries = 0;
    const fail = (): Promise<never> => Promise.reject(new Error(`try ${++tries}`));
    const counted = expect(retry(fail, { clock, rng, attempts: 3 })).rejects.toThrow('try 3');
    await clock.advance(5_000);
    await counted;
    const timed = expect(retry(fail, { clock, rng, deadlineMs: 2_000 })).rejects.toThrow('try');
    const start = clock.mono();
    await clock.advanceUntil(() => clock.pending === 0, 3_000);
    await timed;
    expect(clock.mono() - start).toBeLessThanOrEqual(2_050);
    await expect(retry(fail, { clock, rng })).rejects.toThrow(TypeError);
  });

  it('given an error that is not retryable, or an aborted signal, when it comes, then there is no other try', async () => {
    const clock = fakeClock();
    let tries = 0;
    const fail = (): Promise<never> => Promise.reject(new Error(`try ${++tries}`));
    await expect(retry(fail, { clock, rng, attempts: 9, retryable: () => false })).rejects.toThrow('try 1');
    const controller = new AbortController();
    const running = expect(
      retry(fail, { clock, rng, attempts: 9, signal: controller.signal }),
    ).rejects.toThrow('stop');
    await clock.settle();
    controller.abort(new Error('stop'));
    await running;
    expect(tries).toBe(2);
    expect(clock.pending).toBe(0);
  });

  it('given many attempts, when the pause is computed, then it is capped', () => {
    expect(backoff(1_000, rng, 100, 5_000)).toBeLessThanOrEqual(5_000);
    expect(backoff(1_000, rng, 100, 5_000)).toBeGreaterThanOrEqual(2_500);
  });

  it('given a condition, when it comes true in time or not, then poll returns it or ends', async () => {
    const clock = fakeClock();
    const found = poll(clock, () => (clock.mono() >= 200 ? 'yes' : undefined), { timeoutMs: 1_000 });
    await clock.advance(250);
    expect(await found).toBe('yes');
    const never = expect(poll(clock, () => undefined, { timeoutMs: 300, what: 'it' })).rejects.toThrow(
      'it did not finish',
    );
    await clock.advance(400);
    await never;
  });
});

// Happy eyeballs on a clock of the test's own: what a slow, a failed and a late candidate cost.
import { describe, expect, it } from 'vitest';
import { race, RaceLostError } from '../../../src/lib/util/race.js';

/** A clock whose timers the test fires. */
function timers() {
  let now = 0;
  const pending = new Set<{ at: number; fn: () => void }>();
  return {
    after: (ms: number, fn: () => void) => {
      const timer = { at: now + ms, fn };
      pending.add(timer);
      return () => void pending.delete(timer);
    },
    pass: async (ms: number): Promise<void> => {
      now += ms;
      for (const timer of [...pending]) {
        if (timer.at > now) continue;
        pending.delete(timer);
        timer.fn();
      }
      await new Promise((resolve) => setImmediate(resolve));
    },
    size: () => pending.size,
  };
}

interface Attempt {
  name: string;
  signal: AbortSignal;
  resolve(value: string): void;
  reject(error: Error): void;
}

function arena(names: string[], signal?: AbortSignal) {
  const clock = timers();
  const attempts: Attempt[] = [];
  const discarded: string[] = [];
  const result = race(names, {
    clock,
    staggerMs: 250,
    ...(signal ? { signal } : {}),
    attempt: (name, aborted) =>
      new Promise<string>((resolve, reject) => attempts.push({ name, signal: aborted, resolve, reject })),
    discard: (value) => void discarded.push(value),
  });
  result.catch(() => undefined);
  const at = (index: number): Attempt => {
    const found = attempts[index];
    if (!found) throw new Error(`attempt ${index} has not begun`);
    return found;
  };
  return { clock, attempts, discarded, result, at };
}

describe('race', () => {
  it('given a frozen first, when a stagger has passed, then the second joins and wins, and the first is aborted', async () => {
    const { clock, attempts, result, at } = arena(['a', 'b', 'c']);
    await clock.pass(249);
    expect(attempts).toHaveLength(1);
    await clock.pass(1);
    expect(attempts).toHaveLength(2);
    at(1).resolve('B');
    expect(await result).toEqual({ candidate: 'b', value: 'B' });
    expect(at(0).signal.aborted).toBe(true);
    expect(clock.size()).toBe(0);
  });

  it('given a failed first, when it fails, then the second begins at once', async () => {
    const { clock, attempts, at, result } = arena(['a', 'b']);
    at(0).reject(new Error('no'));
    await clock.pass(0);
    expect(attempts.map((each) => each.name)).toEqual(['a', 'b']);
    at(1).resolve('B');
    expect((await result).candidate).toBe('b');
  });

  it('given a slow first, when it answers after the second began, then it may still win; the late one is discarded', async () => {
    const { clock, discarded, at, result } = arena(['a', 'b']);
    await clock.pass(250);
    at(0).resolve('A');
    expect((await result).value).toBe('A');
    at(1).resolve('B');
    await clock.pass(0);
    expect(discarded).toEqual(['B']);
  });

  it('given all fail, when the last one does, then every failure is told in order', async () => {
    const { clock, at, result } = arena(['a', 'b']);
    await clock.pass(250);
    at(1).reject(new Error('b no'));
    at(0).reject(new Error('a no'));
    const error: unknown = await result.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(RaceLostError);
    expect((error as RaceLostError<string>).failures.map((each) => each.candidate)).toEqual(['b', 'a']);
  });

  it('given a signal, when it is aborted, then its reason is thrown, nothing more begins and attempts are aborted', async () => {
    const abort = new AbortController();
    const { clock, attempts, at, result } = arena(['a', 'b'], abort.signal);
    abort.abort(new Error('enough'));
    await expect(result).rejects.toThrow('enough');
    await clock.pass(1000);
    expect(attempts).toHaveLength(1);
    expect(at(0).signal.aborted).toBe(true);
  });

  it('given no candidates, when raced, then it is lost at once', async () => {
    await expect(arena([]).result).rejects.toBeInstanceOf(RaceLostError);
  });
});

// A clock that stands still until it is told to advance; timers fire in order, and what they set off runs before the next.
import { sleepWith, type Clock } from '../../src/lib/util/clock.js';

/** A clock in the test's hands. */
export interface FakeClock extends Clock {
  /** Moves time on, firing the timers that fall due one by one, each at its own moment. */
  advance(ms: number): Promise<void>;
  /** Advances in steps until the condition holds, `maxMs` of its time at most; then it throws. */
  advanceUntil(condition: () => boolean, maxMs: number, stepMs?: number): Promise<void>;
  /** Lets everything run that is due now, without moving time. */
  settle(): Promise<void>;
  /** Timers that wait. */
  readonly pending: number;
}

interface Timer {
  at: number;
  order: number;
  fn: () => void;
}

/** Makes a clock that starts at the given wall time (ms since 1970). */
export const fakeClock = (startMs = Date.UTC(2030, 0, 1)): FakeClock => {
  let mono = 0;
  let order = 0;
  const timers = new Set<Timer>();
  // An immediate runs only after all promises that can go on have done so.
  const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

  const after = (ms: number, fn: () => void): (() => void) => {
    const timer = { at: mono + Math.max(0, ms), order: order++, fn };
    timers.add(timer);
    return () => void timers.delete(timer);
  };
  const next = (until: number): Timer | undefined => {
    let first: Timer | undefined;
    for (const t of timers) {
      if (t.at <= until && (!first || t.at < first.at || (t.at === first.at && t.order < first.order)))
        first = t;
    }
    return first;
  };
  const advance = async (ms: number): Promise<void> => {
    const until = mono + ms;
    await settle();
    for (let timer = next(until); timer; timer = next(until)) {
      timers.delete(timer);
      mono = Math.max(mono, timer.at);
      timer.fn();
      await settle();
    }
    mono = until;
  };

  return {
    now: () => startMs + mono,
    mono: () => mono,
    after,
    sleep: (ms, signal) => sleepWith(after, ms, signal),
    every: (ms, fn) => {
      let cancel = (): void => undefined;
      const again = (): void => {
        cancel = after(Math.max(1, ms), () => {
          again();
          fn();
        });
      };
      again();
      return () => cancel();
    },
    soon: (fn) => void setImmediate(fn),
    advance,
    advanceUntil: async (condition, maxMs, stepMs = 50) => {
      await settle();
      for (let spent = 0; !condition(); spent += stepMs) {
        if (spent >= maxMs)
          throw new Error(`the condition did not hold within ${maxMs} ms of the clock's time`);
        await advance(stepMs);
      }
    },
    settle,
    get pending() {
      return timers.size;
    },
  };
};

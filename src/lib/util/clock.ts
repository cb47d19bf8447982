// Time as a port: everything that waits or measures takes a Clock, so that tests and the simulator own the time.
import { abortReason } from './signal.js';

/** A source of time. */
export interface Clock {
  /** Wall clock, milliseconds since 1970. May jump: for people and certificates, never for deadlines. */
  now(): number;
  /** Monotonic clock in milliseconds from an arbitrary start. For deadlines and durations. */
  mono(): number;
  /** Resolves after `ms` milliseconds; rejects with the signal's reason when it is aborted first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Calls `fn` once after `ms` milliseconds; the returned function cancels it. */
  after(ms: number, fn: () => void): () => void;
  /** Calls `fn` every `ms` milliseconds; the returned function ends that. */
  every(ms: number, fn: () => void): () => void;
  /** Calls `fn` once when everything that can go on now has done so, and before any time passes. */
  soon(fn: () => void): void;
}

/** Sleep built on `after`: shared by every clock. */
export const sleepWith = (after: Clock['after'], ms: number, signal?: AbortSignal): Promise<void> =>
  new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(abortReason(signal));
      return;
    }
    const onAbort = (): void => {
      cancel();
      if (signal) reject(abortReason(signal));
    };
    const cancel = after(ms, () => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    });
    signal?.addEventListener('abort', onAbort, { once: true });
  });

// Node fires a timer longer than this at once.
const MAX_TIMER_MS = 2 ** 31 - 1;

const systemAfter = (ms: number, fn: () => void): (() => void) => {
  const timer = setTimeout(fn, Math.min(Math.max(0, ms), MAX_TIMER_MS));
  return () => clearTimeout(timer);
};

/** The machine's own clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  mono: () => performance.now(),
  sleep: (ms, signal) => sleepWith(systemAfter, ms, signal),
  after: systemAfter,
  every: (ms, fn) => {
    const timer = setInterval(fn, Math.min(Math.max(1, ms), MAX_TIMER_MS));
    return () => clearInterval(timer);
  },
  // Not a microtask: work that calls for itself again must not keep the process from everything else.
  soon: (fn) => void setImmediate(fn),
};

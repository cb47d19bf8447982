// Repeating what failed: bounded in count and in time, with growing, jittered pauses.
import type { Clock } from './clock.js';
import { DeadlineError, abortReason } from './signal.js';
import type { Rng } from './rng.js';

/** How often and how long to repeat. Both `attempts` and `deadlineMs` bound it; the first to be reached ends it. */
export interface RetryOptions {
  clock: Clock;
  rng: Rng;
  /** Tries in all, the first included. Unlimited when left out: then `deadlineMs` must bound it. */
  attempts?: number;
  /** Milliseconds from the start after which no new try begins. */
  deadlineMs?: number;
  /** First pause in milliseconds (100), doubled each time up to `maxMs` (5000). */
  baseMs?: number;
  maxMs?: number;
  signal?: AbortSignal;
  /** Whether this failure is worth another try; every one is when left out. */
  retryable?: (error: unknown) => boolean;
  /** Told before each pause. */
  onRetry?: (error: unknown, attempt: number, pauseMs: number) => void;
}

/** The pause before try `attempt` + 1 in milliseconds: between half and all of the doubled base. */
export const backoff = (attempt: number, rng: Rng, baseMs = 100, maxMs = 5_000): number => {
  const full = Math.min(maxMs, baseMs * 2 ** Math.min(attempt - 1, 30));
  return full / 2 + (full / 2) * rng.next();
};

/**
 * The result of `work`, tried until it succeeds. Throws its last error when the tries or the time are used up
 * or the error is not retryable, and the signal's reason when it is aborted.
 */
export const retry = async <T>(work: (attempt: number) => Promise<T>, opts: RetryOptions): Promise<T> => {
  if (opts.attempts === undefined && opts.deadlineMs === undefined) {
    throw new TypeError('retry needs attempts or deadlineMs: every wait is bounded');
  }
  const start = opts.clock.mono();
  for (let attempt = 1; ; attempt++) {
    if (opts.signal?.aborted) throw abortReason(opts.signal);
    try {
      return await work(attempt);
    } catch (error) {
      if (opts.signal?.aborted) throw abortReason(opts.signal);
      if (opts.retryable && !opts.retryable(error)) throw error;
      if (attempt >= (opts.attempts ?? Infinity)) throw error;
      const pause = backoff(attempt, opts.rng, opts.baseMs, opts.maxMs);
      if (opts.clock.mono() - start + pause > (opts.deadlineMs ?? Infinity)) throw error;
      opts.onRetry?.(error, attempt, pause);
      await opts.clock.sleep(pause, opts.signal);
    }
  }
};

/**
 * Asks `probe` until it gives something other than undefined, and returns that.
 * Throws a DeadlineError after `timeoutMs`, and whatever the probe throws at once.
 */
export const poll = async <T>(
  clock: Clock,
  probe: () => Promise<T | undefined> | T | undefined,
  opts: { timeoutMs: number; intervalMs?: number; signal?: AbortSignal; what?: string },
): Promise<T> => {
  const end = clock.mono() + opts.timeoutMs;
  for (;;) {
    const found = await probe();
    if (found !== undefined) return found;
    if (clock.mono() >= end) throw new DeadlineError(opts.timeoutMs, opts.what);
    await clock.sleep(opts.intervalMs ?? 50, opts.signal);
  }
};

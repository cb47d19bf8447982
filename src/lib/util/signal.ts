// Abort signals: reasons as errors, deadlines, and waiting for a promise no longer than a signal allows.
import type { Clock } from './clock.js';

/** The reason of an aborted signal, always an Error. */
export const abortReason = (signal: AbortSignal): Error =>
  signal.reason instanceof Error
    ? signal.reason
    : new DOMException(signal.reason === undefined ? 'aborted' : String(signal.reason), 'AbortError');

/** A signal that is aborted when the first of the given ones is; undefined ones are left out. */
export const anySignal = (...signals: (AbortSignal | undefined)[]): AbortSignal =>
  AbortSignal.any(signals.filter((s): s is AbortSignal => s !== undefined));

/** Thrown (as a signal's reason) when a deadline of ours has passed. */
export class DeadlineError extends Error {
  override name = 'DeadlineError';
  /** @param ms the bound that was passed, in milliseconds */
  constructor(
    readonly ms: number,
    what = 'operation',
  ) {
    super(`${what} did not finish within ${Math.round(ms)} ms`);
  }
}

/** A deadline as a signal; `clear` gives the timer back and must be called when the work is done. */
export interface Deadline {
  signal: AbortSignal;
  clear(): void;
}

/** A signal that is aborted with a DeadlineError after `ms` milliseconds, or with its parent. */
export const deadline = (
  clock: Pick<Clock, 'after'>,
  ms: number,
  parent?: AbortSignal,
  what?: string,
): Deadline => {
  const controller = new AbortController();
  const cancel = clock.after(ms, () => controller.abort(new DeadlineError(ms, what)));
  return { signal: anySignal(controller.signal, parent), clear: cancel };
};

/** The promise's result, or a rejection with the signal's reason as soon as it is aborted. The work itself goes on. */
export const abortable = <T>(promise: Promise<T>, signal?: AbortSignal): Promise<T> => {
  if (!signal) return promise;
  return new Promise<T>((resolve, reject) => {
    const onAbort = (): void => reject(abortReason(signal));
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
};

/** Runs `work` with a signal that ends after `ms`; rejects with a DeadlineError even if the work ignores it. */
export const withDeadline = async <T>(
  clock: Pick<Clock, 'after'>,
  ms: number,
  work: (signal: AbortSignal) => Promise<T>,
  opts: { signal?: AbortSignal; what?: string } = {},
): Promise<T> => {
  const limit = deadline(clock, ms, opts.signal, opts.what);
  try {
    return await abortable(work(limit.signal), limit.signal);
  } finally {
    limit.clear();
  }
};

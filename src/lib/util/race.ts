// Happy eyeballs: try candidates in order, the next one soon after a slow one and at once after a failed one.
import type { Clock } from './clock.js';
import { abortReason, anySignal } from './signal.js';

/** What a race is made of. */
export interface RaceOptions<C, T> {
  clock: Pick<Clock, 'after'>;
  /** Time without success after which the next candidate joins in, ms. */
  staggerMs: number;
  /** Tries one candidate; must end soon after its signal is aborted. */
  attempt(candidate: C, signal: AbortSignal): Promise<T>;
  /** Gets rid of a success that came after another one had won. */
  discard?(value: T): void;
  signal?: AbortSignal;
}

/** Every candidate failed; `failures` are in the order in which they did. */
export class RaceLostError<C> extends Error {
  override name = 'RaceLostError';
  constructor(readonly failures: readonly { candidate: C; error: unknown }[]) {
    super(`none of ${failures.length} candidates succeeded`);
  }
}

/**
 * The first success, with its candidate; all others are aborted. A frozen candidate costs one stagger, not its
 * timeout. Throws a RaceLostError when all have failed (at once for an empty list), or the signal's reason.
 */
export function race<C, T>(
  candidates: readonly C[],
  options: RaceOptions<C, T>,
): Promise<{ candidate: C; value: T }> {
  const over = new AbortController();
  const signal = anySignal(over.signal, options.signal);
  return new Promise((resolve, reject) => {
    const failures: { candidate: C; error: unknown }[] = [];
    let next = 0;
    let cancelTimer: () => void = () => undefined;
    const finish = (settle: () => void): void => {
      if (over.signal.aborted) return;
      cancelTimer();
      options.signal?.removeEventListener('abort', onAbort);
      settle();
      over.abort();
    };
    const onAbort = (): void =>
      finish(() => reject(options.signal ? abortReason(options.signal) : new Error('aborted')));
    const fail = (candidate: C, error: unknown): void => {
      if (over.signal.aborted) return;
      failures.push({ candidate, error });
      if (failures.length === candidates.length) finish(() => reject(new RaceLostError(failures)));
      else startNext();
    };
    const startNext = (): void => {
      cancelTimer();
      cancelTimer = () => undefined;
      const candidate = candidates[next];
      if (next >= candidates.length || over.signal.aborted) return;
      next += 1;
      cancelTimer = options.clock.after(options.staggerMs, startNext);
      options.attempt(candidate as C, signal).then(
        (value) => {
          if (over.signal.aborted) options.discard?.(value);
          else finish(() => resolve({ candidate: candidate as C, value }));
        },
        (error: unknown) => fail(candidate as C, error),
      );
    };
    if (options.signal?.aborted) return onAbort();
    options.signal?.addEventListener('abort', onAbort, { once: true });
    if (candidates.length === 0) finish(() => reject(new RaceLostError(failures)));
    else startNext();
  });
}

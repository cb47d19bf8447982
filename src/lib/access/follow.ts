// Following an app across lost connections: the state on every change, whoever serves it.
import type { AppState } from '../api/app.js';
import { isFlynnError, type ErrorCode } from '../api/errors.js';
import type { Clock } from '../util/clock.js';
import { abortReason, DeadlineError, deadline } from '../util/signal.js';
import type { ControllerClient } from './controller.js';

/** What following needs, and its figures in ms. */
export interface FollowOptions {
  clock: Clock;
  signal: AbortSignal;
  /** Time without a state after which the watch is opened anew: a frozen controller says nothing. Default 15 s. */
  quietMs?: number;
  /** How long the controller may be away before its error is thrown. Default 30 s. */
  patienceMs?: number;
}

const passing: readonly ErrorCode[] = ['unreachable', 'timeout', 'no_quorum', 'interrupted', 'internal'];

/**
 * The app's states. Opens the watch again whenever it breaks or falls silent; throws what the controller says that
 * is not about its own health (`not_found`), its last error when it was away too long, and the signal's reason.
 */
export async function* followApp(
  client: ControllerClient,
  app: string,
  options: FollowOptions,
): AsyncGenerator<AppState> {
  const { clock, signal, quietMs = 15_000, patienceMs = 30_000 } = options;
  let lastState = clock.mono();
  for (;;) {
    if (signal.aborted) throw abortReason(signal);
    const quiet = new AbortController();
    const stop = new AbortController();
    let cancel = clock.after(quietMs, () => quiet.abort(new DeadlineError(quietMs, 'the watch')));
    const both = AbortSignal.any([signal, quiet.signal, stop.signal]);
    let failure: unknown;
    try {
      for await (const state of client.watchApp(app, { signal: both })) {
        cancel();
        cancel = clock.after(quietMs, () => quiet.abort(new DeadlineError(quietMs, 'the watch')));
        lastState = clock.mono();
        yield state;
      }
    } catch (error) {
      failure = error;
    } finally {
      cancel();
      // Whoever stops reading leaves the request open otherwise.
      stop.abort();
    }
    if (signal.aborted) throw abortReason(signal);
    if (failure !== undefined && !quiet.signal.aborted) {
      if (!isPassing(failure) || clock.mono() - lastState > patienceMs) throw failure;
    }
    await clock.sleep(250, signal);
  }
}

function isPassing(error: unknown): boolean {
  // Streams that are cut in the middle fail with whatever the transport says, which is no error of ours.
  if (isFlynnError(error)) return passing.includes(error.code);
  return !(error instanceof Error && error.name === 'ZodError');
}

/** A deadline joined with Ctrl-C for one wait of a command; 0 ms: none. */
export function waitLimit(
  clock: Clock,
  timeoutMs: number,
  signal: AbortSignal,
  what: string,
): { signal: AbortSignal; clear(): void } {
  return timeoutMs > 0 ? deadline(clock, timeoutMs, signal, what) : { signal, clear: () => undefined };
}

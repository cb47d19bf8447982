// The frame every appliance runs in: signals end it in order, a missing dependency never does.
import type { Log } from './log.js';

/** A signal that is aborted on SIGTERM or SIGINT. A second signal is left to the operating system's default. */
export function untilTerminated(log: Log): AbortSignal {
  const controller = new AbortController();
  const stop = (name: string) => {
    log.info({ signal: name }, 'stopping');
    controller.abort();
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
  // A promise that nobody awaited is a bug, but it must not take a running data plane down.
  process.on('unhandledRejection', (error) => log.error({ err: error }, 'unhandled rejection'));
  return controller.signal;
}

/** Resolves when the signal is aborted. */
export function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}

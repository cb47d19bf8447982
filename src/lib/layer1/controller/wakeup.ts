// Waiting for the next reason to look: a change, or a moment. Changes that come while work is done are not lost.
import type { Clock } from '../../util/clock.js';

/** A bell that one loop waits for. */
export class Wakeup {
  private rung = false;
  private resolve: (() => void) | undefined;

  constructor(private readonly clock: Clock) {}

  /** Ends the wait, or the next one when nobody waits now. */
  ring(): void {
    this.rung = true;
    this.resolve?.();
  }

  /** Resolves when it rings, after `ms`, or when the signal is aborted. */
  async wait(ms: number, signal: AbortSignal): Promise<void> {
    if (!this.rung && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const cancel = this.clock.after(ms, () => done());
        const done = (): void => {
          cancel();
          signal.removeEventListener('abort', done);
          this.resolve = undefined;
          resolve();
        };
        this.resolve = done;
        signal.addEventListener('abort', done, { once: true });
      });
    }
    this.rung = false;
  }
}

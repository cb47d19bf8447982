// Turns: work on one app happens one after the other, in the order in which it came.
import { abortable } from '../../util/signal.js';

/** A queue per name, in this process. */
export class Turns {
  private readonly last = new Map<string, Promise<void>>();

  /**
   * Waits for all that came before under this name, then works. `onWait` is called when there is something to wait for.
   * Throws the signal's reason when it is aborted while waiting; the turn is passed on then.
   */
  async take<T>(
    name: string,
    work: () => Promise<T>,
    options: { signal: AbortSignal; onWait(): void },
  ): Promise<T> {
    const before = this.last.get(name);
    let done = (): void => undefined;
    const mine = new Promise<void>((resolve) => (done = resolve));
    // Those behind wait for this one and, should it give up early, for those before it.
    const chain = Promise.all([before, mine]).then(() => undefined);
    this.last.set(name, chain);
    try {
      if (before) {
        options.onWait();
        await abortable(before, options.signal);
      }
      return await work();
    } finally {
      done();
      if (this.last.get(name) === chain) this.last.delete(name);
    }
  }
}

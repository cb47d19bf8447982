// Reads as new as the store: waits until this copy's informers know what another copy has just written.
import { keys } from '../../api/keys.js';
import type { Store } from '../../store/index.js';
import type { Clock } from '../../util/clock.js';
import type { Picture } from './state.js';

/** How long a read may wait, and how long the store is left alone after it did not answer; ms. */
const figures = { waitMs: 400, restMs: 5_000 } as const;

/** Brings the picture up to date before it is read from. With the store away, what is known is shown. */
export class Freshness {
  private restUntil = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly store: Pick<Store, 'txn'>,
    private readonly picture: Picture,
    private readonly clock: Clock,
  ) {}

  /** Waits until the picture has an app's record and formation as the majority has them, 0.4 s at most. */
  async app(name: string): Promise<void> {
    if (this.clock.mono() < this.restUntil) return;
    const wanted = [keys.app(name), keys.formation(name)];
    const result = await this.store
      .txn({ compare: [], then: wanted.map((key) => ({ op: 'get', key })) }, { timeoutMs: figures.waitMs })
      .catch(() => undefined);
    if (!result) {
      this.restUntil = this.clock.mono() + figures.restMs;
      return;
    }
    const found = result.results.flatMap((answer) => (answer.op === 'get' ? answer.entries : []));
    for (const { key, modRevision } of found) await this.picture.reached([key], modRevision, figures.waitMs);
  }
}

// Keys that hang on a lease each, for programs that register by themselves: made, renewed with their news, let go.
import { registrationTimes } from '../../api/discovery-times.js';
import { FlynnError, isFlynnError } from '../../api/errors.js';
import type { Store } from '../../store/port.js';
import type { Log } from '../../util/log.js';

/** What a registrar needs. */
export interface RegistrarDeps {
  store: Pick<Store, 'get' | 'put' | 'txn' | 'delete' | 'grant' | 'keepAliveOnce' | 'revoke'>;
  log: Log;
}

/** A key that is held. */
interface Held {
  owner: string;
  lease: string;
  text: string;
}

const ttlSeconds = registrationTimes.ttlMs / 1000;
const callMs = 2_000;
/** Keys that one job, and all jobs of a host, may hold. */
export const heldBounds = { perOwner: 64, inAll: 5_000 } as const;

/** Holds keys of the store for others. Calls about one key wait for one another. */
export class Registrar {
  private readonly held = new Map<string, Held>();
  private readonly turns = new Map<string, Promise<unknown>>();

  constructor(private readonly deps: RegistrarDeps) {}

  /** Keys held now, with their owners. */
  owners(): Set<string> {
    return new Set([...this.held.values()].map(({ owner }) => owner));
  }

  /**
   * Writes the key, or keeps it for another ten seconds. `make` is given the text that the key has, to keep what must
   * stay of it. Throws what the store throws, and `no_capacity` when the owner holds too many.
   */
  hold(owner: string, key: string, make: (before: string | undefined) => string): Promise<void> {
    return this.inTurn(key, async () => {
      const known = this.held.get(key) ?? (await this.adopt(owner, key));
      if (!known) this.assertRoom(owner);
      const text = make(known?.text);
      const lease = (known && (await this.renewed(known.lease))) ?? (await this.grant());
      try {
        await this.write(key, text, lease, known?.lease === lease && known.text === text);
      } catch (error) {
        // Without its key a lease is of no use; one that was lost on the way runs out by itself.
        if (known?.lease !== lease) void this.revoke(lease);
        throw error;
      }
      this.held.set(key, { owner, lease, text });
    });
  }

  /** Deletes the key; returns the revision from which on nobody finds it. One that is gone already is no error. */
  drop(key: string): Promise<number> {
    return this.inTurn(key, async () => {
      const { revision } = await this.deps.store.delete(key, { timeoutMs: callMs });
      const known = this.held.get(key);
      this.held.delete(key);
      if (known) void this.revoke(known.lease);
      return revision;
    });
  }

  /** Lets go of all that the owner holds. With the store away it is not renewed any more and runs out. */
  async dropAll(owner: string): Promise<void> {
    const keys = [...this.held].filter(([, held]) => held.owner === owner).map(([key]) => key);
    await Promise.all(
      keys.map((key) =>
        this.drop(key).catch((error: unknown) => {
          this.held.delete(key);
          this.deps.log.info({ key, error: String(error) }, 'registration not deleted, it runs out');
        }),
      ),
    );
  }

  /** A key of ours from before this agent began: its lease is gone on with. */
  private async adopt(owner: string, key: string): Promise<Held | undefined> {
    const entry = await this.deps.store.get(key, { timeoutMs: callMs });
    return entry?.lease ? { owner, lease: entry.lease, text: entry.value } : undefined;
  }

  private async renewed(lease: string): Promise<string | undefined> {
    try {
      await this.deps.store.keepAliveOnce(lease, { timeoutMs: callMs });
      return lease;
    } catch (error) {
      if (isFlynnError(error, 'not_found')) return undefined;
      throw error;
    }
  }

  private grant(): Promise<string> {
    return this.deps.store.grant(ttlSeconds, { timeoutMs: callMs });
  }

  private async write(key: string, text: string, lease: string, unchanged: boolean): Promise<void> {
    const { store } = this.deps;
    if (!unchanged) await store.put(key, text, { lease, timeoutMs: callMs });
    // Others may delete a key (a leader those of a lost host): written again only if it is gone, or every renewal would be a change.
    else
      await store.txn(
        {
          compare: [{ key, target: 'create', op: '=', value: 0 }],
          then: [{ op: 'put', key, value: text, lease }],
        },
        { timeoutMs: callMs },
      );
  }

  private async revoke(lease: string): Promise<void> {
    await this.deps.store.revoke(lease, { timeoutMs: callMs }).catch((error: unknown) => {
      this.deps.log.debug({ lease, error: String(error) }, 'lease not revoked, it runs out');
    });
  }

  private assertRoom(owner: string): void {
    const own = [...this.held.values()].filter((held) => held.owner === owner).length;
    if (own < heldBounds.perOwner && this.held.size < heldBounds.inAll) return;
    throw new FlynnError({
      code: 'no_capacity',
      message: `${owner} has ${own} registrations, this host ${this.held.size}: that is as many as there may be`,
    });
  }

  private inTurn<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.turns.get(key) ?? Promise.resolve();
    const mine = before.then(work, work);
    const settled = mine.then(
      () => undefined,
      () => undefined,
    );
    this.turns.set(key, settled);
    void settled.then(() => this.turns.get(key) === settled && this.turns.delete(key));
    return mine;
  }
}

// The router's consumer record: up to which revision HAProxy serves, and whose requests are still open.
import { keys } from '../../api/keys.js';
import type { Consumer } from '../../api/grid.js';
import { keepSession, type Session } from '../../store/session.js';
import type { Store } from '../../store/port.js';
import type { Clock } from '../../util/clock.js';
import type { Log } from '../../util/log.js';
import type { Rng } from '../../util/rng.js';

export interface ConsumerRecordOptions {
  store: Pick<Store, 'grant' | 'keepAliveOnce' | 'revoke' | 'put' | 'delete'>;
  clock: Clock;
  log: Log;
  rng: Rng;
  host: string;
}

/** What the router is at. */
export interface ConsumerState extends Pick<Consumer, 'applied' | 'draining'> {
  /** Hosts that it hears nothing of, each with the moment (monotonic ms) from which none of its processes answered. */
  suspects: ReadonlyMap<string, number>;
}

/** Lease of the record, s: an agent stops waiting for a dead router when it is over. */
const ttlSeconds = 10;
/** At most 20 writes per second. */
const gapMs = 50;
const retryMs = 500;

/**
 * Keeps the record under a lease. Nothing is written before the first `publish`: a router that has not served yet
 * is waited for by nobody.
 */
export class ConsumerRecord {
  private readonly key: string;
  private session: Session | undefined;
  private wanted: ConsumerState | undefined;
  private written: string | undefined;
  private busy = false;
  private notBefore = -Infinity;

  constructor(private readonly options: ConsumerRecordOptions) {
    this.key = keys.consumer('*', options.host);
  }

  /** Holds the lease until the signal is aborted, then ends it and the record with it. */
  async run(signal: AbortSignal): Promise<void> {
    const { store, clock, log, rng } = this.options;
    await keepSession({
      store,
      clock,
      log,
      rng,
      ttlSeconds,
      signal,
      onOpen: (session) => {
        this.session = session;
        this.written = undefined;
        this.pump();
      },
      onLost: () => (this.session = undefined),
    });
    this.session = undefined;
  }

  /** What HAProxy has confirmed; written soon, only the latest of several. */
  publish(state: ConsumerState): void {
    this.wanted = { ...state, suspects: new Map(state.suspects) };
    this.pump();
  }

  /** Takes the record away: this router serves nothing now, and nobody should wait for it. */
  withdraw(): void {
    this.wanted = undefined;
    this.pump();
  }

  private pump(): void {
    const session = this.session;
    if (this.busy || !session?.alive() || gist(this.wanted) === this.written) return;
    this.busy = true;
    this.options.clock.after(this.notBefore - this.options.clock.mono(), () => {
      void this.write(session).finally(() => {
        this.busy = false;
        this.pump();
      });
    });
  }

  private async write(session: Session): Promise<void> {
    const { store, clock, log } = this.options;
    const wanted = this.wanted;
    this.notBefore = clock.mono() + gapMs;
    try {
      if (wanted === undefined) await store.delete(this.key, { signal: session.signal });
      else await store.put(this.key, this.value(wanted), { lease: session.leaseId, signal: session.signal });
      if (this.session === session) this.written = gist(wanted);
    } catch (error) {
      this.notBefore = clock.mono() + retryMs;
      log.info({ key: this.key, error: String(error) }, 'consumer record not written, trying again');
    }
  }

  /** Made when it is written: how long a host has been silent counts from then, whatever held the write up. */
  private value({ applied, draining, suspects }: ConsumerState): string {
    const { host, clock } = this.options;
    const silent = [...suspects].map(([name, since]): [string, number] => [
      name,
      Math.max(0, Math.round(clock.mono() - since)),
    ]);
    return JSON.stringify({
      host,
      applied,
      draining,
      suspects: Object.fromEntries(silent),
    } satisfies Consumer);
  }
}

/** What makes two states the same record: time that passes is no news. */
function gist(state: ConsumerState | undefined): string | undefined {
  return state && JSON.stringify([state.applied, state.draining, [...state.suspects.keys()].sort()]);
}

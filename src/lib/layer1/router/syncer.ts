// The router's loop: follows routes, instances and silent hosts, and keeps the proxy and the consumer record in step.
import { isFlynnError } from '../../api/errors.js';
import type { Clock } from '../../util/clock.js';
import type { Log } from '../../util/log.js';
import type { Draining, RouterBackend } from './backend.js';
import type { ConsumerState } from './consumer.js';
import type { SavedState } from './disk.js';
import { beginHold, withHold, type Hold } from './hold.js';
import { emptyTable, serverCount, type Table } from './state.js';

/** What the store says, once all of it is known. */
export interface View {
  table: Table;
  /** Revision up to which instances are known. */
  revision: number;
  /** Hosts that have at least one instance registered, routed or not. */
  registered: Iterable<string>;
  hosts: SavedState['hosts'];
}

export interface SyncerOptions {
  backend: RouterBackend;
  /** The store's view, undefined as long as any part of it has never been read. */
  view: () => View | undefined;
  /** Revision up to which instances are known now. */
  revision: () => number;
  suspects: () => ReadonlyMap<string, number>;
  publish: (state: ConsumerState) => void;
  withdraw: () => void;
  save: (state: SavedState, durable: boolean) => Promise<void>;
  /** The state on disk at the start. */
  last?: SavedState;
  clock: Clock;
  log: Log;
}

/** Times of the loop, ms. */
const pace = {
  gap: 50,
  drain: 100,
  linger: 1_000,
  tick: 1_000,
  verify: 30_000,
  retry: 200,
  retryMax: 5_000,
  giveUp: 5_000,
};

/** Silence of a host, ms, after which nobody waits for its answers any more: the same that makes it lost (RULES). */
const deadMs = 2_500;

export class Syncer {
  private dirty = true;
  private wake = (): void => undefined;
  private saved: SavedState;
  private savedDurably = true;
  private hold: Hold | undefined;
  private published = -1;
  private fresh = false;
  private draining: Draining = {};
  private lingering = 0;
  private dead: ReadonlySet<string> = new Set();
  private failingSince: number | undefined;

  constructor(private readonly options: SyncerOptions) {
    this.saved = options.last ?? { revision: 0, table: emptyTable, hosts: [] };
    options.backend.onDeath(() => {
      options.log.warn({}, 'the connection to HAProxy ended');
      this.poke();
    });
  }

  /** Something changed: look again soon. */
  poke(): void {
    this.dirty = true;
    this.wake();
  }

  /** The store's revision went back: nothing of what serves is taken for gone. */
  regressed(): void {
    this.options.log.error(
      { servers: serverCount(this.saved.table) },
      'the store was restored or emptied: serving goes on from the last state',
    );
    this.hold = beginHold(this.saved.table, this.hold);
    this.poke();
  }

  /** Hosts to probe, from the store or the last state. */
  hosts(): SavedState['hosts'] {
    return this.options.view()?.hosts ?? this.saved.hosts;
  }

  /** Runs until the signal is aborted; the proxy is left alone then. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log, backend } = this.options;
    let retry = pace.retry;
    let verifyAt = clock.mono() + pace.verify;
    signal.addEventListener('abort', () => this.wake(), { once: true });
    while (!signal.aborted) {
      const started = clock.mono();
      let pause: number;
      try {
        if (this.dirty || started >= verifyAt) {
          await this.apply();
          verifyAt = started + pace.verify;
        } else {
          await this.drain();
        }
        retry = pace.retry;
        pause =
          Object.keys(this.draining).length > 0 ? pace.drain : this.lingering > 0 ? pace.linger : pace.tick;
      } catch (error) {
        this.dirty = true;
        this.failed(error);
        pause = retry;
        retry = Math.min(retry * 2, pace.retryMax);
      }
      await this.wait(pause, started + pace.gap, signal);
      if (this.options.revision() > this.published && this.fresh) this.dirty = true;
      if ([...this.deadNow()].some((host) => !this.dead.has(host))) this.dirty = true;
    }
    backend.close();
    log.info({}, 'the router leaves HAProxy as it is');
  }

  private async apply(): Promise<void> {
    const { backend, clock, log } = this.options;
    this.dirty = false;
    const before = this.saved;
    const { state, fresh } = this.next();
    if (!sameTable(before, state)) {
      await this.save(state, false);
      this.savedDurably = false;
    }
    this.saved = state;
    const started = clock.mono();
    const applied = await backend.apply({
      ...state.table,
      suspects: new Set(this.options.suspects().keys()),
      dead: (this.dead = this.deadNow()),
    });
    this.failingSince = undefined;
    this.fresh = fresh;
    if (applied.how !== 'nothing') {
      const ms = Math.round(clock.mono() - started);
      log.info({ ...applied, ms, revision: state.revision, servers: serverCount(state.table) }, 'applied');
    }
    await this.drain();
  }

  private deadNow(): ReadonlySet<string> {
    const before = this.options.clock.mono() - deadMs;
    const silent = [...this.options.suspects()].filter(([, since]) => since <= before);
    return new Set(silent.map(([host]) => host));
  }

  /** What should be in effect now: the store's view with what is held, or the last state while there is no view. */
  private next(): { state: SavedState; fresh: boolean } {
    const view = this.options.view();
    if (!view) return { state: this.saved, fresh: false };
    if (!this.fresh && view.revision < this.saved.revision) this.regressed();
    const { revision, hosts } = view;
    if (!this.hold) return { state: { revision, hosts, table: view.table }, fresh: true };
    const held = withHold(this.hold, view.table, view.registered, this.options.clock.mono());
    this.hold = held.hold;
    return { state: { revision, hosts, table: held.table }, fresh: true };
  }

  /** Counts what is leaving, then says what is in effect: in this order, so that nobody misses an open request. */
  private async drain(): Promise<void> {
    const { draining, lingering } = await this.options.backend.drain();
    this.draining = draining;
    this.lingering = lingering;
    if (this.fresh) {
      this.published = this.saved.revision;
      this.options.publish({ applied: this.saved.revision, draining, suspects: this.options.suspects() });
    }
    if (!this.savedDurably) {
      this.savedDurably = true;
      await this.save(this.saved, true);
    }
  }

  /** A full disk must not keep traffic from following the instances. */
  private async save(state: SavedState, durable: boolean): Promise<void> {
    try {
      await this.options.save(state, durable);
    } catch (error) {
      this.options.log.error({ error: String(error) }, 'the last state was not written to disk');
    }
  }

  private failed(error: unknown): void {
    const { clock, log, withdraw } = this.options;
    const now = clock.mono();
    this.failingSince ??= now;
    const fields = isFlynnError(error)
      ? { code: error.code, error: error.message, hint: error.hint }
      : { err: error };
    log.error({ ...fields, failingMs: Math.round(now - this.failingSince) }, 'HAProxy does not follow');
    if (now - this.failingSince > pace.giveUp) withdraw();
  }

  /** Until something changes, `ms` at most, and never before `earliest`: changes that come together are taken together. */
  private async wait(ms: number, earliest: number, signal: AbortSignal): Promise<void> {
    const { clock } = this.options;
    await new Promise<void>((resolve) => {
      const cancel = clock.after(ms, () => resolve());
      this.wake = () => {
        cancel();
        resolve();
      };
      if (signal.aborted || (this.dirty && this.failingSince === undefined)) this.wake();
    });
    this.wake = () => undefined;
    const left = earliest - clock.mono();
    if (left > 0 && !signal.aborted) await clock.sleep(left);
  }
}

function sameTable(a: SavedState, b: SavedState): boolean {
  return a.table === b.table && a.hosts === b.hosts;
}

// Elections: the oldest key under elections/NAME/ leads, and every write of a leader is fenced by that key's birth.
import { isFlynnError } from '../api/errors.js';
import type { Clock } from '../util/clock.js';
import { silentLog, type Log } from '../util/log.js';
import { cryptoRng, type Rng } from '../util/rng.js';
import { backoff } from '../util/retry.js';
import { abortReason, anySignal } from '../util/signal.js';
import type { Compare, Entry, Store } from './port.js';
import { keepSession, type Session } from './session.js';

/** Prefix of all candidates of an election. */
export const electionPrefix = (name: string): string => `elections/${name}/`;

/** The leader among the candidates' entries: the one created first; undefined when there is none. */
export const leaderOf = (candidates: readonly Entry[]): Entry | undefined =>
  candidates.reduce<Entry | undefined>(
    (a, b) => (!a || b.createRevision < a.createRevision ? b : a),
    undefined,
  );

/** The term of one leader. */
export interface Leadership {
  readonly name: string;
  /** Our election key. */
  readonly key: string;
  /** Revision at which the key was created: grows from leader to leader, so it serves as the epoch. */
  readonly epoch: number;
  /** Aborted when the leadership is lost. */
  readonly signal: AbortSignal;
  /** The condition that every write carries: our key is still the one we won with. Pass it to `fencedTxn`. */
  guard(): Compare;
  /** Whether we may take ourselves for the leader now: asks the session's clock. The guard is what decides. */
  isLeader(): boolean;
  /** Calls back once when it is lost; at once when it is lost already. */
  onLost(cb: () => void): void;
  /** Gives it up and deletes the key; throws what the store throws, and is over in any case. */
  resign(): Promise<void>;
}

/** What a campaign needs. */
export interface CampaignOptions {
  store: Pick<Store, 'txn' | 'list' | 'get' | 'watch'>;
  session: Session;
  clock: Clock;
  name: string;
  /** Who we are, for others to read: a host's name or an address. */
  value: string;
  signal?: AbortSignal;
  rng?: Rng;
  log?: Log;
}

/** A look at the candidates at least this often, should a watch be silent. */
const LOOK_MS = 15_000;

/**
 * Stands for election and waits until it is won. Rejects with the signal's reason, or with the session's
 * when that ends; a store that is away is waited for as long as the session lives.
 */
export const campaign = async (opts: CampaignOptions): Promise<Leadership> => {
  const { store, session, clock, name, value, rng = cryptoRng } = opts;
  const prefix = electionPrefix(name);
  const key = `${prefix}${session.leaseId}`;
  const signal = anySignal(session.signal, opts.signal);

  let failures = 0;
  let stands = false;
  for (;;) {
    if (signal.aborted) throw abortReason(signal);
    try {
      // Idempotent: a lost answer is repeated, and the key that is there already is ours. Not once more than needed:
      // a transaction that may write is an entry in everybody's log even when it does not.
      if (!stands) {
        await store.txn(
          {
            compare: [{ key, target: 'create', op: '=', value: 0 }],
            then: [{ op: 'put', key, value, lease: session.leaseId }],
          },
          { signal },
        );
      }
      const { entries, revision } = await store.list(prefix, { signal });
      const own = entries.find((e) => e.key === key);
      const leader = leaderOf(entries);
      failures = 0;
      stands = own !== undefined;
      if (own && leader === own) return lead(opts, own);
      if (own) await changed(opts, prefix, revision + 1, signal);
    } catch (error) {
      if (signal.aborted) throw abortReason(signal);
      if (!isFlynnError(error) || error.code === 'not_found') throw error;
      failures += 1;
      await clock.sleep(backoff(failures, rng, 50, 1_000), signal);
    }
  }
};

/** Resolves when a key of the prefix was deleted, when the watch ended, or after LOOK_MS. */
const changed = (
  { store, clock }: Pick<CampaignOptions, 'store' | 'clock'>,
  prefix: string,
  from: number,
  signal: AbortSignal,
): Promise<void> =>
  new Promise((resolve) => {
    let over = false;
    const done = (): void => {
      if (over) return;
      over = true;
      cancel();
      signal.removeEventListener('abort', done);
      resolve();
      watch.close();
    };
    let cancel = clock.after(LOOK_MS, done);
    const watch = store.watch(prefix, from, {
      onEvents: (events) => void (events.some((e) => e.type === 'delete') && done()),
      // Without a watch the timer alone brings the next look, at a shorter interval.
      onEnd: () => {
        if (over) return;
        cancel();
        cancel = clock.after(250, done);
      },
    });
    signal.addEventListener('abort', done, { once: true });
  });

const lead = (opts: CampaignOptions, own: Entry): Leadership => {
  const { store, session, name, log = silentLog } = opts;
  const over = new AbortController();
  const signal = anySignal(over.signal, session.signal);
  const lose = (why: string): void => {
    if (!signal.aborted) log.warn({ election: name, why }, 'leadership lost');
    over.abort(new Error(`leadership of ${name} lost: ${why}`));
  };
  guardKey(opts, own, signal, lose).catch((error: unknown) => {
    if (!signal.aborted) lose(String(error));
  });
  log.info({ election: name, epoch: own.createRevision }, 'elected');
  return {
    name,
    key: own.key,
    epoch: own.createRevision,
    signal,
    guard: () => ({ key: own.key, target: 'create', op: '=', value: own.createRevision }),
    isLeader: () => session.alive() && !signal.aborted,
    onLost: (cb) => {
      if (signal.aborted) cb();
      else signal.addEventListener('abort', () => cb(), { once: true });
    },
    resign: async () => {
      lose('resigned');
      const compare: Compare[] = [{ key: own.key, target: 'create', op: '=', value: own.createRevision }];
      await store.txn({ compare, then: [{ op: 'delete', key: own.key }] });
    },
  };
};

/** Watches our own key: whoever revokes the lease of a leader on a suspect host deletes it. */
const guardKey = async (
  { store, clock, rng = cryptoRng }: CampaignOptions,
  own: Entry,
  signal: AbortSignal,
  lose: (why: string) => void,
): Promise<void> => {
  let from = own.modRevision + 1;
  for (let failures = 0; !signal.aborted;) {
    await changed({ store, clock }, own.key, from, signal);
    if (signal.aborted) return;
    try {
      const now = await store.get(own.key, { signal });
      if (now?.createRevision !== own.createRevision) return lose('our key was deleted');
      from = now.modRevision + 1;
      failures = 0;
    } catch (error) {
      // A store that is away is no reason: the session's clock decides that.
      if (signal.aborted) return;
      if (!isFlynnError(error)) throw error;
      failures += 1;
      await clock.sleep(backoff(failures, rng), signal);
    }
  }
};

/** Options of standing for election again and again. */
export interface RunElectionOptions extends Omit<CampaignOptions, 'session' | 'signal' | 'store'> {
  store: Store;
  /** Life of the session in seconds; 2 is the least. */
  ttlSeconds: number;
  signal: AbortSignal;
  /** Acts as leader until `leadership.signal` is aborted; returning earlier resigns. */
  onElected(leadership: Leadership): Promise<void>;
}

/** Stands for election with a session of its own, over and over, until the signal is aborted. */
export const runElection = async (opts: RunElectionOptions): Promise<void> => {
  const { log = silentLog } = opts;
  await keepSession({
    ...opts,
    onOpen: async (session) => {
      const leadership = await campaign({ ...opts, session });
      try {
        await opts.onElected(leadership);
      } catch (error) {
        // What failed because the term was over is no failure of the leader's work.
        if (!leadership.signal.aborted) throw error;
        log.info({ election: opts.name, error: String(error) }, 'leader work ended with its term');
      }
      await session.close();
    },
  });
};

// Informers: a prefix of the store kept in memory. The list is the truth, the watch a hint; nothing empties it but a list.
import { isFlynnError } from '../api/errors.js';
import { backoff } from '../util/retry.js';
import type { Clock } from '../util/clock.js';
import { silentLog, type Log } from '../util/log.js';
import { cryptoRng, jitter, type Rng } from '../util/rng.js';
import type { Entry, Store, WatchEndReason, WatchEvent } from './port.js';

/** An item: what was parsed, and the entry it came from (for guards). */
export interface Item<T> {
  value: T;
  entry: Entry;
}

/** What an informer needs. */
export interface InformerOptions<T> {
  store: Pick<Store, 'list' | 'watch'>;
  prefix: string;
  /** The value's meaning; undefined, or an exception, when it has none: it is then kept out and reported. */
  parse: (key: string, value: string) => T | undefined;
  clock: Clock;
  rng?: Rng;
  log?: Log;
  /** Time between full lists in milliseconds, ±20 %; 5 minutes. */
  resyncMs?: number;
  /** Time between signs of life that are asked for, in milliseconds; 15 s. After three without one the watch is given up. */
  livenessMs?: number;
  pageSize?: number;
  /** The store's revision went back: it was restored or emptied. Called before the new state is taken over. */
  onRegress?: (from: number, to: number) => void;
}

/** A view of a prefix that follows the store. */
export interface Informer<T> {
  /** Begins to follow, until the signal is aborted; the items stay after that. May be called once. */
  start(signal: AbortSignal): void;
  /** Resolves at the first full list; rejects with the signal's reason when that never came. */
  readonly ready: Promise<void>;
  /** Whether the view is complete and being followed right now. False while the store is away: the items are then old, not gone. */
  readonly synced: boolean;
  /** All items by key: the live map, not a copy. */
  items(): ReadonlyMap<string, Item<T>>;
  get(key: string): Item<T> | undefined;
  /** Keys that exist and whose values mean nothing to us. */
  unparsable(): ReadonlySet<string>;
  /** Revision up to which the prefix is known; 0 before the first list. */
  readonly revision: number;
  /** Calls back once per batch with the changed keys, after `items` has them; the returned function ends that. */
  onChange(cb: (keys: readonly string[]) => void): () => void;
  /**
   * Calls back after every full list, whatever it changed, once `onChange` has been told; the returned function ends
   * that. For whoever keeps more than the view: what was written and deleted between two lists shows in neither.
   */
  onListed(cb: () => void): () => void;
  /** Milliseconds since the store last confirmed the view; Infinity before the first list. */
  stale(): number;
}

/** Why one round of list and watch was over. */
type RoundEnd = WatchEndReason | 'resync' | 'silent';

/** Makes an informer; nothing happens before `start`. */
export const createInformer = <T>(opts: InformerOptions<T>): Informer<T> => {
  const { store, prefix, clock, rng = cryptoRng, log = silentLog } = opts;
  const resyncMs = opts.resyncMs ?? 300_000;
  const livenessMs = opts.livenessMs ?? 15_000;

  const items = new Map<string, Item<T>>();
  const bad = new Map<string, number>();
  const listeners = new Set<(keys: readonly string[]) => void>();
  const listed = new Set<() => void>();
  let revision = 0;
  let synced = false;
  let started = false;
  let contact = Number.NEGATIVE_INFINITY;
  let settle: { resolve: () => void; reject: (reason: unknown) => void } | undefined;
  const ready = new Promise<void>((resolve, reject) => (settle = { resolve, reject }));
  // Whoever awaits it hears of the rejection; whoever does not must not be ended by it.
  ready.catch(() => undefined);

  const notify = (keys: readonly string[]): void => {
    if (keys.length === 0) return;
    for (const cb of [...listeners]) {
      try {
        cb(keys);
      } catch (error) {
        log.error({ prefix, error: String(error) }, 'a listener of the informer failed');
      }
    }
  };

  const parse = (entry: Entry): T | undefined => {
    try {
      return opts.parse(entry.key, entry.value);
    } catch (error) {
      log.debug({ key: entry.key, error: String(error) }, 'value not parsed');
      return undefined;
    }
  };

  /** Takes an entry over; true when the view changed. */
  const set = (entry: Entry): boolean => {
    const { key, modRevision } = entry;
    const known = items.get(key)?.entry;
    if (
      known?.modRevision === modRevision &&
      known.createRevision === entry.createRevision &&
      known.value === entry.value
    ) {
      return false;
    }
    const value = parse(entry);
    if (value !== undefined) {
      bad.delete(key);
      items.set(key, { value, entry });
      return true;
    }
    if (bad.get(key) !== modRevision) log.warn({ key, modRevision }, 'value means nothing to us, kept out');
    bad.set(key, modRevision);
    return items.delete(key);
  };
  const remove = (key: string): boolean => {
    bad.delete(key);
    return items.delete(key);
  };

  const takeList = (list: { entries: Entry[]; revision: number }): void => {
    contact = clock.mono();
    if (list.revision < revision) {
      log.error({ prefix, from: revision, to: list.revision }, 'the revision of the store went back');
      opts.onRegress?.(revision, list.revision);
    }
    const present = new Set(list.entries.map((e) => e.key));
    const gone = [...items.keys(), ...bad.keys()].filter((key) => !present.has(key));
    const changed = [...gone.filter(remove), ...list.entries.filter(set).map((e) => e.key)];
    revision = list.revision;
    synced = true;
    settle?.resolve();
    notify(changed);
    for (const cb of [...listed]) cb();
  };

  const takeEvents = (events: WatchEvent[], upTo: number): void => {
    contact = clock.mono();
    const changed = new Set<string>();
    for (const event of events) {
      if (event.type === 'put' ? set(event.entry) : remove(event.key)) changed.add(event.key);
    }
    revision = Math.max(revision, upTo);
    notify([...changed]);
  };

  /** Follows from the revision after the one known, until something ends it. */
  const follow = (signal: AbortSignal): Promise<RoundEnd> =>
    new Promise((resolve) => {
      const cancels: (() => void)[] = [];
      let over = false;
      const finish = (why: RoundEnd): void => {
        if (over) return;
        over = true;
        for (const cancel of cancels) cancel();
        signal.removeEventListener('abort', onAbort);
        resolve(why);
        watch.close();
      };
      const onAbort = (): void => finish('closed');
      const watch = store.watch(prefix, revision + 1, {
        // A late batch of a watch that was given up must not overtake the list that follows.
        onEvents: (events, upTo) => void (over || takeEvents(events, upTo)),
        onAlive: () => void (over || (contact = clock.mono())),
        onEnd: finish,
      });
      signal.addEventListener('abort', onAbort, { once: true });
      cancels.push(clock.after(jitter(rng, resyncMs), () => finish('resync')));
      cancels.push(
        clock.every(livenessMs, () => {
          if (clock.mono() - contact > 3 * livenessMs) finish('silent');
          else watch.requestProgress();
        }),
      );
      if (over) for (const cancel of cancels) cancel();
    });

  const run = async (signal: AbortSignal): Promise<void> => {
    for (let failures = 0; !signal.aborted;) {
      try {
        takeList(await store.list(prefix, { signal, pageSize: opts.pageSize }));
        const since = clock.mono();
        const why = await follow(signal);
        if (signal.aborted) return;
        if (why !== 'resync') {
          synced = false;
          log.info({ prefix, why, revision }, 'watch ended, listing again');
          failures = clock.mono() - since > 5_000 ? 1 : failures + 1;
        } else failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        synced = false;
        failures += 1;
        const level = isFlynnError(error) ? 'info' : 'error';
        log[level](
          { prefix, error: String(error), staleMs: clock.mono() - contact },
          'list failed, trying again',
        );
      }
      // Many informers lose the store at the same moment: the pause spreads them out.
      if (failures > 0) await clock.sleep(backoff(failures, rng, 50, 3_000), signal);
    }
  };

  return {
    ready,
    start: (signal) => {
      if (started) throw new TypeError(`the informer of ${prefix} was started before`);
      started = true;
      run(signal)
        .catch((error: unknown) => {
          if (!signal.aborted) throw error;
        })
        .finally(() => {
          synced = false;
          settle?.reject(signal.reason);
        });
    },
    get synced() {
      return synced;
    },
    items: () => items,
    get: (key) => items.get(key),
    unparsable: () => new Set(bad.keys()),
    get revision() {
      return revision;
    },
    onChange: (cb) => {
      listeners.add(cb);
      return () => void listeners.delete(cb);
    },
    onListed: (cb) => {
      listed.add(cb);
      return () => void listed.delete(cb);
    },
    stale: () => (revision === 0 ? Number.POSITIVE_INFINITY : clock.mono() - contact),
  };
};

// A store in memory with etcd's semantics and faults on demand: one FakeEtcd, any number of clients that can be cut off.
import { FlynnError, isFlynnError } from '../../src/lib/api/errors.js';
import type {
  CallOptions,
  Entry,
  Store,
  StoreMaintenance,
  StoreMember,
  Txn,
  TxnResult,
  Watch,
  WatchEvent,
  WatchHandler,
} from '../../src/lib/store/port.js';
import { systemClock, type Clock } from '../../src/lib/util/clock.js';
import { abortReason } from '../../src/lib/util/signal.js';
import { Mvcc, type Change } from './store-mvcc.js';

/** A client of the fake, with its faults. */
export interface FakeStore extends Store, StoreMaintenance {
  /**
   * Cuts this client off. `refused`: watches end and calls fail with `unreachable` at once.
   * `silent`: nothing answers; calls fail after their timeout and watches just hear nothing.
   */
  cut(how?: 'refused' | 'silent'): void;
  /** Ends the cut. Watches that a silent cut starved end as disconnected. */
  heal(): void;
  /** The next `n` writes are applied, and their answers lost: they fail as `ambiguous`. */
  loseAnswers(n: number): void;
  /** Ends this client's watches as `disconnected`; it stays connected. */
  dropWatches(): void;
  /** Calls made so far, by name. */
  readonly calls: Record<string, number>;
}

/** The store behind the clients. */
export interface FakeEtcd {
  client(): FakeStore;
  readonly revision: number;
  compact(revision?: number): void;
  /** Empties the store as if it had been restored from nothing: revisions start again. */
  wipe(): void;
}

interface Lease {
  ttlSeconds: number;
  cancel: () => void;
}

interface Watcher {
  prefix: string;
  handler: WatchHandler;
  queue: Change[];
  scheduled: boolean;
  ended: boolean;
}

const noLease = (id: string): FlynnError =>
  new FlynnError({ code: 'not_found', message: `lease ${id} not found` });

/** Makes an empty store. Leases run on the clock handed in. */
export const fakeEtcd = (clock: Clock = systemClock): FakeEtcd => {
  let mvcc = new Mvcc();
  let nextLease = 0x1000;
  let nextMember = 2;
  let members: StoreMember[] = [
    {
      id: '1',
      name: 'fake',
      peerUrls: ['http://fake:2380'],
      clientUrls: ['http://fake:2379'],
      learner: false,
    },
  ];
  const leases = new Map<string, Lease>();
  const clients = new Set<{ tell(change: Change): void; endAll(): void }>();

  const commit = (txn: Txn): TxnResult => {
    const { result, change } = mvcc.txn(txn, (id) => leases.has(id));
    if (change) for (const c of clients) c.tell(change);
    return result;
  };
  const endLease = (id: string): void => {
    leases.get(id)?.cancel();
    leases.delete(id);
    const keys = mvcc.keysOf(id);
    for (let i = 0; i < keys.length; i += 100) {
      commit({ compare: [], then: keys.slice(i, i + 100).map((key) => ({ op: 'delete', key })) });
    }
  };
  const startLease = (id: string, ttlSeconds: number): void => {
    leases.get(id)?.cancel();
    leases.set(id, { ttlSeconds, cancel: clock.after(ttlSeconds * 1000, () => endLease(id)) });
  };

  const client = (): FakeStore => {
    let mode: 'ok' | 'refused' | 'silent' | 'closed' = 'ok';
    let answersToLose = 0;
    const watchers = new Set<Watcher>();
    const calls: Record<string, number> = {};

    const end = (watcher: Watcher, reason: 'closed' | 'disconnected' | 'compacted'): void => {
      if (watcher.ended) return;
      watcher.ended = true;
      watchers.delete(watcher);
      queueMicrotask(() => watcher.handler.onEnd(reason));
    };
    const endAll = (): void => [...watchers].forEach((w) => end(w, 'disconnected'));
    const deliver = (watcher: Watcher): void => {
      watcher.scheduled = false;
      const changes = watcher.queue.splice(0);
      if (watcher.ended || mode !== 'ok' || changes.length === 0) return;
      const events: WatchEvent[] = changes.flatMap((c) =>
        c.events.filter((e) => e.key.startsWith(watcher.prefix)),
      );
      if (events.length > 0) watcher.handler.onEvents(events, changes.at(-1)?.revision ?? 0);
    };
    const offer = (watcher: Watcher, changes: Change[]): void => {
      watcher.queue.push(...changes);
      if (!watcher.scheduled) queueMicrotask(() => deliver(watcher));
      watcher.scheduled = true;
    };
    const self = {
      endAll,
      tell: (change: Change): void => {
        if (mode === 'ok') for (const watcher of watchers) offer(watcher, [change]);
      },
    };
    clients.add(self);

    const call = async <T>(
      name: string,
      kind: 'read' | 'write',
      opts: CallOptions | undefined,
      work: () => T,
    ): Promise<T> => {
      calls[name] = (calls[name] ?? 0) + 1;
      await Promise.resolve();
      if (opts?.signal?.aborted) throw abortReason(opts.signal);
      if (mode === 'silent') {
        await clock.sleep(opts?.timeoutMs ?? 1000, opts?.signal);
        const code = kind === 'read' ? 'no_quorum' : 'ambiguous';
        throw new FlynnError({ code, message: `${name}: the store did not answer` });
      }
      if (mode !== 'ok')
        throw new FlynnError({ code: 'unreachable', message: `${name}: the store cannot be reached` });
      const result = work();
      if (kind === 'write' && answersToLose > 0) {
        answersToLose -= 1;
        throw new FlynnError({ code: 'ambiguous', message: `${name}: the answer was lost` });
      }
      return result;
    };
    const member = (id: string): StoreMember => {
      const found = members.find((m) => m.id === id);
      if (!found) throw new FlynnError({ code: 'not_found', message: `member ${id} not found` });
      return found;
    };

    const store: FakeStore = {
      calls,
      cut: (how = 'refused') => {
        mode = how;
        if (how === 'refused') endAll();
      },
      heal: () => {
        mode = 'ok';
        endAll();
      },
      loseAnswers: (n) => void (answersToLose = n),
      dropWatches: endAll,
      get: (key, opts) =>
        call('get', 'read', opts, () =>
          mvcc.range(key, { revision: opts?.revision, limit: 1 }).entries.find((e) => e.key === key),
        ),
      list: async (prefix, opts = {}) => {
        const pageSize = Math.min(opts.pageSize ?? 1000, 1000);
        for (let tries = 1; ; tries++) {
          let revision = opts.revision ?? 0;
          const entries: Entry[] = [];
          try {
            for (;;) {
              const limit = Math.min(pageSize, (opts.limit ?? Infinity) - entries.length);
              const page = await call('list', 'read', opts, () => {
                revision ||= mvcc.revision;
                return mvcc.range(prefix, { revision, after: entries.at(-1)?.key ?? opts.after, limit });
              });
              entries.push(...page.entries.map((e) => (opts.keysOnly ? { ...e, value: '' } : e)));
              if (!page.more || entries.length >= (opts.limit ?? Infinity)) return { entries, revision };
            }
          } catch (error) {
            if (!isFlynnError(error, 'compacted') || opts.revision || tries >= 5) throw error;
          }
        }
      },
      put: async (key, value, opts) => {
        const result = await call('put', 'write', opts, () =>
          commit({ compare: [], then: [{ op: 'put', key, value, lease: opts?.lease }] }),
        );
        return { revision: result.revision };
      },
      delete: async (key, opts) => {
        const result = await call('delete', 'write', opts, () =>
          commit({ compare: [], then: [{ op: 'delete', key }] }),
        );
        const first = result.results[0];
        return { revision: result.revision, deleted: first?.op === 'delete' ? first.deleted : 0 };
      },
      txn: (txn, opts) => call('txn', 'write', opts, () => commit(txn)),
      watch: (prefix, fromRevision, handler): Watch => {
        calls['watch'] = (calls['watch'] ?? 0) + 1;
        const watcher: Watcher = { prefix, handler, queue: [], scheduled: false, ended: false };
        watchers.add(watcher);
        const past = mvcc.changesFrom(fromRevision);
        if (mode === 'refused' || mode === 'closed') end(watcher, 'disconnected');
        else if (!past) end(watcher, 'compacted');
        else if (mode === 'ok') {
          queueMicrotask(() => !watcher.ended && handler.onAlive?.());
          offer(watcher, past);
        }
        return {
          requestProgress: () => queueMicrotask(() => mode === 'ok' && !watcher.ended && handler.onAlive?.()),
          close: () => end(watcher, 'closed'),
        };
      },
      // A grant whose answer is lost leaves a lease that nobody uses: no reason to call it ambiguous.
      grant: (ttl, opts) =>
        call('grant', 'read', opts, () => {
          const id = (nextLease++).toString(16);
          startLease(id, Math.max(2, ttl));
          return id;
        }),
      keepAliveOnce: (id, opts) =>
        call('keepAliveOnce', 'read', opts, () => {
          const lease = leases.get(id);
          if (!lease) throw noLease(id);
          startLease(id, lease.ttlSeconds);
          return lease.ttlSeconds;
        }),
      revoke: (id, opts) => call('revoke', 'read', opts, () => endLease(id)),
      status: (opts) =>
        call('status', 'read', opts, () => ({
          endpoint: 'fake',
          clusterId: 'fake',
          memberId: '1',
          revision: mvcc.revision,
          version: 'fake',
          dbSize: 0,
          leader: '1',
          raftTerm: 1,
          raftIndex: mvcc.revision,
          alarms: [],
        })),
      members: (opts) => call('members', 'read', opts, () => members.map((m) => ({ ...m }))),
      addMember: (peerUrls, opts) =>
        call('addMember', 'write', opts, () => {
          const added = {
            id: String(nextMember++),
            name: '',
            peerUrls,
            clientUrls: [],
            learner: opts?.learner !== false,
          };
          members.push(added);
          return { ...added };
        }),
      promoteMember: (id, opts) =>
        call('promoteMember', 'write', opts, () => void (member(id).learner = false)),
      removeMember: (id, opts) =>
        call('removeMember', 'write', opts, () => void (members = members.filter((m) => m.id !== id))),
      compact: (revision, opts) => call('compact', 'write', opts, () => mvcc.compact(revision)),
      defragment: (_endpoint, opts) => call('defragment', 'read', opts, () => undefined),
      disarm: (opts) => call('disarm', 'read', opts, () => undefined),
      close: async () => {
        [...watchers].forEach((w) => end(w, 'closed'));
        mode = 'closed';
        clients.delete(self);
        await Promise.resolve();
      },
    };
    return store;
  };

  return {
    client,
    get revision() {
      return mvcc.revision;
    },
    compact: (revision = mvcc.revision) => mvcc.compact(revision),
    wipe: () => {
      for (const lease of leases.values()) lease.cancel();
      leases.clear();
      mvcc = new Mvcc();
      for (const c of clients) c.endAll();
    },
  };
};

/** One client of a store of its own: what most tests want. */
export const fakeStore = (clock?: Clock): FakeStore => fakeEtcd(clock).client();

// What the agent follows in the store: its claims, its own records, the consumers and the omni jobs.
import { Consumer, Instance, OmniJob } from '../../api/grid.js';
import { Claim, JobStatus, Singleton } from '../../api/job.js';
import { keys } from '../../api/keys.js';
import { VolumeRecord } from '../../api/volume.js';
import { createInformer, type Informer } from '../../store/informer.js';
import type { Store } from '../../store/port.js';
import type { Clock } from '../../util/clock.js';
import type { Log } from '../../util/log.js';
import type { Rng } from '../../util/rng.js';
import type { Mirror } from './mirror.js';
import { instanceGone, syncRecords } from './reduce.js';
import { noticeTurns, singletonSeen } from './reduce-singletons.js';
import { isAnyStopping, type HostState } from './state.js';

/** What feeds need. */
export interface FeedDeps {
  state: HostState;
  store: Store;
  clock: Clock;
  rng: Rng;
  log: Log;
  /** Revision of the copy on disk, 0 without one. */
  knownRevision: number;
  /** Called after every change of the state. */
  changed: () => void;
  /** The set of claims or of omni jobs changed: the copy on disk is old. */
  claimsChanged: () => void;
}

/** The informers of an agent, for showing how fresh they are. */
export type Feeds = Record<keyof HostState['listed'] | 'claims', Informer<unknown>>;

/** Begins to follow, until the signal is aborted. */
export const startFeeds = (deps: FeedDeps, signal: AbortSignal): Feeds => {
  const { state, clock, log } = deps;
  const host = state.host.name;

  const informer = <T>(
    prefix: string,
    schema: { parse(value: unknown): T },
    onRegress: (from: number, to: number) => void,
  ): Informer<T> =>
    createInformer<T>({
      store: deps.store,
      prefix,
      parse: (_key, value) => schema.parse(JSON.parse(value)),
      clock,
      rng: deps.rng,
      log,
      onRegress,
    });

  /** Mirrors an informer; `gone` books a deletion. */
  const mirrored = <T>(
    of: Informer<T>,
    mirror: Mirror<T>,
    gone: (key: string, revision: number) => unknown,
    after: () => void,
  ): void => {
    const take = (changed: readonly string[]): void => {
      for (const key of changed) {
        const item = of.get(key);
        if (item) mirror.put(key, item.value, item.entry.modRevision);
        else gone(key, of.revision);
      }
      after();
    };
    of.onChange(take);
    // What is known from disk or from our own writes and is in no list is no more: somebody may have deleted it before
    // the informer ever saw it.
    of.onListed(() => {
      const gones = [...mirror.entries()].map(([key]) => key).filter((key) => !of.get(key));
      if (gones.length > 0) take(gones);
    });
  };
  const whenReady = (of: Informer<unknown>, then: () => void): void => {
    of.ready.then(then, (error: unknown) => {
      if (!signal.aborted) log.error({ error: String(error) }, 'an informer ended');
    });
  };
  const plain = <T>(
    of: Informer<T>,
    into: Map<string, T>,
    name: (key: string) => string,
    after: () => void,
  ): void => {
    of.onChange((changed) => {
      for (const key of changed) {
        const item = of.get(key);
        if (item) into.set(name(key), item.value);
        else into.delete(name(key));
      }
      after();
    });
  };

  const adopt = (from: number, to: number): void => {
    log.error(
      { from, to },
      'the store was restored or emptied: nothing is stopped until an operator confirms',
    );
    state.adoptMode = true;
    state.claims.restart();
  };
  const claims = informer(keys.claimsAt(host), Claim, adopt);
  const instances = informer(keys.instancesAt(host), Instance, () => state.instances.restart());
  const statuses = informer(keys.statusAt(host), JobStatus, () => state.statuses.restart());
  const volumes = informer(keys.volumesAt(host), VolumeRecord, () => state.volumeRecords.restart());
  const singletons = informer(keys.singletons, Singleton, () => undefined);
  const consumers = informer(keys.consumers, Consumer, () => undefined);
  const omnis = informer(keys.omnis, OmniJob, () => undefined);

  const claimsNews = (): void => {
    syncRecords(state);
    deps.claimsChanged();
    deps.changed();
  };
  mirrored(claims, state.claims, (key, revision) => state.claims.remove(key, revision), claimsNews);
  whenReady(claims, () => {
    if (claims.revision < deps.knownRevision) adopt(deps.knownRevision, claims.revision);
    state.claimsFrom = 'store';
    claimsNews();
  });
  mirrored(
    instances,
    state.instances,
    (key, revision) => instanceGone(state, key, revision, { mono: clock.mono(), wall: clock.now() }, true),
    deps.changed,
  );
  const statusNews = (): void => {
    syncRecords(state);
    deps.changed();
  };
  mirrored(statuses, state.statuses, (key, revision) => state.statuses.remove(key, revision), statusNews);
  const recordGone = (key: string, revision: number): unknown => state.volumeRecords.remove(key, revision);
  mirrored(volumes, state.volumeRecords, recordGone, deps.changed);
  singletons.onChange((changed) => {
    for (const key of changed) {
      const item = singletons.get(key);
      const { createRevision: epoch = 0, lease = '' } = item?.entry ?? {};
      singletonSeen(state, key, item && { name: item.value.name, epoch, lease });
    }
    noticeTurns(state, { mono: clock.mono(), wall: clock.now() });
    deps.changed();
  });
  plain(
    consumers,
    state.consumers,
    (key) => key,
    () => {
      // Whether they let go of an instance matters while a job is being stopped, and they write with every instance.
      if (isAnyStopping(state)) deps.changed();
    },
  );
  plain(
    omnis,
    state.omnis,
    (key) => key.slice(keys.omnis.length),
    () => {
      deps.claimsChanged();
      deps.changed();
    },
  );
  const listed = { instances, statuses, consumers, omnis, volumes, singletons };
  for (const [name, of] of Object.entries(listed)) {
    whenReady(of, () => {
      state.listed[name as keyof HostState['listed']] = true;
      deps.changed();
    });
  }
  const all = { claims, ...listed };
  for (const of of Object.values(all)) of.start(signal);
  return all;
};

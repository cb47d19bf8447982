// The hosts of the cluster as the store tells them: one view for all in the agent that ask for it.
import { HostInfo } from '../../api/grid.js';
import { keys } from '../../api/keys.js';
import type { HostFile } from '../../appliance/config.js';
import { createInformer } from '../../store/informer.js';
import type { Store } from '../../store/port.js';
import type { Clock } from '../../util/clock.js';
import type { Log } from '../../util/log.js';
import type { Rng } from '../../util/rng.js';

/** The records `hosts/H/info`. */
export interface HostInfos {
  /** Resolves with the first full list; rejects when the signal is aborted before it. */
  readonly ready: Promise<void>;
  /** Whether there was a full list. */
  listed(): boolean;
  /** The records now: old, not gone, while the store is away. */
  infos(): HostInfo[];
  /** There are records that mean nothing to us. */
  unreadable(): boolean;
  /** Calls back after each change of a record. */
  onChange(changed: () => void): void;
  /** Calls back when the store was restored or emptied, before what it tells then. */
  onRegress(happened: () => void): void;
}

/** Addresses of the hosts that have a member of etcd, as the host's own file tells them. */
export const etcdHosts = (file: Pick<HostFile, 'etcd'>): string[] =>
  file.etcd.map((url) => new URL(url).hostname.replace(/^\[|\]$/g, ''));

const isInfo = (key: string): boolean => key.endsWith('/info');

/** Follows the hosts until the signal is aborted. */
export const followHostInfos = (
  deps: { store: Pick<Store, 'list' | 'watch'>; clock: Clock; rng: Rng; log: Log },
  signal: AbortSignal,
): HostInfos => {
  const { store, clock, rng, log } = deps;
  const regressed = new Set<() => void>();
  const hosts = createInformer<HostInfo | null>({
    store,
    clock,
    rng,
    log,
    prefix: keys.hosts,
    // Books and leases lie under the same prefix.
    parse: (key, value) => (isInfo(key) ? HostInfo.parse(JSON.parse(value)) : null),
    onRegress: () => {
      for (const happened of regressed) happened();
    },
  });
  hosts.start(signal);
  return {
    ready: hosts.ready,
    listed: () => hosts.revision > 0,
    infos: () => [...hosts.items().values()].flatMap(({ value }) => value ?? []),
    unreadable: () => [...hosts.unparsable()].some(isInfo),
    onChange: (changed) => void hosts.onChange((all) => all.some(isInfo) && changed()),
    onRegress: (happened) => void regressed.add(happened),
  };
};

/** Addresses of the hosts that carry the control plane, that host's own first. */
export const controlAddresses = (infos: readonly HostInfo[], own: string): string[] =>
  infos
    .filter(({ roles }) => roles.includes('control'))
    .sort((a, b) => Number(b.name === own) - Number(a.name === own) || (a.name < b.name ? -1 : 1))
    .map(({ address }) => address);

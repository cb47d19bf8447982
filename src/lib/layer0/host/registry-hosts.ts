// Which hosts have a copy of the registry, the nearest first: from the store, and before it answers from the host's file.
import { HostInfo } from '../../api/grid.js';
import { keys } from '../../api/keys.js';
import type { HostFile } from '../../appliance/config.js';
import { createInformer } from '../../store/informer.js';
import type { Store } from '../../store/port.js';
import type { Clock } from '../../util/clock.js';
import type { Log } from '../../util/log.js';
import type { Rng } from '../../util/rng.js';

/** Addresses in the order they are tried: our own when we are a control host, then the others by address. Pure. */
export const registryOrder = (
  own: { address: string; control: boolean },
  infos: Iterable<Pick<HostInfo, 'address' | 'roles'>>,
): string[] => {
  const others = [...infos]
    .filter(({ address, roles }) => roles.includes('control') && address !== own.address)
    .map(({ address }) => address)
    .sort();
  return own.control ? [own.address, ...others] : others;
};

/** Follows the hosts until the signal is aborted; returns the addresses as they are known now. */
export const followRegistryHosts = (
  deps: { store: Store; clock: Clock; rng: Rng; log: Log; file: HostFile },
  signal: AbortSignal,
): (() => string[]) => {
  const { file, ...rest } = deps;
  const hosts = createInformer<HostInfo | null>({
    ...rest,
    prefix: keys.hosts,
    // Books and leases lie under the same prefix.
    parse: (key, value) => (key.endsWith('/info') ? HostInfo.parse(JSON.parse(value)) : null),
  });
  hosts.start(signal);
  const own = { address: file.address, control: file.roles.includes('control') };
  // Etcd lives on control hosts: good enough for a cold start.
  const atFirst = file.etcd.map((url) => ({
    address: new URL(url).hostname.replace(/^\[|\]$/g, ''),
    roles: ['control' as const],
  }));
  return () => {
    const known = [...hosts.items().values()].flatMap(({ value }) => value ?? []);
    return registryOrder(own, known.length > 0 ? known : atFirst);
  };
};

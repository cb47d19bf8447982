// Which hosts have a copy of the registry, the nearest first: from the store, and before it answers from the host's file.
import type { HostInfo } from '../../api/grid.js';
import type { HostFile } from '../../appliance/config.js';
import { etcdHosts, type HostInfos } from './host-infos.js';

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

/** Addresses of the copies as they are known at each call. */
export const registryHosts = (file: HostFile, hosts: Pick<HostInfos, 'infos'>): (() => string[]) => {
  const own = { address: file.address, control: file.roles.includes('control') };
  // Etcd lives on control hosts: good enough for a cold start.
  const atFirst = etcdHosts(file).map((address) => ({ address, roles: ['control' as const] }));
  return () => {
    const known = hosts.infos();
    return registryOrder(own, known.length > 0 ? known : atFirst);
  };
};

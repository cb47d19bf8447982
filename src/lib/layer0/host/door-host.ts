// This host's door: what it knows of the grid, and with whose rights it passes on.
import type { Server } from 'node:http';
import type { DoorInfo } from '../../api/door.js';
import type { ApplianceConfig, HostFile } from '../../appliance/config.js';
import type { EtcdStore } from '../../store/index.js';
import type { Clock } from '../../util/clock.js';
import type { Log } from '../../util/log.js';
import { openDoor } from './door.js';
import { doorPath } from './door-path.js';
import type { HostInfos } from './host-infos.js';
import { registryHosts } from './registry-hosts.js';

/** What the door is made with. */
export interface HostDoorDeps {
  config: ApplianceConfig;
  file: HostFile;
  hosts: Pick<HostInfos, 'infos'>;
  store: Pick<EtcdStore, 'status' | 'members'>;
  clock: Clock;
  log: Log;
}

const storeMs = 1_000;

/** Opens it. Hosts are known as they were last heard of, this one always. */
export const openHostDoor = ({ config, file, hosts, store, clock, log }: HostDoorDeps): Promise<Server> => {
  const control = file.roles.includes('control');
  const known = (): DoorInfo['hosts'] => {
    const infos = hosts.infos().map(({ name, address, roles }) => ({ name, address, roles }));
    const own = { name: file.host, address: file.address, roles: file.roles };
    return infos.some(({ name }) => name === file.host) ? infos : [own, ...infos];
  };
  return openDoor({
    path: doorPath(),
    identity: config.identity(control ? 'control' : 'host'),
    addressOf: (host) => known().find(({ name }) => name === host)?.address,
    // Both are on control hosts.
    sampis: registryHosts(file, hosts),
    info: async () => ({
      cluster: file.cluster,
      host: file.host,
      rights: control ? 'control' : 'host',
      hosts: known(),
      etcd: await storeState(store),
    }),
    clock,
    log,
  });
};

const storeState = async (store: HostDoorDeps['store']): Promise<DoorInfo['etcd']> => {
  const [status, members] = await Promise.allSettled([
    store.status({ timeoutMs: storeMs }),
    store.members({ timeoutMs: storeMs }),
  ]);
  const known = status.status === 'fulfilled' ? status.value : undefined;
  return {
    members: members.status === 'fulfilled' ? members.value.length : 0,
    healthy: known?.leader !== undefined && members.status === 'fulfilled',
    dbSizeBytes: known?.dbSize ?? 0,
    alarms: known?.alarms.map(({ alarm }) => alarm) ?? [],
  };
};

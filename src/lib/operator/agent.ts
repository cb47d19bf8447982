// The host agent's container. Pure.
import { hostPaths } from '../appliance/config.js';
import type { ContainerSpec } from '../docker/port.js';
import { logging } from './containers.js';
import type { ClusterJournal } from './journal.js';

/** Name of the agent's container on every host. */
export const agentContainer = 'flynn-host';

/**
 * The agent's container. It sees the directory of Docker's socket and of iptables' lock: the
 * socket changes when dockerd restarts, and the lock need not be there yet.
 */
export function agentSpec(journal: ClusterJournal, image: string): ContainerSpec {
  return {
    name: agentContainer,
    image,
    // The image's entrypoint starts whichever appliance its argument names.
    cmd: ['host'],
    labels: { 'flynn.system': 'host', 'flynn.cluster': journal.id },
    env: { FLYNN_DOCKER_SOCKET: '/host/run/docker.sock', FLYNN_XTABLES_LOCK: '/host/run/xtables.lock' },
    network: 'host',
    restart: 'always',
    // It keeps the host's firewall.
    capAdd: ['NET_ADMIN', 'NET_RAW'],
    cpuShares: 8192,
    mounts: [
      { type: 'bind', source: '/var/run', target: '/host/run' },
      { type: 'bind', source: hostPaths.config, target: hostPaths.config, readOnly: true },
      { type: 'bind', source: hostPaths.data, target: hostPaths.data },
    ],
    ...logging,
  };
}

// The host agent's container. Pure.
import { hostPaths } from '../appliance/config.js';
import type { ContainerSpec } from '../docker/port.js';
import { logging } from './containers.js';
import type { ClusterJournal } from './journal.js';

/** Name of the agent's container on every host. */
export const agentContainer = 'flynn-host';

/** The agent's container. It sees the directory of Docker's socket: the socket itself changes when dockerd restarts. */
export function agentSpec(journal: ClusterJournal, image: string): ContainerSpec {
  return {
    name: agentContainer,
    image,
    // The image's entrypoint starts whichever appliance its argument names.
    cmd: ['host'],
    labels: { 'flynn.system': 'host', 'flynn.cluster': journal.id },
    env: { FLYNN_DOCKER_SOCKET: '/host/run/docker.sock' },
    network: 'host',
    restart: 'always',
    cpuShares: 8192,
    mounts: [
      { type: 'bind', source: '/var/run', target: '/host/run' },
      { type: 'bind', source: hostPaths.config, target: hostPaths.config, readOnly: true },
      { type: 'bind', source: hostPaths.data, target: hostPaths.data },
    ],
    ...logging,
  };
}

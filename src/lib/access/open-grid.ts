// From a cluster's name to its Layer 0: the operator's own SSH logins to its hosts, and the door of one that answers.
import { FlynnError } from '../api/errors.js';
import type { DoorInfo } from '../api/door.js';
import type { GridClient } from '../operator/door/grid.js';

/** What the way in depends on. */
export interface GridAccessOptions {
  env: Readonly<Record<string, string | undefined>>;
  signal: AbortSignal;
  /** `--cluster`, when it was given. */
  cluster?: string;
  /** `--identity`: private key files. */
  identity?: readonly string[];
  /** `--ssh-config`. */
  sshConfig?: string;
}

/** A way into one grid; closed by whoever opened it. */
export interface GridAccess {
  /** Name of the cluster on this computer. */
  name: string;
  info: DoorInfo;
  grid: GridClient;
  close(): Promise<void>;
}

/** Makes a `GridAccess`; commands have it as a port, tests hand in their own. */
export type OpenGrid = (options: GridAccessOptions) => Promise<GridAccess>;

/**
 * Connects to the first host that answers. Throws `missing` when no cluster or none of its hosts is known here,
 * `not_found` for an unknown name, and what `openDoor` throws.
 */
export const openGrid: OpenGrid = async ({ env, signal, cluster: flag, identity = [], sshConfig }) => {
  const [
    { resolve },
    contexts,
    { flynnHome },
    { createConnector },
    { openDoor },
    grids,
    { systemClock },
    { keysFrom },
  ] = await Promise.all([
    import('node:path'),
    import('../operator/context.js'),
    import('../operator/local-files.js'),
    import('../ssh/index.js'),
    import('../operator/door/open.js'),
    import('../operator/door/grid.js'),
    import('../util/clock.js'),
    import('./open.js'),
  ]);
  const home = flynnHome(env);
  const chosen = await contexts.chooseCluster({ home, env, ...(flag ? { flag } : {}) });
  const { clusters } = await contexts.loadClusters(home);
  // A cluster string names gateways only; the cluster may be known here all the same.
  const cluster = Object.values(clusters).find(
    (each) => each.fingerprint === chosen.fingerprint && each.hosts.length > 0,
  );
  if (!cluster) {
    throw new FlynnError({
      code: 'missing',
      message: `this computer does not know the hosts of ${chosen.name}: Layer 0 is reached over SSH to one of them`,
      hint: 'run it where the cluster was bootstrapped   (flynn cluster list shows what is known here)',
    });
  }
  const door = await openDoor({
    cluster,
    connector: createConnector(env.SSH_AUTH_SOCK ? { agentSocket: env.SSH_AUTH_SOCK } : {}),
    auth:
      identity.length > 0 ? { identityFiles: identity.map((file) => resolve(file)) } : keysFrom(env, cluster),
    ...((sshConfig ?? env.FLYNN_SSH_CONFIG) ? { sshConfig: sshConfig ?? env.FLYNN_SSH_CONFIG } : {}),
    clock: systemClock,
    signal,
  });
  return { name: cluster.name, info: door.info, grid: new grids.GridClient(door.http), close: door.close };
};

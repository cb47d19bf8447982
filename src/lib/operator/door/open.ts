// The operator's way to a grid without a gateway: an SSH connection to whichever host's agent answers first.
import { DoorInfo } from '../../api/door.js';
import { FlynnError, isFlynnError } from '../../api/errors.js';
import { HttpClient } from '../../api/http.js';
import { DialAgent } from '../../docker/dial-agent.js';
import type { AuthOptions, SshConnection, SshConnector } from '../../ssh/port.js';
import type { Clock } from '../../util/clock.js';
import { race, RaceLostError } from '../../util/race.js';
import { deadline } from '../../util/signal.js';
import type { LocalCluster, LocalHost } from '../context.js';
import { doorDial } from './dial.js';

/** How a door is opened. */
export interface OpenDoorOptions {
  cluster: LocalCluster;
  connector: SshConnector;
  auth: AuthOptions;
  /** ssh_config file; false reads none, absent the user's own. */
  sshConfig?: string | false;
  clock: Clock;
  signal: AbortSignal;
}

/** An open door. */
export interface Door {
  info: DoorInfo;
  http: HttpClient;
  close(): Promise<void>;
}

/** Figures, ms: a frozen host costs one stagger; connecting and the first answer are bounded together. */
const staggerMs = 700;
const openMs = 15_000;
const answerMs = 3_000;
/** Time for one answer of the grid, and HTTP connections that are kept, each a channel. */
const callMs = 15_000;
const maxIdle = 4;

/** Control hosts first: what comes through their doors may change the whole grid. Pure. */
export function doorOrder(hosts: readonly LocalHost[]): LocalHost[] {
  const rank = (host: LocalHost): number => (host.roles.includes('control') ? 0 : 1);
  return [...hosts].sort((a, b) => rank(a) - rank(b));
}

/** Opens the first door that answers. Throws `refused` when a host would not have us, `unreachable` when none answers. */
export async function openDoor(options: OpenDoorOptions): Promise<Door> {
  const { cluster, clock, signal } = options;
  const limit = deadline(clock, openMs, signal, `a connection to the grid ${cluster.name}`);
  try {
    const { value } = await race(doorOrder(cluster.hosts), {
      clock,
      staggerMs,
      signal: limit.signal,
      attempt: (host, over) => attempt(options, host, over),
      discard: (late) => void late.close(),
    });
    return value;
  } catch (error) {
    if (signal.aborted) throw error;
    throw explain(error, cluster);
  } finally {
    limit.clear();
  }
}

async function attempt(options: OpenDoorOptions, host: LocalHost, signal: AbortSignal): Promise<Door> {
  const { cluster, connector, auth, sshConfig } = options;
  const conn = await connector.connect(
    { ...host.target, name: host.name },
    {
      hostKeys: { pinned: [host.hostKey] },
      auth,
      signal,
      timeoutMs: openMs,
      ...(sshConfig === undefined ? {} : { sshConfig }),
    },
  );
  const agent = new DialAgent(doorDial(conn), maxIdle);
  const close = async (): Promise<void> => {
    agent.destroy();
    await conn.close();
  };
  try {
    // Its name is in every message about the transport.
    const http = new HttpClient({ baseUrl: `http://${host.name}`, agent, timeoutMs: callMs });
    const info = await http.call('GET', '/', DoorInfo, { signal, timeoutMs: answerMs });
    checkCluster(info, cluster, conn);
    return { info, http, close };
  } catch (error) {
    await close();
    throw error;
  }
}

function checkCluster(info: DoorInfo, cluster: LocalCluster, conn: SshConnection): void {
  if (cluster.id === undefined || info.cluster.id === cluster.id) return;
  throw new FlynnError({
    code: 'conflict',
    message: `${conn.target.host} belongs to another cluster now: ${info.cluster.name} (${info.cluster.id})`,
    hint: `flynn cluster list   (or flynn cluster remove ${cluster.name})`,
  });
}

function explain(error: unknown, cluster: LocalCluster): FlynnError {
  const failures = error instanceof RaceLostError ? error.failures : [];
  // Being refused says more than silence: the way there is fine, the key is not.
  for (const code of ['refused', 'usage', 'conflict'] as const) {
    const said = failures.map((failure) => failure.error).find((each) => isFlynnError(each, code));
    if (isFlynnError(said)) return said;
  }
  const each = failures.map(({ error: one }) => (one instanceof Error ? one.message : String(one)));
  const hosts = cluster.hosts.map(({ name }) => name).join(', ');
  return new FlynnError({
    code: 'unreachable',
    message: `no host of ${cluster.name} answers${each.length > 0 ? `: ${each.join('; ')}` : ` (${hosts})`}`,
    hint: `ssh ${cluster.hosts[0]?.target.user ?? 'root'}@${cluster.hosts[0]?.target.host ?? 'HOST'} docker ps   (shows whether its agent runs)`,
    cause: error,
  });
}

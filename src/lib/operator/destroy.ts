// Destroy: a cluster's containers, images and files leave its hosts, Docker stays and is as it was before.
import { rm } from 'node:fs/promises';
import { FlynnError } from '../api/errors.js';
import { ports as fixed } from '../api/grid.js';
import { hostPaths } from '../appliance/config.js';
import type { Docker } from '../docker/port.js';
import { removeFirewall } from '../layer0/index.js';
import type { SshConnection, SshTarget } from '../ssh/port.js';
import { connectAll, readTargets, type ReachOptions } from './connect.js';
import { agentContainer } from './agent.js';
import { findContainer } from './containers.js';
import { removeCluster } from './context.js';
import { mergeDaemonJson } from './daemon-json.js';
import { daemonBackup, hasDocker, reloadDockerd } from './host-steps.js';
import { journalDir, loadJournal } from './journal.js';
import { limiter } from './limiter.js';
import { dockerDial, run } from './links.js';
import type { OperatorPorts } from './ports.js';

/** What destroy is told. */
export interface DestroyOptions {
  name: string;
  /** Hosts to clear when this computer has no journal of the cluster. */
  hosts: readonly string[];
  reach: ReachOptions;
  /** Asked before the first change, with the hosts; throws to stop. */
  confirm(hosts: readonly string[]): Promise<void>;
  signal: AbortSignal;
}

/** What was removed, by host. */
export interface DestroyResult {
  name: string;
  hosts: { host: string; containers: number }[];
}

/** Clears the hosts and forgets the cluster; repeated, it finds nothing and is fine. */
export async function destroy(ports: OperatorPorts, options: DestroyOptions): Promise<DestroyResult> {
  const { signal } = options;
  const known = await loadJournal(ports.home, options.name);
  const targets = known
    ? known.journal.hosts.map((h): { target: SshTarget; pinned: string[] } => ({
        target: { ...h.target, name: h.name },
        pinned: [h.hostKey],
      }))
    : (await readTargets(options.hosts, options.reach.sshConfig)).map(({ target }) => ({ target }));
  if (targets.length === 0) {
    throw new FlynnError({
      code: 'not_found',
      message: `this computer has no record of the cluster ${options.name}`,
      hint: `flynn cluster destroy ${options.name} root@HOST…   (names its hosts)`,
    });
  }
  const conns = await connectAll(ports, targets, options.reach, signal);
  try {
    for (const conn of conns) await refuseOthers(conn, options.name);
    await options.confirm(targets.map(({ target }) => target.name ?? target.host));
    const hosts = await Promise.all(conns.map((conn) => clearHost(ports, conn, signal)));
    await removeCluster(ports.home, options.name);
    await rm(journalDir(ports.home, options.name), { recursive: true, force: true });
    return { name: options.name, hosts };
  } finally {
    await Promise.all(conns.map((conn) => conn.close()));
  }
}

/** A host of another cluster is never cleared by mistake. */
async function refuseOthers(conn: SshConnection, name: string): Promise<void> {
  const read = await conn.exec(['cat', `${hostPaths.config}/common/host.json`], { sudo: true });
  if (read.code !== 0) return;
  const other = /"cluster":\s*\{[^}]*"name":\s*"([^"]*)"/.exec(read.stdout)?.[1];
  if (other !== undefined && other !== name) {
    throw new FlynnError({
      code: 'conflict',
      message: `${conn.target.host} belongs to the cluster ${other}, not to ${name}`,
      hint: `flynn cluster destroy ${other} …`,
    });
  }
}

async function clearHost(
  ports: OperatorPorts,
  conn: SshConnection,
  signal: AbortSignal,
): Promise<{ host: string; containers: number }> {
  const host = conn.target.name ?? conn.target.host;
  const start = ports.clock.mono();
  let containers = 0;
  if (await hasDocker(conn, signal)) {
    const docker = await ports.openDocker(dockerDial(conn));
    try {
      containers = await removeContainers(docker, signal);
      await removeImages(docker, signal);
      await restoreDaemonJson(conn, signal);
    } finally {
      docker.close();
    }
  }
  // After the agent, which would put it up again; before its files, so that a run that failed here can be repeated.
  await removeFirewall(hostTools(conn), signal);
  await run(conn, ['rm', '-rf', hostPaths.config, hostPaths.data], { signal });
  const ms = Math.round(ports.clock.mono() - start);
  const title = `remove ${containers} containers, images, firewall, configuration and data`;
  ports.reporter.event({ type: 'operation.done', id: `clear@${host}`, title, host, changed: true, ms });
  return { host, containers };
}

/** Only root has the system directories on its path everywhere, and not even root by way of every sudo. */
const toolPath = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Runs tools of the host as root. */
const hostTools =
  (conn: SshConnection) =>
  (argv: readonly string[], input: string, signal?: AbortSignal): ReturnType<SshConnection['exec']> =>
    conn.exec(['env', toolPath, ...argv], { sudo: true, input, signal, maxOutput: 64 * 1024 * 1024 });

const parallelRemovals = 4;
/** A busy engine takes its time to end a container. */
const removalTimeoutMs = 120_000;

/** How the engine of a host names the cluster's registry. */
const registries = [`127.0.0.1:${fixed.registryLocal}/`, `localhost:${fixed.registryLocal}/`];

async function removeContainers(docker: Docker, signal: AbortSignal): Promise<number> {
  // The agent first: it would start again what is removed here.
  const agent = await findContainer(docker, agentContainer);
  if (agent) await docker.containers.remove(agent.id, { force: true, volumes: true }, { signal });
  const found = new Set<string>();
  for (const label of ['flynn.job', 'flynn.system']) {
    for (const { id } of await docker.containers.list({ labels: [label], all: true, signal })) found.add(id);
  }
  const turn = limiter(parallelRemovals);
  await Promise.all(
    [...found].map((id) =>
      turn(() =>
        docker.containers.remove(id, { force: true, volumes: true }, { signal, timeoutMs: removalTimeoutMs }),
      ),
    ),
  );
  return found.size + (agent ? 1 : 0);
}

/**
 * Removes the appliances' images and what came from the cluster's own registry. Images that apps were deployed from
 * by name stay: whose they are, nobody can tell.
 */
async function removeImages(docker: Docker, signal: AbortSignal): Promise<void> {
  const own = (await docker.images.list({ labels: ['flynn.system=image'], signal })).map(({ id }) => id);
  const built = (await docker.images.list({ signal }))
    .flatMap(({ tags, digests }) => [...tags, ...digests])
    .filter((ref) => registries.some((registry) => ref.startsWith(registry)));
  // One after the other: images share layers, and the engine goes by the last reference.
  for (const ref of new Set([...built, ...own])) {
    await docker.images.remove(ref, { force: true }, { signal, timeoutMs: removalTimeoutMs });
  }
}

/** Puts daemon.json back as it was, unless somebody changed it since. */
async function restoreDaemonJson(conn: SshConnection, signal: AbortSignal): Promise<void> {
  const path = '/etc/docker/daemon.json';
  const read = async (file: string): Promise<string | undefined> => {
    const result = await conn.exec(['cat', file], { sudo: true, signal });
    return result.code === 0 ? result.stdout : undefined;
  };
  const before = await read(daemonBackup.file);
  const wasAbsent = before === undefined && (await read(daemonBackup.absent)) !== undefined;
  if (before === undefined && !wasAbsent) return;
  if ((await read(path)) !== mergeDaemonJson(before).text) return;
  // A setting that is merely absent keeps its running value: it is switched off before the old file comes back.
  const off = { ...(JSON.parse(before?.trim() || '{}') as object), 'live-restore': false };
  await conn.writeFile(path, JSON.stringify(off), { sudo: true, signal });
  await reloadDockerd(conn, signal);
  if (before === undefined) await run(conn, ['rm', '-f', path], { signal });
  else await conn.writeFile(path, before, { sudo: true, signal });
}

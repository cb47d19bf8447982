// Steps on the cluster as a whole: etcd answers, its rights are set, the first records are there, everything is up.
import type { SshKey } from '../api/app.js';
import { FlynnError } from '../api/errors.js';
import { ports } from '../api/grid.js';
import type { Pending } from '../seed/protocol.js';
import type { Clock } from '../util/clock.js';
import { agentContainer } from './agent.js';
import { lastLines } from './containers.js';
import { authScript, etcdContainer, healthArgv } from './etcd.js';
import { seedHostOf, seedOf } from './first-records.js';
import { etcdEndpoints } from './host-files.js';
import type { ClusterJournal, ClusterSecrets, JournalHost } from './journal.js';
import type { HostLink } from './links.js';
import { imageOf } from './omni.js';
import { runOneShot } from './seeder.js';

/** What steps on the cluster work with. */
export interface ClusterWork {
  journal: ClusterJournal;
  secrets: ClusterSecrets;
  links: ReadonlyMap<string, HostLink>;
  images: Readonly<Record<string, string>>;
  clock: Clock;
  /** Names of the hosts that join a cluster that is up; absent when it is made. */
  joining?: readonly string[];
}

/** The link to a host of the journal. */
export function linkTo(work: Pick<ClusterWork, 'links'>, name: string): HostLink {
  const link = work.links.get(name);
  if (!link) throw new Error(`there is no connection to ${name}`);
  return link;
}

/** Members of etcd that are connected. */
const members = ({ journal, links }: Pick<ClusterWork, 'journal' | 'links'>): JournalHost[] =>
  journal.hosts.filter((h) => h.roles.includes('etcd') && links.has(h.name));

/** The control host that one-shots run on: the first that is connected. */
function controlHost({ journal, links }: Pick<ClusterWork, 'journal' | 'links'>): JournalHost {
  const host = journal.hosts.find((h) => h.roles.includes('control') && links.has(h.name));
  if (!host) throw new Error('no control host is connected');
  return host;
}

/** Waits until every connected member of etcd answers a linearizable read. Throws `timeout` with the last words of one that does not. */
export async function waitForEtcd(
  work: ClusterWork,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<boolean> {
  await Promise.all(members(work).map((host) => waitForMember(work, host, timeoutMs, signal)));
  return false;
}

/** Waits until one member answers a linearizable read, which takes a majority; throws `timeout` as `waitForEtcd` does. */
export async function waitForMember(
  work: ClusterWork,
  host: JournalHost,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<void> {
  const { clock } = work;
  const { docker } = linkTo(work, host.name);
  const end = clock.mono() + timeoutMs;
  for (;;) {
    const said = await docker.containers
      .exec(etcdContainer, healthArgv(host), { timeoutMs: 10_000, signal })
      .catch((error: unknown) => ({ code: -1, stdout: '', stderr: String(error) }));
    if (said.code === 0) return;
    signal.throwIfAborted();
    if (clock.mono() >= end) {
      const tail = await lastLines(docker, etcdContainer, 3);
      throw new FlynnError({
        code: 'timeout',
        message: `etcd on ${host.name} does not answer: ${tail.join(' / ') || said.stderr.trim()}`,
        hint: `ssh ${host.target.user}@${host.target.host} docker logs --tail 50 ${etcdContainer}`,
      });
    }
    await clock.sleep(300, signal);
  }
}

/** The hosts that an action is about: those that join, else all. */
const concerned = ({ journal, joining }: ClusterWork): JournalHost[] =>
  journal.hosts.filter((host) => joining === undefined || joining.includes(host.name));

/** Sets up etcd's users and roles and switches authentication on. */
export async function guardEtcd(work: ClusterWork, signal: AbortSignal): Promise<boolean> {
  const member = members(work)[0];
  if (!member) throw new Error('the cluster has no member of etcd');
  const { cert, key } = work.secrets.root;
  const script = authScript(concerned(work), member, work.journal.layer0);
  const result = await linkTo(work, member.name).docker.containers.exec(etcdContainer, ['sh', '-c', script], {
    input: `${cert}${key}`,
    timeoutMs: 120_000,
    signal,
  });
  if (result.code !== 0) {
    const said = result.stderr.trim().split('\n').slice(-3).join(' / ');
    throw new FlynnError({
      code: 'failed',
      message: `etcdctl on ${member.name}: ${said || `code ${result.code}`}`,
    });
  }
  return result.stdout.includes('added');
}

function storeAccess(work: ClusterWork) {
  const { journal, secrets } = work;
  const { cert, key } = secrets.root;
  return {
    endpoints: etcdEndpoints(journal, controlHost(work)),
    identity: { ca: secrets.authority.cert, cert, key },
  };
}

/** Writes the first records through a one-shot on the first control host. False when all were there. */
export async function seed(
  work: ClusterWork,
  sshKeys: readonly SshKey[],
  signal: AbortSignal,
): Promise<boolean> {
  const { docker } = linkTo(work, controlHost(work).name);
  const { changed } = await runOneShot({
    docker,
    image: imageOf(work.images, 'seed'),
    name: 'flynn-seed',
    request: {
      do: 'seed',
      store: storeAccess(work),
      grid: seedOf(work.journal, work.secrets, work.images, sshKeys),
    },
    timeoutMs: 60_000,
    signal,
  });
  return changed > 0;
}

/** Adds the hosts that join to the records of the grid. False when they were there. */
export async function join(work: ClusterWork, signal: AbortSignal): Promise<boolean> {
  const { journal, secrets } = work;
  const { docker } = linkTo(work, controlHost(work).name);
  const { changed } = await runOneShot({
    docker,
    image: imageOf(work.images, 'seed'),
    name: 'flynn-seed',
    request: {
      do: 'join',
      store: storeAccess(work),
      cluster: journal.id,
      hosts: concerned(work).map((host) => seedHostOf(journal, secrets, host)),
    },
    timeoutMs: 60_000,
    signal,
  });
  return changed > 0;
}

/** Waits until a host that joins reaches every connected member of etcd; throws `timeout` naming those that keep it out. */
export async function waitForAdmission(
  work: ClusterWork,
  host: JournalHost,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<boolean> {
  const doors = members(work).map(({ name, address }) => ({ host: name, address, port: ports.etcdClient }));
  const { pending } = await runOneShot({
    docker: linkTo(work, host.name).docker,
    image: imageOf(work.images, 'seed'),
    name: 'flynn-seed-reach',
    request: { do: 'reach', doors, timeoutMs },
    timeoutMs: timeoutMs + 30_000,
    signal,
  });
  if (pending.length === 0) return false;
  const closed = pending.map(({ host: name, reason }) => `${name} (${reason ?? 'no answer'})`).join(', ');
  throw new FlynnError({
    code: 'timeout',
    message: `${host.name} is on record and does not get through to etcd on ${closed} after ${timeoutMs / 1000} s`,
    hint: `ssh ${host.target.user}@${host.target.host} ip route get ${doors[0]?.address}   (must show ${host.address} as src), and look for a firewall between them`,
  });
}

/** Waits until agents and omni jobs are up everywhere, or on the hosts that join; throws `timeout` naming host, job and its last lines. */
export async function waitForGrid(
  work: ClusterWork,
  timeoutMs: number,
  progress: (text: string) => void,
  signal: AbortSignal,
): Promise<boolean> {
  const { docker } = linkTo(work, controlHost(work).name);
  const { pending } = await runOneShot({
    docker,
    image: imageOf(work.images, 'seed'),
    name: 'flynn-seed-wait',
    request: {
      do: 'wait',
      store: storeAccess(work),
      timeoutMs,
      ...(work.joining ? { hosts: [...work.joining] } : {}),
    },
    onPending: (up, of, waiting) =>
      progress(`${up} of ${of} up${waiting.length > 0 ? `, ${summary(waiting)}` : ''}`),
    timeoutMs: timeoutMs + 30_000,
    signal,
  });
  if (pending.length === 0) return false;
  throw await notUp(work, pending, timeoutMs);
}

function summary(pending: readonly Pending[]): string {
  const words = pending.slice(0, 3).map((p) => `${p.host}/${p.job} ${p.state}`);
  return `waiting for ${words.join(', ')}${pending.length > 3 ? `, and ${pending.length - 3} more` : ''}`;
}

async function notUp(work: ClusterWork, pending: readonly Pending[], timeoutMs: number): Promise<FlynnError> {
  // The worst first: a job that failed says more than one that waits for it.
  const rank = (p: Pending): number => ['failed', 'crashed', 'unhealthy'].indexOf(p.state);
  const worst = [...pending].sort((a, b) => Number(rank(a) < 0) - Number(rank(b) < 0))[0] as Pending;
  const { docker } = linkTo(work, worst.host);
  let tail = worst.tail ?? [];
  let container = agentContainer;
  if (worst.job !== 'agent') {
    const [found] = await docker.containers.list({ labels: [`flynn.owner=omni/${worst.job}`] });
    if (found) {
      container = found.name;
      if (tail.length === 0) tail = await lastLines(docker, found.id);
    }
  }
  if (tail.length === 0) tail = await lastLines(docker, agentContainer);
  const why = worst.reason ? ` (${worst.reason})` : '';
  const lines = tail.length > 0 ? `; its last lines:\n${tail.map((line) => `    ${line}`).join('\n')}` : '';
  const host = work.journal.hosts.find((h) => h.name === worst.host);
  return new FlynnError({
    code: 'timeout',
    message: `${worst.job} on ${worst.host} is ${worst.state}${why} after ${timeoutMs / 1000} s (${summary(pending)})${lines}`,
    hint: `ssh ${host?.target.user}@${host?.target.host} docker logs --tail 50 ${container}`,
  });
}

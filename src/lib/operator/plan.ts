// The plans: which operations bring hosts to a healthy cluster, and which add hosts to one. Pure.
import { hostDirs, hostFiles } from './host-files.js';
import { mergeDaemonJson } from './daemon-json.js';
import type { ClusterJournal, ClusterSecrets, JournalHost } from './journal.js';
import type { Operation, OperationKind } from './operation.js';
import type { HostFacts } from './facts.js';

/** What the plan is made from. */
export interface PlanInput {
  journal: ClusterJournal;
  secrets: ClusterSecrets;
  /** Facts by host name. */
  facts: ReadonlyMap<string, HostFacts>;
  /** References of the images by appliance; undefined when they are built on the first host. */
  images: Readonly<Record<string, string>> | undefined;
}

/** Collects operations; each is called by its kind and its host. */
function planner() {
  const operations: Operation[] = [];
  const add = (
    kind: OperationKind,
    title: string,
    after: readonly string[],
    host?: JournalHost,
    detail: string[] = [],
  ): string => {
    const id = host ? `${kind}@${host.name}` : kind;
    operations.push({ id, kind, title, after: [...after], detail, ...(host ? { host: host.name } : {}) });
    return id;
  };
  return { operations, add };
}

type Add = ReturnType<typeof planner>['add'];

/** Docker on a host with its settings, if it lacks them; returns the ids. */
function planDocker(add: Add, host: JournalHost, found: HostFacts | undefined): string[] {
  const docker: string[] = [];
  if (found && !found.docker.installed) {
    docker.push(
      add('docker.install', 'install Docker', [], host, [
        'apt-get update',
        'apt-get install -y --no-install-recommends docker.io iptables',
      ]),
    );
  }
  if (!found || needsLiveRestore(found.docker)) {
    docker.push(
      add('docker.configure', 'let containers outlive dockerd', docker, host, configureDetail(found)),
    );
  }
  return docker;
}

/** A host's files; returns the id. */
function planFiles(add: Add, { journal, secrets }: PlanInput, host: JournalHost): string {
  return add('files.write', 'write configuration and certificates', [], host, [
    ...hostDirs(journal, host).map((dir) => `${dir.path}/ ${dir.mode.toString(8)}`),
    ...hostFiles(journal, secrets, host).map((file) => `${file.path} ${file.mode.toString(8)}`),
  ]);
}

/** The references of a manifest, each once. */
const refsOf = (images: Readonly<Record<string, string>>): string[] =>
  [...new Set(Object.values(images))].sort();

/** The operations in an order in which they could run one by one; `after` says what may run at once. */
export function planBootstrap(input: PlanInput): Operation[] {
  const { journal, facts, images } = input;
  const { operations, add } = planner();
  const ready = new Map<string, string[]>();
  let built: string[] = [];
  for (const host of journal.hosts) {
    const docker = planDocker(add, host, facts.get(host.name));
    const files = planFiles(add, input, host);
    if (!images && host === journal.hosts[0]) {
      const detail = [
        "with the host's own engine, from the recipes of this package",
        ...(journal.trust ? ['trusting the certificates of --ca-cert'] : []),
      ];
      built = [add('images.build', 'build images', docker, host, detail)];
    }
    const names = images ? refsOf(images) : ['the ones that were built'];
    const loaded = add('images.load', 'load images', [...docker, ...built], host, names);
    ready.set(host.name, [...docker, files, loaded]);
  }
  const members = journal.hosts.filter((host) => host.roles.includes('etcd'));
  const started = members.map((host) =>
    add('etcd.start', 'start etcd', ready.get(host.name) ?? [], host, [
      `member ${host.name} at ${host.address}`,
    ]),
  );
  const healthy = add('etcd.wait', 'wait until etcd answers', started);
  const guarded = add('etcd.auth', 'give each certificate its rights in etcd', [healthy]);
  const control = journal.hosts.find((host) => host.roles.includes('control'));
  const seeded = add('grid.seed', 'write the first records', [
    guarded,
    ...(ready.get(control?.name ?? '') ?? []),
  ]);
  const agents = journal.hosts.map((host) =>
    add('agent.start', 'start the host agent', [seeded, ...(ready.get(host.name) ?? [])], host),
  );
  const up = add('grid.wait', 'wait until every appliance is up', agents);
  add('local.remember', 'remember the cluster on this computer', [up]);
  return operations;
}

/** What the plan of hosts that join is made from. */
export interface JoinPlanInput extends PlanInput {
  images: Readonly<Record<string, string>>;
  /** Names of the hosts that join. */
  joining: readonly string[];
  /** Name of the host that the images are fetched from; absent when a bundle of them lies here. */
  fetchFrom?: string;
}

/** The operations that make hosts part of a cluster that is up; what they are not about is left alone. */
export function planJoin(input: JoinPlanInput): Operation[] {
  const { journal, facts, images, joining, fetchFrom } = input;
  const { operations, add } = planner();
  const names = [
    ...refsOf(images),
    ...(fetchFrom ? [`fetched from ${fetchFrom} where they are missing`] : []),
  ];
  const healthy = add('etcd.wait', 'wait until etcd answers', []);
  const hosts = journal.hosts.filter((host) => joining.includes(host.name));
  const ready = hosts.flatMap((host) => {
    const docker = planDocker(add, host, facts.get(host.name));
    const files = planFiles(add, input, host);
    return [...docker, files, add('images.load', 'load images', docker, host, names)];
  });
  const guarded = add(
    'etcd.auth',
    'give each certificate its rights in etcd',
    [healthy],
    undefined,
    hosts.map((host) => `user and role host-${host.name}`),
  );
  // Jobs are placed on a host as soon as it is on record: by then all that its agent needs must be there.
  const joined = add(
    'grid.join',
    'put the hosts on record',
    [guarded, ...ready],
    undefined,
    hosts.map((host) => `${host.name} at ${host.address}`),
  );
  const agents = hosts.map((host) => {
    // The firewalls of the others follow the records.
    const admitted = add('grid.admit', 'wait until the cluster lets it in', [joined], host);
    return add('agent.start', 'start the host agent', [admitted], host);
  });
  const up = add('grid.wait', 'wait until every appliance on them is up', agents);
  add('local.remember', 'remember the hosts on this computer', [up]);
  return operations;
}

/** Whether daemon.json must say live-restore: the engine's running value alone is gone with its next start. */
function needsLiveRestore({ liveRestore, liveRestoreFlag, daemonJson }: HostFacts['docker']): boolean {
  if (liveRestoreFlag) return liveRestore !== true;
  return liveRestore !== true || mergeDaemonJson(daemonJson).changed;
}

function configureDetail(facts: HostFacts | undefined): string[] {
  const before = facts?.docker.daemonJson;
  const merged = mergeDaemonJson(before);
  const shown = before === undefined ? 'there is none' : `now ${JSON.stringify(JSON.parse(before || '{}'))}`;
  return [
    `/etc/docker/daemon.json: ${shown}`,
    `then ${JSON.stringify(merged.value)}`,
    'SIGHUP to dockerd, no restart',
  ];
}

// The controller's picture of the cluster, from informers: what every copy answers reads from and the leader plans on.
import {
  parseOwner,
  type App,
  type Deployment,
  type Formation,
  type Release,
  type Route,
} from '../../api/app.js';
import type { ClusterConfig, HostBook, HostInfo } from '../../api/grid.js';
import type { Claim, JobStatus } from '../../api/job.js';
import { keys, partsAfter } from '../../api/keys.js';
import { leaderOf, type Entry } from '../../store/index.js';
import type { Clock } from '../../util/clock.js';
import { createRecords, type RecordKind, type RecordPorts, type Records } from './records.js';

/** A job of an app: what is booked, what its agent says, and its registration. */
export interface JobRecord {
  id: string;
  host: string;
  app: string;
  version: number;
  type: string;
  /** Absent: nothing is booked any more, the status is what is left of it. */
  claim?: Claim;
  status?: JobStatus;
  /** etcd revision of its instance record; absent: not registered. */
  registered?: number;
}

/** A registered host. */
export interface HostState {
  info: HostInfo;
  /** Absent: it joined and has no book yet. */
  book?: HostBook;
  leased: boolean;
}

type Of<K extends 'releases' | 'deployments'> = K extends 'releases' ? Release : Deployment;

/** Apps whose picture changed; `all` when a change concerns every app (hosts, consumers). */
export type Touched = ReadonlySet<string> | 'all';

/** The picture. Everything it returns is of the last known state; `synced` says whether that is being followed. */
export class Picture {
  readonly records: Records;
  private readonly clock: Clock;
  private readonly listeners = new Set<(touched: Touched) => void>();
  private readonly waiters = new Set<() => void>();
  private readonly jobsByApp = new Map<string, Set<string>>();
  private readonly keysByApp = {
    releases: new Map<string, Set<string>>(),
    deployments: new Map<string, Set<string>>(),
  };
  private readonly appOfJob = new Map<string, string>();
  private readonly registeredByJob = new Map<string, { key: string; revision: number }>();
  /** The lowest revision that a consumer has applied, as of the last change of one. */
  private lowestApplied = 0;
  private knownHosts: ReadonlyMap<string, HostState> | undefined;
  /** Revision by which the last instance of an app was withdrawn. */
  private readonly withdrawnByApp = new Map<string, number>();

  constructor(ports: RecordPorts) {
    this.clock = ports.clock;
    this.records = createRecords(ports);
    for (const kind of Object.keys(this.records) as RecordKind[]) {
      this.records[kind].onChange((changed) => this.take(kind, changed));
    }
  }

  /** Begins to follow the store until the signal is aborted. */
  start(signal: AbortSignal): void {
    for (const informer of Object.values(this.records)) informer.start(signal);
  }

  /** Resolves when every prefix was listed once; rejects when the signal of `start` came before that. */
  async ready(): Promise<void> {
    await Promise.all(Object.values(this.records).map((informer) => informer.ready));
  }

  /** True only while every prefix is complete and followed: nothing may be planned otherwise. */
  get synced(): boolean {
    return Object.values(this.records).every((informer) => informer.synced);
  }

  /** Highest revision seen. */
  get revision(): number {
    return Math.max(...Object.values(this.records).map((informer) => informer.revision));
  }

  /** Calls back after changes; the returned function ends that. */
  onChange(listener: (touched: Touched) => void): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  /**
   * Waits until the prefixes of these keys are known up to a revision at which they were written.
   * Resolves with false when that did not come within `timeoutMs`.
   */
  async reached(written: readonly string[], revision: number, timeoutMs = 2_000): Promise<boolean> {
    const kinds = [...new Set(written.map(kindOf))].filter((kind) => kind !== undefined);
    const there = () => kinds.every((kind) => this.records[kind].revision >= revision);
    if (there()) return true;
    return new Promise((resolve) => {
      const done = (value: boolean): void => {
        cancel();
        this.waiters.delete(check);
        resolve(value);
      };
      const check = (): void => void (there() && done(true));
      const cancel = this.clock.after(timeoutMs, () => done(there()));
      this.waiters.add(check);
    });
  }

  /** The cluster's settings; undefined before bootstrap wrote them or the first list came. */
  cluster(): ClusterConfig | undefined {
    return this.records.cluster.get(keys.cluster)?.value;
  }

  app(name: string): App | undefined {
    return this.records.apps.get(keys.app(name))?.value;
  }

  apps(): App[] {
    return [...this.records.apps.items().values()].map(({ value }) => value);
  }

  formation(app: string): Formation['processes'] {
    return this.records.formations.get(keys.formation(app))?.value.processes ?? {};
  }

  release(app: string, version: number): Release | undefined {
    return this.records.releases.get(keys.release(app, version))?.value;
  }

  /** Releases of an app, oldest first. */
  releases(app: string): Release[] {
    return this.below('releases', app);
  }

  /** Deployments of an app, oldest first. */
  deployments(app: string): Deployment[] {
    return this.below('deployments', app);
  }

  /** The deployment that is under way. */
  runningDeployment(app: string): Deployment | undefined {
    return this.deployments(app).findLast(({ state }) => state === 'running');
  }

  routes(): Route[] {
    return [...this.records.routes.items().values()].map(({ value }) => value);
  }

  /** Names of apps that have jobs, whether the app exists or not. */
  ownersOfJobs(): Iterable<string> {
    return this.jobsByApp.keys();
  }

  /** Jobs of an app that are booked or have left a status, oldest first. */
  jobs(app: string): JobRecord[] {
    const jobs = [...(this.jobsByApp.get(app) ?? [])].map((id) => this.job(id));
    return jobs
      .filter((job) => job !== undefined)
      .sort((a, b) => (ageOf(a.id) < ageOf(b.id) ? -1 : ageOf(a.id) > ageOf(b.id) ? 1 : 0));
  }

  /** Registered hosts by name, in order of names; the same map until one of them changes. */
  hosts(): ReadonlyMap<string, HostState> {
    return (this.knownHosts ??= this.readHosts());
  }

  private readHosts(): ReadonlyMap<string, HostState> {
    const hosts = new Map<string, HostState>();
    const items = this.records.hosts.items();
    for (const [key, { value }] of items) {
      if (value.kind !== 'info') continue;
      const [name = ''] = partsAfter(keys.hosts, key);
      const book = items.get(keys.hostBook(name))?.value;
      hosts.set(name, {
        info: value.info,
        ...(book?.kind === 'book' ? { book: book.book } : {}),
        leased: items.has(keys.hostLease(name)),
      });
    }
    return new Map([...hosts].sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  /**
   * The revision up to which every live consumer of a service has applied instance records; Infinity without consumers.
   * `suspects`: hosts whose consumers are not waited for.
   */
  appliedBy(service: string, suspects: ReadonlySet<string>): number {
    let applied = Number.POSITIVE_INFINITY;
    for (const [key, { value }] of this.records.consumers.items()) {
      const [of] = partsAfter(keys.consumers, key);
      if ((of === '*' || of === service) && !suspects.has(value.host))
        applied = Math.min(applied, value.applied);
    }
    return applied;
  }

  /** Revision by which the last instance of an app was withdrawn, 0 when none was since this copy began to look. */
  withdrawn(app: string): number {
    return this.withdrawnByApp.get(app) ?? 0;
  }

  /** Host of the controller that leads, as its candidate key says. */
  leader(): string | undefined {
    const candidates: Entry[] = [...this.records.leaders.items().values()].map(({ entry }) => entry);
    return leaderOf(candidates)?.value;
  }

  private job(id: string): JobRecord | undefined {
    const host = id.slice(0, -27);
    const claim = this.records.claims.get(keys.claim(host, id))?.value;
    const status = this.records.statuses.get(keys.status(host, id))?.value;
    const owner = parseOwner(claim?.o ?? status?.owner ?? '');
    if (!owner) return undefined;
    const registered = this.registeredByJob.get(id)?.revision;
    return {
      id,
      host,
      ...owner,
      ...(claim ? { claim } : {}),
      ...(status ? { status } : {}),
      ...(registered === undefined ? {} : { registered }),
    };
  }

  private below<K extends 'releases' | 'deployments'>(kind: K, app: string): Of<K>[] {
    const names = [...(this.keysByApp[kind].get(app) ?? [])].sort();
    const items: ReadonlyMap<string, { value: unknown }> = this.records[kind].items();
    return names.flatMap((key) => {
      const item = items.get(key);
      return item ? [item.value as Of<K>] : [];
    });
  }

  private take(kind: RecordKind, changed: readonly string[]): void {
    if (kind === 'hosts') this.knownHosts = undefined;
    const touched = this.touchedBy(kind, changed);
    for (const check of [...this.waiters]) check();
    for (const listener of [...this.listeners]) listener(touched);
  }

  private touchedBy(kind: RecordKind, changed: readonly string[]): Touched {
    if (kind === 'claims' || kind === 'statuses') {
      return new Set(changed.map((key) => this.indexJob(lastPart(key))).filter((app) => app !== undefined));
    }
    if (kind === 'instances') {
      return new Set(changed.map((key) => this.indexInstance(key)).filter((app) => app !== undefined));
    }
    if (kind === 'releases' || kind === 'deployments') this.indexKeys(kind, changed);
    if (kind === 'apps' || kind === 'releases' || kind === 'formations' || kind === 'deployments') {
      return new Set(changed.map((key) => key.split('/')[1] ?? ''));
    }
    if (kind === 'consumers') return this.touchedByConsumers();
    if (kind === 'hosts' || kind === 'cluster') return 'all';
    return new Set();
  }

  /**
   * Apps with a job that some consumer did not know before this change: nobody else's state depends on it. Consumers
   * that nobody waits for make the lowest revision lower than it counts, so that rather too many apps are named.
   */
  private touchedByConsumers(): Touched {
    const known = this.lowestApplied;
    this.lowestApplied = this.lowest();
    const touched = new Set<string>();
    for (const [id, { revision }] of this.registeredByJob) {
      const app = revision > known ? this.appOfJob.get(id) : undefined;
      if (app !== undefined) touched.add(app);
    }
    for (const [app, revision] of this.withdrawnByApp) if (revision > known) touched.add(app);
    return touched;
  }

  private lowest(): number {
    let lowest = Number.POSITIVE_INFINITY;
    for (const { value } of this.records.consumers.items().values()) lowest = Math.min(lowest, value.applied);
    return lowest;
  }

  private indexJob(id: string): string | undefined {
    const app = this.job(id)?.app;
    const before = this.appOfJob.get(id);
    if (app === undefined) {
      this.appOfJob.delete(id);
      const jobs = before === undefined ? undefined : this.jobsByApp.get(before);
      jobs?.delete(id);
      if (before !== undefined && jobs?.size === 0) this.jobsByApp.delete(before);
      return before;
    }
    this.appOfJob.set(id, app);
    const jobs = this.jobsByApp.get(app) ?? new Set();
    this.jobsByApp.set(app, jobs.add(id));
    return app;
  }

  private indexKeys(kind: 'releases' | 'deployments', changed: readonly string[]): void {
    const index = this.keysByApp[kind];
    for (const key of changed) {
      const app = key.split('/')[1] ?? '';
      const known = index.get(app) ?? new Set();
      if (this.records[kind].items().has(key)) known.add(key);
      else known.delete(key);
      if (known.size > 0) index.set(app, known);
      else index.delete(app);
    }
  }

  private indexInstance(key: string): string | undefined {
    const id = lastPart(key);
    const item = this.records.instances.get(key);
    if (item) this.registeredByJob.set(id, { key, revision: item.entry.modRevision });
    else if (this.registeredByJob.get(id)?.key === key) {
      this.registeredByJob.delete(id);
      const app = this.appOfJob.get(id);
      if (app !== undefined) this.withdrawnByApp.set(app, this.records.instances.revision);
    }
    return this.appOfJob.get(id);
  }
}

/** The part of a job's id that sorts by time of creation. */
export function ageOf(jobId: string): string {
  return jobId.slice(-26);
}

function lastPart(key: string): string {
  return key.slice(key.lastIndexOf('/') + 1);
}

const kindByPrefix: Record<string, RecordKind> = {
  cluster: 'cluster',
  hosts: 'hosts',
  claims: 'claims',
  status: 'statuses',
  instances: 'instances',
  consumers: 'consumers',
  apps: 'apps',
  releases: 'releases',
  formations: 'formations',
  deployments: 'deployments',
  routes: 'routes',
  keys: 'sshKeys',
  events: 'events',
};

/** Which informer holds a key; undefined for keys that the controller does not follow. */
function kindOf(key: string): RecordKind | undefined {
  return kindByPrefix[key.slice(0, key.indexOf('/'))];
}

// One simulated cluster: hosts on one timeline, one network and one store, and what is true of them.
import { keys } from '../../src/lib/api/keys.js';
import { FlynnError, isFlynnError } from '../../src/lib/api/errors.js';
import type { HostInfo } from '../../src/lib/api/grid.js';
import type { JobTemplateInput } from '../../src/lib/api/job.js';
import { BookCache } from '../../src/lib/layer0/sampi/load.js';
import { createHostBook, putTemplate } from '../../src/lib/layer0/sampi/index.js';
import type { Endpoint } from '../../src/lib/layer0/discovery/suspicion.js';
import { silentLog, type Log } from '../../src/lib/util/log.js';
import { retry } from '../../src/lib/util/retry.js';
import { randomInt, seededRng, type Rng } from '../../src/lib/util/rng.js';
import { Checker } from './checker.js';
import type { Behaviour } from './docker.js';
import { SimHost } from './host.js';
import { Net } from './net.js';
import { Process } from './process.js';
import { SimEtcd, type Member } from './store.js';
import { SimStore } from './store-client.js';
import { Timeline } from './timeline.js';

const MiB = 1024 * 1024;

/** What one host offers: small enough that placements are refused now and then. */
export const capacity = { m: 2_048, c: 4_000 } as const;

/** The images there are; what they do is in their tag. */
const images = ['app:1', 'app:2', 'app:slow', 'app:deaf', 'app:task', 'app:omni'] as const;

/** A run's choices. */
export interface WorldOptions {
  seed: number;
  hosts: number;
  /** Hosts with etcd, sampi and a copy of the controller. */
  controls?: number;
  /** Every line that a process logs, for people who look at a failure. */
  onLog?: (line: string) => void;
}

/** The cluster. */
export class World {
  readonly timeline = new Timeline();
  readonly rng: Rng;
  readonly net: Net;
  readonly etcd: SimEtcd;
  readonly checker: Checker;
  readonly hosts = new Map<string, SimHost>();
  readonly members: Member[] = [];
  readonly sampis = new Map<string, { process: Process; store: SimStore; books: BookCache }>();
  readonly clusterKey = Buffer.alloc(32, 7);
  readonly images = images;
  /** The operator's machine: its client of the store is never cut off. */
  readonly operator: Process;
  readonly store: SimStore;
  /** Asked when a leader's transaction is about to be judged: whoever wants to freeze somebody at work does it now. */
  atWork: ((machine: SimHost) => void) | undefined;
  private count = 0;

  constructor(readonly options: WorldOptions) {
    this.rng = seededRng(options.seed);
    this.net = new Net(this.timeline, this.dice());
    const controls = Math.min(options.controls ?? 3, options.hosts);
    this.checker = new Checker(this);
    this.timeline.onEndless = (message) => this.checker.fail('no-bug', message);
    for (let i = 0; i < options.hosts; i++) this.addMachine(i < controls);
    for (const host of this.hosts.values())
      if (host.control)
        this.members.push({ id: String(this.members.length + 1), alive: true, machine: host });
    this.etcd = new SimEtcd(this.timeline, this.net, this.dice(), this.members);
    this.etcd.onCommit((change, actor) => this.checker.committed(change, actor));
    this.net.onChange(() => {
      for (const host of this.hosts.values()) host.prober?.poke();
    });
    const machine = { name: 'operator', up: true, frozen: false, wallOffset: 0, held: [] };
    this.operator = new Process(this.timeline, machine, 'tenant', this.seed());
    this.store = new SimStore(this.etcd, this.operator, 'operator');
  }

  /** A seed for something new in this run. */
  seed(): number {
    return randomInt(this.rng, 2 ** 31);
  }

  dice(): Rng {
    return seededRng(this.seed());
  }

  /** Something was killed, cut, frozen, or came back. */
  changed(): void {
    this.net.changed();
  }

  memberOf(host: SimHost): Member | undefined {
    return this.members.find(({ machine }) => machine === host);
  }

  /** A machine that is not yet part of the cluster. */
  addMachine(control: boolean): SimHost {
    const n = ++this.count;
    const host = new SimHost(this, `h${n}`, `10.0.${n >> 8}.${n & 255}`, control);
    this.hosts.set(host.name, host);
    return host;
  }

  /** Hosts that are registered, as probers are told. */
  *registered(): Iterable<string> {
    for (const host of this.hosts.values()) if (!host.removed) yield host.name;
  }

  /** Whether a host's process answers a probe from a machine now; a lossy network does not always let it. */
  answers(from: SimHost, name: string, endpoint: Endpoint): boolean {
    const to = this.hosts.get(name);
    if (!to || to.removed || !this.net.connected(from, to)) return false;
    return endpoint === 'router' || this.processOf(to, 'agent') !== undefined;
  }

  processOf(host: SimHost, kind: 'agent' | 'router' | 'controller' | 'sampi'): Process | undefined {
    const process = host.processes.get(kind);
    return process?.alive ? process : undefined;
  }

  readonly behaviour = (image: string, rng: Rng): Behaviour => {
    const quick = { readyMs: 100 + 700 * rng.next(), endMs: 50 + 400 * rng.next() };
    switch (image) {
      case 'app:slow':
        return { ...quick, readyMs: 3_000 + 3_000 * rng.next() };
      case 'app:deaf':
        return { readyMs: quick.readyMs };
      case 'app:task':
        return { ...quick, lastsMs: 1_000 + 9_000 * rng.next() };
      default:
        return quick;
    }
  };

  /** Where a process logs. */
  log(process: Process): Log {
    const { onLog } = this.options;
    if (!onLog) return silentLog;
    const at = (level: string) => (fields: object, message: string) =>
      onLog(`${this.timeline.now.toFixed(1)} ${level} ${process.name} ${message} ${JSON.stringify(fields)}`);
    return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
  }

  /** A line for people who look at a failure. */
  tell(line: string): void {
    this.options.onLog?.(`${this.timeline.now.toFixed(1)} ${line}`);
  }

  /** An exception of ours that reached the edge of a process. */
  bug(error: unknown): FlynnError {
    this.checker.fail('no-bug', error instanceof Error ? (error.stack ?? error.message) : String(error));
    return new FlynnError({ code: 'internal', message: String(error) });
  }

  /** Bootstraps the cluster: records first, then every process. */
  async bootstrap(): Promise<void> {
    const cluster = {
      ...{ id: 'c1', name: 'sim', domain: 'example.com', createdAt: 1, gatewayFingerprint: 'SHA256:x' },
      images: {},
    };
    await this.store.put(keys.cluster, JSON.stringify(cluster));
    for (const host of this.hosts.values()) await this.register(host);
    const omni: JobTemplateInput = {
      ...{ kind: 'omni', image: 'app:omni', network: 'host', priority: 'system' },
      ports: [{ name: 'http', container: 9_100 }],
      resources: { memory: 32 * MiB, cpu: 10 },
      service: { name: 'mon' },
      health: { type: 'tcp', intervalMs: 10_000, startIntervalMs: 250, threshold: 1 },
      stopTimeoutMs: 1_000,
    };
    const { hash } = await putTemplate(this.store, omni);
    const record = { name: 'mon', on: 'all', template: hash, order: 10 };
    await this.store.put(keys.omni('mon'), JSON.stringify(record));
  }

  /** Writes a host's records, as bootstrap and add-host do, and starts what belongs on it. */
  async register(host: SimHost): Promise<void> {
    const info: HostInfo = {
      ...{ name: host.name, address: host.address, publicAddress: host.address, arch: 'amd64' },
      roles: host.control ? ['control', 'etcd'] : [],
      ...{ wrapKey: 'public', cpuMillis: capacity.c, memoryBytes: capacity.m * MiB, joinedAt: 1 },
    };
    await this.insist(() => this.store.put(keys.hostInfo(host.name), JSON.stringify(info)));
    await this.insist(() => createHostBook(this.store, host.name, capacity, this.operator));
    host.joined = true;
    for (const service of host.services) host.start(service);
  }

  /** A host is gone for ever: its records go after it, as an operator removes it. */
  async remove(host: SimHost): Promise<void> {
    host.crash();
    host.removed = true;
    this.changed();
    await this.forget(host);
  }

  /** Deletes the records of a host. */
  async forget(host: SimHost): Promise<void> {
    const prefixes = [keys.claimsAt, keys.statusAt, keys.instancesAt].map((at) => at(host.name));
    const all = [...prefixes, `hosts/${host.name}/`];
    const then = all.map((key) => ({ op: 'delete' as const, key, prefix: true }));
    await this.insist(() => this.store.txn({ compare: [], then }));
  }

  /** What an operator does again until it is done. */
  insist<T>(work: () => Promise<T>): Promise<T> {
    const { clock, rng } = this.operator;
    return retry(work, { clock, rng, attempts: 1_000, retryable: (error) => isFlynnError(error) });
  }
}

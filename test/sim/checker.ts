// What must hold at every step, recounted from the store's changes and the engines' containers, never from our own books.
import { keys } from '../../src/lib/api/keys.js';
import { hostOfJob } from '../../src/lib/api/names.js';
import type { HostBook, Instance } from '../../src/lib/api/grid.js';
import type { Claim } from '../../src/lib/api/job.js';
import type { ContainerSpec } from '../../src/lib/docker/index.js';
import type { Change } from '../fakes/store-mvcc.js';
import { cronKey } from './cron.js';
import type { DockerListener } from './docker.js';
import type { Node } from './net.js';
import { Trace } from './trace.js';
import type { World } from './world.js';

/** The names of what must hold. */
export const invariants = {
  capacity: 'no host has more claimed or running than it has',
  books: 'a book says what a recount of its claims says',
  ports: 'no two jobs have one port of a host',
  'stop-claimed': 'a container is signalled only if a claim said stop',
  'stop-final': 'a claim that said stop never says anything else again',
  'credit-last': 'a claim is released only when no container of it runs',
  'check-first': 'an instance is registered only when a check of it has passed',
  'deregister-first': 'a container is told to end only when its instance is withdrawn',
  drained: 'a container is told to end only when the routers let go of it, or after the cap',
  misrouted: 'no router sends requests to a port that another job has now',
  fenced: 'only the leader of the moment writes as leader',
  epoch: 'no epoch goes back where it is written',
  'one-leader': 'nobody acts as leader after a later one has acted',
  'placed-once': 'a job that was refused is not booked, and a job is booked once',
  'job-kept': 'a job that was confirmed is booked',
  'runs-once': 'no job has two containers that run, and a one-off is started once',
  majority: 'when most hosts go missing at once, none is declared lost',
  converges: 'claims, containers, instances and routers are as they should be once all is healed',
  'no-bug': 'nothing throws what nobody expects',
} as const;

/** Name of one of them. */
export type Invariant = keyof typeof invariants;

/** What was found broken. */
export interface Violation {
  invariant: Invariant;
  message: string;
  /** ms of the run's time. */
  at: number;
}

interface HostAccount {
  claims: Map<string, Claim>;
  used: { m: number; c: number };
  book?: HostBook;
  /** Containers that run, by id. */
  running: Map<string, { job: string; m: number; c: number; ports: number[] }>;
}

/** Routers are waited for so long, ms (RULES 5), and a new consumer is known to every agent after this. */
const drainCapMs = 9_500;
const knownMs = 30_000;
const majorityMs = 30_000;
/** Time after which a container that was healthy when it was last asked may be registered no more. */
const staleMs = 30_000;

/** Watches one run; the first violation ends it. */
export class Checker implements DockerListener {
  violation: Violation | undefined;
  readonly trace = new Trace();
  /** Every job that was ever booked, with its first claim. */
  readonly everClaimed = new Map<string, Claim>();
  readonly hosts = new Map<string, HostAccount>();
  /** Changes of the store. */
  commits = 0;
  /** After a restore: what runs and is not in the store is nobody's until an operator has cleared it away. */
  restored = false;
  private readonly stopSaid = new Set<string>();
  private readonly withdrawnAt = new Map<string, number>();
  private readonly registered = new Map<string, string>();
  private readonly readyAt = new Map<string, number>();
  private readonly consumers = new Map<string, number>();
  private readonly elections = new Map<string, { actor: string; born: number }>();
  /** Everybody who ever stood for election, by key. */
  private readonly candidates = new Map<string, string>();
  private readonly starts = new Map<string, number>();
  private lostMarks: { host: string; actor: string; at: number }[] = [];
  private lastAct = 0;
  private lastEpoch = 0;
  private dirty = new Set<string>();

  constructor(private readonly world: World) {}

  /** Notes a violation, the first one only. */
  fail(invariant: Invariant, message: string): void {
    this.violation ??= { invariant, message, at: this.world.timeline.now };
  }

  account(host: string): HostAccount {
    let account = this.hosts.get(host);
    if (!account)
      this.hosts.set(host, (account = { claims: new Map(), used: { m: 0, c: 0 }, running: new Map() }));
    return account;
  }

  // ---- the store ----

  /** One change of the store, by whoever. */
  committed(change: Change, actor: string): void {
    this.commits += 1;
    const { trace } = this;
    trace.number(change.revision);
    for (const event of change.events) {
      trace.text(event.key);
      if (event.type === 'put') trace.text(event.entry.value);
      const { key } = event;
      const slash = key.indexOf('/');
      switch (key.slice(0, slash)) {
        case 'claims':
          this.claimChanged(key, event.type === 'put' ? event.entry.value : undefined, actor);
          break;
        case 'hosts':
          if (key.endsWith('/book'))
            this.bookChanged(key, event.type === 'put' ? event.entry.value : undefined);
          break;
        case 'instances':
          this.instanceChanged(key, event.type === 'put' ? event.entry.value : undefined, actor);
          break;
        case 'consumers':
          if (event.type === 'delete') this.consumers.delete(key);
          else if (!this.consumers.has(key)) this.consumers.set(key, this.world.timeline.now);
          break;
        case 'elections':
          if (event.type === 'delete') this.elections.delete(key);
          else if (key.startsWith('elections/controller/')) {
            this.candidates.set(key, actor);
            this.elections.set(key, { actor, born: event.entry.createRevision });
          }
          break;
        case 'events':
          if (event.type === 'put' && event.entry.value.includes('"type":"host.')) this.ledBy(actor, key);
          break;
        case 'sim':
          if (event.type === 'put' && key === cronKey) this.epochWritten(Number(event.entry.value));
      }
    }
    if (this.dirty.size > 0) {
      for (const host of this.dirty) this.recount(host);
      this.dirty.clear();
    }
  }

  private claimChanged(key: string, value: string | undefined, actor: string): void {
    const job = key.slice(key.lastIndexOf('/') + 1);
    const host = hostOfJob(job);
    const account = this.account(host);
    const before = account.claims.get(job);
    const claim = value === undefined ? undefined : (JSON.parse(value) as Claim);
    if (before) {
      account.used.m -= before.m;
      account.used.c -= before.c;
      account.claims.delete(job);
    }
    if (claim) {
      account.used.m += claim.m;
      account.used.c += claim.c;
      account.claims.set(job, claim);
      if (before?.w === 'stop' && claim.w !== 'stop')
        this.fail('stop-final', `${job} said stop and says ${claim.w}, by ${actor}`);
      if (!before && this.everClaimed.has(job) && !this.restored)
        this.fail('placed-once', `${job} was booked before and is booked again, by ${actor}`);
      if (!this.everClaimed.has(job)) this.everClaimed.set(job, claim);
      if (claim.w === 'stop') this.stopSaid.add(job);
      if (claim.w === 'lost' && before?.w !== 'lost') this.declaredLost(host, actor);
    } else {
      for (const it of account.running.values())
        if (it.job === job && actor.startsWith('agent:'))
          this.fail('credit-last', `${job} was released by ${actor} while its container runs`);
    }
    this.dirty.add(host);
    if (actor.startsWith('sampi for controller:')) this.ledBy(actor, key);
  }

  /** RULES 9: within 30 s, one leader declares at most half of the hosts lost. */
  private declaredLost(host: string, actor: string): void {
    const { now } = this.world.timeline;
    const marks = this.lostMarks.filter((mark) => mark.actor === actor && now - mark.at <= majorityMs);
    marks.push({ host, actor, at: now });
    this.lostMarks = marks;
    const lost = new Set(
      marks.map((mark) => mark.host).filter((name) => name === host || this.isStillLost(name, actor)),
    );
    const all = [...this.world.registered()].length;
    if (lost.size * 2 > all)
      this.fail('majority', `${[...lost].join(', ')} of ${all} hosts are declared lost`);
  }

  /** Its claims say so, and the leader's machine does hear nothing of it: claims of a host that is back follow later. */
  private isStillLost(name: string, actor: string): boolean {
    const host = this.world.hosts.get(name);
    const leader = [...this.world.hosts.values()].find(({ copy }) =>
      actor.endsWith(copy?.process.name ?? '-'),
    );
    if (!host || !leader || this.world.net.connected(host, leader)) return false;
    return [...this.account(name).claims.values()].some(({ w }) => w === 'lost');
  }

  private bookChanged(key: string, value: string | undefined): void {
    const host = key.split('/')[1] ?? '';
    this.account(host).book = value === undefined ? undefined : (JSON.parse(value) as HostBook);
    this.dirty.add(host);
  }

  private recount(host: string): void {
    const { book, claims, used } = this.account(host);
    if (!book) return;
    if (used.m > book.capacity.m || used.c > book.capacity.c)
      this.fail(
        'capacity',
        `${host} has ${used.m} MiB and ${used.c} millicores claimed of ${JSON.stringify(book.capacity)}`,
      );
    if (used.m !== book.used.m || used.c !== book.used.c || claims.size !== book.jobs)
      this.fail(
        'books',
        `the book of ${host} says ${JSON.stringify(book.used)} and ${book.jobs} jobs, its claims say ${JSON.stringify(used)} and ${claims.size}`,
      );
    const ports = new Map<number, string>();
    for (const [job, { p }] of claims) {
      for (const port of p) {
        const other = ports.get(port);
        if (other !== undefined) this.fail('ports', `${job} and ${other} both have port ${port} of ${host}`);
        ports.set(port, job);
      }
    }
    if (ports.size !== book.ports.length || book.ports.some((port) => !ports.has(port)))
      this.fail(
        'books',
        `the book of ${host} has ports ${book.ports.join(' ')}, its claims ${[...ports.keys()].join(' ')}`,
      );
  }

  private instanceChanged(key: string, value: string | undefined, actor: string): void {
    const job = key.slice(key.lastIndexOf('/') + 1);
    if (actor.startsWith('controller:')) this.ledBy(actor, key);
    if (value === undefined) {
      this.registered.delete(job);
      this.withdrawnAt.set(job, this.world.timeline.now);
      return;
    }
    this.registered.set(job, key);
    this.withdrawnAt.delete(job);
    if (!actor.startsWith('agent:')) return;
    const host = this.world.hosts.get(hostOfJob(job));
    const runs = [...(host?.docker.running.values() ?? [])].some((it) => it.job === job && it.ready);
    const last = runs ? this.world.timeline.now : this.readyAt.get(job);
    if (last === undefined || this.world.timeline.now - last > staleMs) {
      const { address, port } = JSON.parse(value) as Instance;
      this.fail(
        'check-first',
        `${job} is registered at ${address}:${port} and no check of it can have passed`,
      );
    }
  }

  /** A write as leader is only good while the writer's own candidacy is the oldest. */
  private ledBy(actor: string, key: string): void {
    const writer = actor.replace(/^sampi for /, '');
    let leader: { actor: string; born: number } | undefined;
    for (const item of this.elections.values()) if (!leader || item.born < leader.born) leader = item;
    // A snapshot may hold the key of an older, dead leader beside that of the one whose guard still holds.
    if (this.restored && [...this.elections.values()].some((item) => item.actor === writer)) return;
    if (leader?.actor !== writer)
      this.fail('fenced', `${writer} wrote ${key} as leader, and ${leader?.actor ?? 'nobody'} leads`);
  }

  private epochWritten(epoch: number): void {
    if (epoch < this.lastEpoch && !this.restored)
      this.fail('epoch', `epoch ${epoch} was written after ${this.lastEpoch}`);
    this.lastEpoch = epoch;
  }

  /** Somebody acts as the leader of that epoch, on its own word alone. */
  acted(epoch: number): void {
    if (epoch < this.lastAct && !this.restored)
      this.fail('one-leader', `the leader of epoch ${epoch} acts after that of ${this.lastAct}`);
    this.lastAct = epoch;
  }

  /** The store was put back: revisions, and so epochs, begin again at an older one, and what it says is what is booked. */
  wasRestored(): void {
    this.restored = true;
    this.elections.clear();
    this.registered.clear();
    this.consumers.clear();
    for (const account of this.hosts.values()) {
      account.claims.clear();
      account.used = { m: 0, c: 0 };
      account.book = undefined;
    }
    const { mvcc } = this.world.etcd;
    for (const { key, value, createRevision } of mvcc.range('').entries) {
      if (key.startsWith(keys.claims)) {
        const job = key.slice(key.lastIndexOf('/') + 1);
        const account = this.account(hostOfJob(job));
        const claim = JSON.parse(value) as Claim;
        account.claims.set(job, claim);
        account.used.m += claim.m;
        account.used.c += claim.c;
      } else if (key.endsWith('/book')) this.bookChanged(key, value);
      else if (key.startsWith(keys.instances)) this.registered.set(key.slice(key.lastIndexOf('/') + 1), key);
      else if (key.startsWith('elections/controller/'))
        this.elections.set(key, { actor: this.candidates.get(key) ?? 'nobody known', born: createRevision });
    }
    this.dirty.clear();
  }

  // ---- the engines ----

  started(host: Node, job: string, spec: ContainerSpec, id: string): void {
    this.trace.text(`start ${job}`);
    const account = this.account(host.name);
    const claim = account.claims.get(job) ?? this.everClaimed.get(job);
    const ports = (spec.publish ?? []).map(({ hostPort }) => hostPort);
    for (const it of account.running.values())
      if (it.job === job) this.fail('runs-once', `${job} has two containers that run`);
    account.running.set(id, { job, m: claim?.m ?? 0, c: claim?.c ?? 0, ports });
    const starts = (this.starts.get(job) ?? 0) + 1;
    this.starts.set(job, starts);
    if (starts > 1 && spec.image === 'app:task')
      this.fail('runs-once', `the one-off ${job} was started again`);
    if (!this.restored) this.containersFit(host.name);
    this.routedElsewhere(host.name, job, ports);
  }

  private containersFit(host: string): void {
    const { running, book } = this.account(host);
    if (!book) return;
    let m = 0;
    let c = 0;
    const ports = new Map<number, string>();
    for (const it of running.values()) {
      m += it.m;
      c += it.c;
      for (const port of it.ports) {
        const other = ports.get(port);
        if (other !== undefined && other !== it.job)
          this.fail('ports', `containers of ${it.job} and ${other} both have port ${port} of ${host}`);
        ports.set(port, it.job);
      }
    }
    if (m > book.capacity.m || c > book.capacity.c)
      this.fail('capacity', `containers of ${m} MiB and ${c} millicores run on ${host}`);
  }

  private routedElsewhere(name: string, job: string, ports: readonly number[]): void {
    if (this.restored || ports.length === 0) return;
    const address = this.world.hosts.get(name)?.address;
    for (const host of this.world.hosts.values()) {
      for (const server of host.proxy.serving()) {
        if (server.address === address && ports.includes(server.port) && server.id !== job)
          this.fail('misrouted', `the router of ${host.name} sends requests of ${server.id} to ${job}`);
      }
    }
  }

  ended(host: Node, job: string, id: string, ready: boolean): void {
    this.trace.text(`end ${job}`);
    this.account(host.name).running.delete(id);
    if (ready) this.readyAt.set(job, this.world.timeline.now);
  }

  killing(host: Node, job: string, signal: string, id: string): void {
    this.trace.text(`${signal} ${job}`);
    if (!this.stopSaid.has(job)) {
      this.fail(
        'stop-claimed',
        `${signal} to the container ${id.slice(0, 12)} of ${job}, and no claim of it ever said stop`,
      );
      return;
    }
    if (signal !== 'SIGTERM' || this.restored) return;
    const key = this.registered.get(job);
    if (key !== undefined)
      this.fail('deregister-first', `SIGTERM to ${job} on ${host.name}, and ${key} is there`);
    const since = this.world.timeline.now - (this.withdrawnAt.get(job) ?? Number.NEGATIVE_INFINITY);
    if (since >= drainCapMs) return;
    for (const router of this.world.hosts.values()) {
      const born = this.consumers.get(keys.consumer('*', router.name));
      if (born === undefined || this.world.timeline.now - born < knownMs) continue;
      for (const { id: served } of router.proxy.serving())
        if (served === job)
          this.fail('drained', `SIGTERM to ${job}, and the router of ${router.name} still sends it requests`);
    }
  }

  portClash(host: Node, job: string, why: string): void {
    if (!this.restored) this.fail('ports', `${job} cannot be started on ${host.name}: ${why}`);
  }
}

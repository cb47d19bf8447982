// A host in memory for plan tests: the true world (store, Docker) beside the agent's state, and actions carried out at once.
import type { Consumer } from '../../../src/lib/api/grid.js';
import { keys } from '../../../src/lib/api/keys.js';
import { JobTemplate, type Claim, type JobTemplateInput } from '../../../src/lib/api/job.js';
import { retryKey, type Action } from '../../../src/lib/layer0/host/actions.js';
import { planHost } from '../../../src/lib/layer0/host/plan.js';
import { startsByAttach } from '../../../src/lib/layer0/host/attach-wait.js';
import * as reduce from '../../../src/lib/layer0/host/reduce.js';
import * as singletons from '../../../src/lib/layer0/host/reduce-singletons.js';
import {
  containerName,
  emptyState,
  isRunning,
  type HostState,
  type Now,
  type SeenContainer,
  type SeenSingleton,
} from '../../../src/lib/layer0/host/state.js';

export const host = { name: 'a', address: '10.0.0.1', control: true };
export const jobId = (n: number): string => `a-${String(n).padStart(26, '0')}`;

export const template = (input: Partial<JobTemplateInput> = {}): JobTemplate =>
  JobTemplate.parse({ kind: 'service', image: 'app:1', ...input });

export const web = template({
  ports: [{ name: 'http', container: 8080 }],
  service: { name: 'web.hello' },
  meta: { app: 'hello', release: '3', type: 'web' },
});

export const claim = (input: Partial<Claim> = {}): Claim => ({
  t: 'web',
  o: 'app/hello/3/web',
  m: 64,
  c: 100,
  p: [20001],
  w: 'run',
  x: 'tx',
  ...input,
});

/** What is true, and what the agent has seen of it. */
export class World {
  state: HostState;
  now: Now = { mono: 1_000_000, wall: 1_800_000_000_000 };
  revision = 100;
  readonly containers = new Map<string, SeenContainer>();
  readonly claims = new Map<string, Claim>();
  readonly log: Action[] = [];
  /** Keys of singletons in the store. */
  readonly singletons = new Map<string, SeenSingleton>();
  /** The store answers nothing about leases. */
  away = false;
  /** Jobs that ignore SIGTERM. */
  readonly deaf = new Set<string>();
  /** Told of every action before it is carried out. */
  watch: (action: Action) => void = () => undefined;
  private count = 0;

  constructor(readonly templates: Record<string, JobTemplate> = { web }) {
    this.state = emptyState(host, this.now.mono);
    for (const [hash, value] of Object.entries(templates)) this.state.templates.set(hash, value);
  }

  /** The agent has heard all lists of the store and of Docker. */
  sync(): this {
    this.seeStore();
    this.seeDocker();
    return this;
  }

  seeStore(): this {
    this.revision += 1;
    const prefix = keys.claimsAt(host.name);
    for (const [job, value] of this.claims) this.state.claims.put(prefix + job, value, this.revision);
    for (const [key] of [...this.state.claims.entries()]) {
      if (!this.claims.has(key.slice(prefix.length))) this.state.claims.remove(key, this.revision);
    }
    this.state.claimsFrom = 'store';
    Object.assign(this.state.listed, {
      instances: true,
      statuses: true,
      consumers: true,
      omnis: true,
      volumes: true,
      singletons: true,
    });
    reduce.syncRecords(this.state);
    return this;
  }

  seeDocker(): this {
    // A list asked for now is newer than every touch so far.
    const list = [...this.containers.values()].map((c) => ({ ...c, details: undefined }));
    reduce.containersListed(this.state, list, this.now.mono + 0.5);
    this.now.mono += 1;
    return this;
  }

  /** A lease is no more, and its key with it; the agent has not heard yet. */
  expire(lease: string): void {
    for (const [key, value] of this.singletons) if (value.lease === lease) this.singletons.delete(key);
  }

  /** The agent hears which keys of singletons there are. */
  seeSingletons(): void {
    const known = [...this.state.singletons.keys(), ...this.singletons.keys()];
    for (const key of known) singletons.singletonSeen(this.state, key, this.singletons.get(key));
    singletons.noticeTurns(this.state, this.now);
  }

  /** Plans and carries out for that long. */
  runFor(ms: number): Action[] {
    const before = this.log.length;
    const end = this.now.mono + ms;
    for (let rounds = 0; rounds < 10_000; rounds++) {
      const plan = planHost(this.state, this.now);
      this.carryOut(plan.actions);
      if (plan.actions.length > 0) continue;
      const next = Math.min(end, plan.wakeAt ?? end);
      if (next >= end) {
        this.pass(end - this.now.mono);
        return this.log.slice(before);
      }
      this.pass(Math.max(1, next - this.now.mono));
    }
    throw new Error(`no end: ${JSON.stringify(this.plan())}`);
  }

  put(job: string, value: Claim): this {
    this.claims.set(job, value);
    return this.seeStore();
  }

  consumer(id: string, consumer: Omit<Consumer, 'suspects'>): this {
    this.state.consumers.set(keys.consumer('*', id), { ...consumer, suspects: {} });
    return this;
  }

  container(job: string, over: Partial<SeenContainer> = {}): SeenContainer {
    const id = `c${++this.count}`;
    const made: SeenContainer = {
      id,
      name: containerName(job),
      job,
      owner: 'app/hello/3/web',
      template: 'web',
      state: 'running',
      createdAt: this.count,
      starts: 1,
      attempts: 0,
      touched: Number.NEGATIVE_INFINITY,
      ...over,
    };
    this.containers.set(id, made);
    return made;
  }

  /** A new agent on the same host: it knows what is in the store and what Docker lists, and nothing else. */
  restartAgent(): void {
    const old = this.state;
    this.state = emptyState(host, this.now.mono);
    for (const [hash, value] of Object.entries(this.templates)) this.state.templates.set(hash, value);
    for (const [key, kept] of old.statuses.entries()) this.state.statuses.put(key, kept.value, kept.revision);
    for (const [key, kept] of old.instances.entries())
      this.state.instances.put(key, kept.value, kept.revision);
    for (const [key, value] of old.consumers) this.state.consumers.set(key, value);
    for (const [key, value] of old.omnis) this.state.omnis.set(key, value);
  }

  /** A container ends, and Docker tells. */
  die(id: string, exitCode = 1): void {
    const c = this.containers.get(id);
    if (!c || !isRunning(c)) return;
    this.containers.set(id, { ...c, state: 'exited', details: details(exitCode) });
    reduce.containerDied(this.state, id, this.now);
  }

  plan(): Action[] {
    return planHost(this.state, this.now).actions;
  }

  /** Plans and carries out until nothing is left to do, moving time on to what the plan waits for. */
  settle(rounds = 200): Action[] {
    const before = this.log.length;
    for (let i = 0; i < rounds; i++) {
      const plan = planHost(this.state, this.now);
      if (plan.actions.length === 0) {
        if (plan.wakeAt === undefined) return this.log.slice(before);
        this.pass(Math.max(1, plan.wakeAt - this.now.mono));
        continue;
      }
      this.carryOut(plan.actions);
    }
    throw new Error(`not idle after ${rounds} rounds: ${JSON.stringify(this.plan())}`);
  }

  step(): Action[] {
    const actions = this.plan();
    this.carryOut(actions);
    return actions;
  }

  pass(ms: number): this {
    this.now = { mono: this.now.mono + ms, wall: this.now.wall + ms };
    return this;
  }

  verdict(job: string, verdict: 'up' | 'down', problem?: string): this {
    const record = this.state.jobs.get(job);
    if (record?.container) reduce.judged(this.state, job, record.container, verdict, problem, this.now);
    return this;
  }

  carryOut(actions: Action[]): void {
    for (const action of actions) {
      this.log.push(action);
      this.watch(action);
      this.apply(action);
    }
  }

  private apply(action: Action): void {
    const { state, now } = this;
    switch (action.do) {
      case 'template':
        state.templates.set(action.hash, this.templates[action.hash] ?? template());
        return;
      case 'pull':
        return reduce.pulled(state, action.image, undefined, now);
      case 'start': {
        if (action.retire) {
          const old = this.containers.get(action.retire.id);
          if (old) this.containers.set(old.id, { ...old, name: action.retire.name });
        }
        for (const c of this.containers.values()) {
          if (c.name !== containerName(action.job)) continue;
          if (c.state !== 'created') throw new Error(`name of ${action.job} is taken by ${c.id}`);
          this.containers.delete(c.id);
        }
        const made = this.container(action.job, {
          owner: action.claim.o,
          template: action.claim.t,
          starts: action.starts,
          attempts: action.attempts,
          ...(action.epoch === undefined ? {} : { epoch: action.epoch }),
          touched: now.mono,
          details: { ...details(0), ip: '172.17.0.2', startedAt: now.wall },
          ...(startsByAttach(action.template) ? { state: 'created', details: undefined } : {}),
        });
        return reduce.started(state, made, action.retire);
      }
      case 'inspect': {
        const c = this.containers.get(action.container);
        if (!c) return reduce.containerGone(state, action.container);
        const found = { state: c.state, details: c.details ?? details(isRunning(c) ? 0 : 1) };
        return reduce.inspected(state, c.id, found, now);
      }
      case 'signal': {
        const c = this.containers.get(action.container);
        reduce.signalled(state, action.job, action.signal, now, action.fence);
        if (this.deaf.has(action.job) && action.signal === 'SIGTERM') return;
        if (c) this.die(c.id, action.signal === 'SIGTERM' ? 143 : 137);
        return;
      }
      case 'collect':
        this.containers.delete(action.container);
        return reduce.containerGone(state, action.container);
      case 'abandon':
        this.containers.delete(action.container);
        return reduce.neverStarted(state, action.container, 'nobody attached', now);
      case 'adopt':
        state.adopted.add(action.container);
        return;
      case 'register':
        return reduce.instancePut(
          state,
          action.key,
          { ...action.instance, since: now.wall },
          ++this.revision,
        );
      case 'deregister':
        return reduce.instanceGone(state, action.key, ++this.revision, now);
      case 'status':
        state.statuses.put(keys.status(host.name, action.job), action.status, ++this.revision);
        return;
      case 'forget':
        state.statuses.remove(keys.status(host.name, action.job), ++this.revision);
        return;
      case 'release':
        this.claims.delete(action.job);
        reduce.released(state, action.job);
        return;
      case 'lease-open': {
        if (this.away) return reduce.actionFailed(state, retryKey(action), 'away', now, 0.5);
        for (const lease of action.old) this.expire(lease);
        const epoch = ++this.revision;
        const id = `l${epoch}`;
        this.singletons.set(keys.singleton(host.name, action.job), { name: action.name, epoch, lease: id });
        singletons.leaseOpened(state, action.job, { id, sentAt: now.mono, epoch }, now);
        return this.seeSingletons();
      }
      case 'lease-renew': {
        if (this.away) return reduce.actionFailed(state, retryKey(action), 'away', now, 0.5);
        const lives = [...this.singletons.values()].some(({ lease }) => lease === action.lease);
        if (!lives) return singletons.leaseGone(state, action.job, action.lease, now);
        const lease = { id: action.lease, epoch: action.epoch, sentAt: now.mono };
        return singletons.leaseRenewed(state, action.job, lease, now);
      }
      case 'lease-close':
        if (this.away) return reduce.actionFailed(state, retryKey(action), 'away', now, 0.5);
        for (const lease of action.leases) this.expire(lease);
        return singletons.leaseClosed(state, action.job);
      case 'record-volume':
        state.volumeRecords.put(keys.volume(host.name, action.record.name), action.record, ++this.revision);
        return;
      case 'claim-omni': {
        const job = jobId(900 + this.revision++);
        this.claims.set(job, claim({ o: `omni/${action.name}`, t: action.hash, p: [] }));
        this.seeStore();
        return;
      }
    }
  }
}

export const details = (exitCode: number, tail: string[] = []): NonNullable<SeenContainer['details']> => ({
  exitCode,
  oom: false,
  error: '',
  tail,
});

/** The kinds of some actions, in order. */
export const kinds = (actions: Action[]): string[] => actions.map((a) => a.do);

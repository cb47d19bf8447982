// One term of a leader: looks at the picture after every change, moves deployments on, books and stops jobs.
import type { App } from '../../api/app.js';
import { isFlynnError } from '../../api/errors.js';
import { keys } from '../../api/keys.js';
import type { Sampi, Seat } from '../../layer0/index.js';
import { fencedTxn, type Compare, type Leadership, type Op, type Store } from '../../store/index.js';
import type { Clock } from '../../util/clock.js';
import type { Log } from '../../appliance/log.js';
import type { Rng } from '../../util/rng.js';
import { Carrier } from './carry.js';
import { cleanApp, finishDestroy } from './cleanup.js';
import { Deployments } from './deployments/carry.js';
import { groupsOf, jobContext, seatsOf } from './desired.js';
import { eventOp, trimEvents, type NewEvent } from './events.js';
import { Failures } from './failures.js';
import type { HostNews, HostWatch } from './hostwatch.js';
import { planFormations, type Group } from './schedulers/formations.js';
import { Orphans } from './schedulers/orphans.js';
import type { Picture } from './state.js';
import { unchanged } from './write.js';
import { Wakeup } from './wakeup.js';

/** What a leader works with. */
export interface LeaderPorts {
  picture: Picture;
  hosts: HostWatch;
  store: Store;
  sampi: Pick<Sampi, 'transact' | 'putTemplate'>;
  clock: Clock;
  rng: Rng;
  log: Log;
  clusterKey: Buffer;
}

/** Times of the leader's loop, ms. */
const loop = { tick: 500, pause: 20, retry: 250, full: 5_000, cleanup: 15_000, trim: 60_000 } as const;

/** Leads until the term is over; resolves then. Nothing that it does outlives its guard. */
export async function lead(ports: LeaderPorts, leadership: Leadership): Promise<void> {
  const { picture, hosts, clock, log } = ports;
  const { signal } = leadership;
  const term = new Term(ports, leadership);
  const wakeup = new Wakeup(clock);
  const ends = [
    picture.onChange((touched) => {
      term.touch(touched);
      wakeup.ring();
    }),
    hosts.onNews((news) => {
      term.hear(news);
      wakeup.ring();
    }),
  ];
  try {
    while (!signal.aborted) {
      let pause: number = loop.tick;
      try {
        pause = await term.pass();
      } catch (error) {
        if (isFlynnError(error, 'fenced')) return;
        if (signal.aborted) return;
        log[isFlynnError(error) ? 'warn' : 'error']({ err: error }, 'the pass was cut short, it is repeated');
        term.touch('all');
        await clock.sleep(loop.retry, signal).catch(() => undefined);
      }
      await wakeup.wait(pause, signal);
      // Changes come in bursts: one pass for all of them.
      if (!signal.aborted) await clock.sleep(loop.pause, signal).catch(() => undefined);
    }
  } finally {
    for (const end of ends) end();
  }
}

/** The state of one term. Nothing in it is needed by the next leader. */
class Term {
  private dirty: Set<string> | 'all' = 'all';
  private news: NewEvent[] = [];
  private readonly guard: Compare;
  private readonly carrier: Carrier;
  private readonly deployments: Deployments;
  private readonly orphans: Orphans;
  private readonly failures = new Failures();
  private readonly problems = new Map<string, string>();
  private fullAt = 0;
  private cleanAt = 0;
  private trimAt = 0;
  private wakeAt: number | undefined;

  constructor(
    private readonly ports: LeaderPorts,
    leadership: Leadership,
  ) {
    this.guard = leadership.guard();
    this.carrier = new Carrier(ports, leadership);
    this.deployments = new Deployments(ports, this.guard);
    this.orphans = new Orphans(ports, leadership);
  }

  touch(touched: ReadonlySet<string> | 'all'): void {
    if (touched === 'all') this.dirty = 'all';
    else if (this.dirty !== 'all') for (const app of touched) this.dirty.add(app);
  }

  hear({ changes, freeze }: HostNews): void {
    for (const { host, from, to } of changes) {
      const message = hostMessage(host, from, to);
      if (message) this.news.push({ type: message[0], host, message: message[1] });
    }
    if (freeze === 'begins') {
      this.news.push({
        type: 'formation.frozen',
        message: 'more than half of the hosts went missing at once: nothing is moved until half are back',
      });
    }
    if (freeze === 'ends')
      this.news.push({
        type: 'formation.thawed',
        message: 'half of the hosts are there again: scheduling goes on',
      });
    this.news = this.news.slice(-100);
    this.touch('all');
  }

  /** One look and all that follows from it; returns the ms after which to look again without a change. */
  async pass(): Promise<number> {
    const { picture, hosts, clock } = this.ports;
    if (!picture.synced) return loop.retry;
    const now = clock.mono();
    await this.tell();
    if (!hosts.frozen) await this.withdrawLost();
    await this.carrier.resolve();

    const apps = this.due(now);
    const busy = this.carrier.busy();
    for (const app of apps) await this.guarded(app, () => this.stepDeployment(app));
    await this.plan(
      apps.filter(({ name }) => !busy.has(name)),
      now,
    );
    // What waits for its transaction to show is looked at again; the change of the picture rings the bell.
    for (const app of busy) this.touch(new Set([app]));
    await this.housekeeping(now);
    const wait = this.wakeAt === undefined ? loop.tick : Math.max(0, this.wakeAt - clock.mono());
    return Math.min(loop.tick, wait);
  }

  /** Apps to look at: the changed ones, those with a deployment (time passes for them), all of them now and then. */
  private due(now: number): App[] {
    const { picture } = this.ports;
    const all =
      this.dirty === 'all' || now >= this.fullAt || (this.wakeAt !== undefined && now >= this.wakeAt);
    const dirty = this.dirty === 'all' ? new Set<string>() : this.dirty;
    this.dirty = new Set();
    if (all) {
      this.fullAt = now + loop.full;
      this.wakeAt = undefined;
    }
    return picture.apps().filter((app) => all || dirty.has(app.name) || app.deployment !== undefined);
  }

  private async stepDeployment(app: App): Promise<void> {
    this.failures.note(this.ports.picture.jobs(app.name), this.ports.clock.mono());
    if (app.deployment !== undefined) await this.deployments.step(app, this.problems.get(app.name));
  }

  private async plan(apps: readonly App[], now: number): Promise<void> {
    const { picture, hosts, clock, rng } = this.ports;
    const groups: Group[] = [];
    const planned: App[] = [];
    for (const app of apps) {
      const context = jobContext(picture, hosts, app.name);
      const of = groupsOf(picture, app, context, (...group) => this.failures.of(...group, now));
      if (!of) continue;
      groups.push(...of);
      planned.push(app);
    }
    if (planned.length === 0) return;
    let seats: Seat[] | undefined;
    const plan = planFormations({
      synced: picture.synced,
      wall: clock.now(),
      now,
      hosts: hosts.hosts(),
      frozen: hosts.frozen,
      get seats() {
        return (seats ??= seatsOf(picture, hosts));
      },
      groups,
      rng,
    });
    for (const { name } of planned) this.problems.delete(name);
    for (const [name, problem] of plan.problems) this.problems.set(name, problem);
    if (plan.wakeAt !== undefined) this.wakeAt = Math.min(this.wakeAt ?? plan.wakeAt, plan.wakeAt);
    const appOfJob = new Map(
      groups.flatMap(({ app, jobs }) => jobs.map(({ id }): [string, string] => [id, app])),
    );
    await this.carrier.carry(plan, (job) => appOfJob.get(job) ?? '');
  }

  /** Instances of hosts that were declared lost are taken out of discovery, under the guard. */
  private async withdrawLost(): Promise<void> {
    const { picture, hosts, store, log } = this.ports;
    for (const [host, { condition }] of hosts.hosts()) {
      if (condition !== 'lost') continue;
      const prefix = keys.instancesAt(host);
      const items = [...picture.records.instances.items()].filter(([key]) => key.startsWith(prefix));
      for (let from = 0; from < items.length; from += 50) {
        const part = items.slice(from, from + 50);
        const { succeeded } = await fencedTxn(store, [this.guard], {
          compare: part.map(([key, { entry }]) => unchanged(key, entry)),
          then: part.map(([key]): Op => ({ op: 'delete', key })),
        });
        log.info({ host, instances: part.length, succeeded }, 'instances of a lost host withdrawn');
      }
    }
  }

  private async tell(): Promise<void> {
    const told = this.news;
    if (told.length === 0) return;
    await fencedTxn(this.ports.store, [this.guard], {
      compare: [],
      then: told.map((event) => eventOp(this.ports, event)),
    });
    this.news = this.news.filter((event) => !told.includes(event));
  }

  private async housekeeping(now: number): Promise<void> {
    const { picture, store, clock } = this.ports;
    const busy = this.carrier.busy();
    const apps = picture.apps();
    for (const app of apps.filter(({ destroying, name }) => destroying && !busy.has(name))) {
      await this.guarded(app, () => finishDestroy(this.ports, this.guard, app));
    }
    if (now >= this.cleanAt) {
      this.cleanAt = now + loop.cleanup;
      for (const app of apps) {
        if (!app.destroying && !busy.has(app.name))
          await this.guarded(app, () => cleanApp(this.ports, this.guard, app));
      }
      await this.orphans.sweep();
      this.deployments.trim(new Set(apps.flatMap(({ deployment }) => deployment ?? [])));
      this.failures.trim(now, (job) =>
        picture.records.claims.items().has(keys.claim(job.slice(0, -27), job)),
      );
    }
    if (now >= this.trimAt) {
      this.trimAt = now + loop.trim;
      await trimEvents(store, this.guard, picture, clock.now());
    }
  }

  /** Work for one app: what fails for it must not hold up the others, except when the term or the store is gone. */
  private async guarded(app: App, work: () => Promise<unknown>): Promise<void> {
    try {
      await work();
    } catch (error) {
      const shared = ['fenced', 'no_quorum', 'unreachable', 'ambiguous'] as const;
      if (shared.some((code) => isFlynnError(error, code))) throw error;
      this.ports.log.error({ err: error, app: app.name }, 'work for an app failed');
    }
  }
}

function hostMessage(host: string, from: string, to: string): [type: string, message: string] | undefined {
  switch (to) {
    case 'suspect':
      return ['host.suspect', `host ${host} does not answer`];
    case 'lost':
      return ['host.lost', `host ${host} is lost: its jobs are replaced on other hosts`];
    case 'away':
      return ['host.away', `the agent of host ${host} is away: its jobs are replaced on other hosts`];
    case 'present':
      return from === 'unseen' ? undefined : ['host.back', `host ${host} is back`];
    default:
      return undefined;
  }
}

// Faults by dice: what breaks, for how long, and how it is whole again.
import { pick, randomInt, type Rng } from '../../src/lib/util/rng.js';
import type { Service, SimHost } from './host.js';
import type { Work } from './work.js';
import type { World } from './world.js';

type Heal = () => void;
type Fault = (faults: Faults) => Heal | undefined;

/** Breaks things, one after the other, and mends each when its time has come. */
export class Faults {
  /** Faults so far, by name. */
  readonly done = new Map<string, number>();
  readonly rng: Rng;
  private readonly open = new Set<Heal>();
  private on = true;

  constructor(
    readonly world: World,
    readonly work: Work,
    private readonly gapMs: number,
    private readonly kinds: readonly string[] = Object.keys(faults),
  ) {
    this.rng = world.dice();
  }

  get count(): number {
    return [...this.done.values()].reduce((a, b) => a + b, 0);
  }

  /** Begins. */
  start(): void {
    const turn = (): void => {
      this.world.timeline.at(this.gapMs * (0.4 + 1.2 * this.rng.next()), () => {
        if (!this.on) return;
        turn();
        this.once();
      });
    };
    turn();
  }

  /** Ends all faults at once, and begins no more. */
  end(): void {
    this.on = false;
    for (const heal of [...this.open]) heal();
    this.world.net.heal();
    this.world.changed();
  }

  private once(): void {
    for (let tries = 0; tries < 8; tries++) {
      const kind = pick(this.rng, this.kinds) ?? '';
      const heal = faults[kind]?.(this);
      if (!heal) continue;
      this.done.set(kind, (this.done.get(kind) ?? 0) + 1);
      this.world.checker.trace.text(`fault ${kind}`);
      this.world.tell(`fault ${kind}`);
      const end: Heal = () => {
        if (this.open.delete(end)) heal();
      };
      this.open.add(end);
      this.world.timeline.at(this.lasts(kind), end);
      return;
    }
  }

  private lasts(kind: string): number {
    const [from, to] = durations[kind] ?? [1_000, 8_000];
    return from + (to - from) * this.rng.next();
  }

  /** A host that is there; the control hosts break only as far as a majority of them stays whole. */
  host(): SimHost | undefined {
    const whole = (host: SimHost): boolean => host.up && !host.frozen && !host.removed;
    const hosts = [...this.world.hosts.values()];
    const controls = hosts.filter((host) => host.control);
    const spare = controls.filter(whole).length * 2 > controls.length + 1 || this.rng.next() < 0.15;
    return pick(
      this.rng,
      hosts.filter((host) => whole(host) && (spare || !host.control)),
    );
  }

  /** Two groups of hosts: some, and all others. */
  sides(): [SimHost[], SimHost[]] {
    const hosts = [...this.world.hosts.values()];
    const one = this.host();
    const size = 1 + randomInt(this.rng, Math.max(1, Math.floor(hosts.length / 3)));
    const some = new Set(one ? [one] : []);
    // A small minority mostly; whoever else is in it comes from the workers.
    if (this.rng.next() < 0.3)
      for (const host of hosts) if (some.size < size && !host.control) some.add(host);
    return [[...some], hosts.filter((host) => !some.has(host))];
  }
}

const durations: Record<string, [number, number]> = {
  'host crash': [3_000, 40_000],
  'host frozen': [500, 25_000],
  'leader frozen at work': [8_000, 25_000],
  'most hosts gone': [5_000, 20_000],
  'cut off': [1_000, 25_000],
  'cut off one way': [1_000, 20_000],
  'dockerd crash': [500, 10_000],
};

const killService =
  (service: Service): Fault =>
  (faults) => {
    const host = faults.host();
    if (!host || !host.services.includes(service)) return undefined;
    host.kill(service);
    return () => host.start(service);
  };

const cutBetween = (faults: Faults, from: SimHost[], to: SimHost[], both: boolean): Heal => {
  const { net } = faults.world;
  const ways = from.flatMap((a) => to.map((b): [string, string] => [a.name, b.name]));
  for (const [a, b] of ways) {
    net.cut(a, b);
    if (both) net.cut(b, a);
  }
  faults.world.changed();
  return () => {
    for (const [a, b] of ways) {
      net.mend(a, b);
      if (both) net.mend(b, a);
    }
    faults.world.changed();
  };
};

const nothing: Heal = () => undefined;

const faults: Record<string, Fault> = {
  'agent crash': killService('agent'),
  'router crash': killService('router'),
  'controller crash': killService('controller'),
  'sampi crash': killService('sampi'),
  'cron crash': killService('cron'),
  'host crash': (f) => {
    const host = f.host();
    if (!host) return undefined;
    host.crash();
    return () => !host.removed && !host.up && host.boot();
  },
  'host frozen': (f) => {
    const host = f.host();
    if (!host) return undefined;
    host.frozen = true;
    f.world.changed();
    return () => {
      if (!host.frozen) return;
      f.world.timeline.thaw(host);
      f.world.changed();
    };
  },
  'leader frozen at work': ({ world, rng }) => {
    let frozen: SimHost | undefined;
    world.atWork = (host) => {
      if (frozen || rng.next() < 0.5) return;
      world.atWork = undefined;
      frozen = host;
      host.frozen = true;
      world.changed();
    };
    return () => {
      world.atWork = undefined;
      if (!frozen?.frozen) return;
      world.timeline.thaw(frozen);
      world.changed();
    };
  },
  'cut off': (f) => cutBetween(f, ...f.sides(), true),
  'cut off one way': (f) => {
    const [some, others] = f.sides();
    return f.rng.next() < 0.5 ? cutBetween(f, some, others, false) : cutBetween(f, others, some, false);
  },
  'most hosts gone': (f) => {
    const hosts = [...f.world.hosts.values()].filter(({ up, frozen, removed }) => up && !frozen && !removed);
    const controls = hosts.filter(({ control }) => control);
    const gone = hosts.filter(({ control }) => !control);
    if (controls.length * 2 > f.world.members.length + 1 && controls[2]) gone.push(controls[2]);
    if (gone.length * 2 <= hosts.length) return undefined;
    const gones = new Set(gone);
    return cutBetween(
      f,
      gone,
      hosts.filter((host) => !gones.has(host)),
      true,
    );
  },
  'dockerd crash': (f) => {
    const host = f.host();
    if (!host) return undefined;
    host.docker.stop();
    return () => host.up && host.docker.resume();
  },
  'slow docker': (f) => {
    const host = f.host();
    if (!host) return undefined;
    host.docker.slowness = 5 + 40 * f.rng.next();
    return () => void (host.docker.slowness = 1);
  },
  'slow network': ({ world: { net }, rng }) => {
    net.slowness = 10 + 200 * rng.next();
    return () => void (net.slowness = 1);
  },
  'lossy network': ({ world: { net }, rng }) => {
    net.loss = 0.05 + 0.3 * rng.next();
    net.twice = 0.3 * rng.next();
    return () => void (net.loss = net.twice = 0);
  },
  'repeated messages': ({ world: { net }, rng }) => {
    net.twice = 0.2 + 0.5 * rng.next();
    return () => void (net.twice = 0);
  },
  'lost answers': (f) => {
    const host = f.host();
    if (!host) return undefined;
    const live = [...host.clients].filter((client) => client.alive);
    const ofSampi = live.filter(({ actor }) => actor.startsWith('sampi:'));
    const client = pick(f.rng, f.rng.next() < 0.5 && ofSampi.length > 0 ? ofSampi : live);
    if (!client) return undefined;
    client.faults.lostAnswers = 1 + randomInt(f.rng, 3);
    return () => void (client.faults.lostAnswers = 0);
  },
  'container crash': (f) => {
    const host = f.host();
    const it = host && pick(f.rng, [...host.docker.running.values()]);
    if (!it) return undefined;
    host.docker.crash(it.id, pick(f.rng, [0, 1, 137]) ?? 1);
    return nothing;
  },
  'clock jump': (f) => {
    const host = f.host();
    if (!host) return undefined;
    host.wallOffset = (f.rng.next() - 0.5) * 1_200_000;
    return () => void (host.wallOffset = 0);
  },
  'new etcd leader': ({ world: { etcd } }) => {
    etcd.moveLeader();
    return nothing;
  },
  'etcd crash': (f) => {
    const member = pick(
      f.rng,
      f.world.members.filter(({ alive, machine }) => alive && machine.up),
    );
    if (!member || f.world.members.filter(({ alive }) => alive).length * 2 <= f.world.members.length + 1)
      return undefined;
    member.alive = false;
    f.world.changed();
    return () => {
      member.alive = member.machine.up;
      f.world.changed();
    };
  },
  compaction: ({ world: { etcd } }) => {
    if (etcd.mvcc.revision <= etcd.mvcc.compacted) return undefined;
    etcd.compact(etcd.mvcc.revision);
    return nothing;
  },
  'host churn': (f) => {
    if (f.rng.next() < 0.6) return undefined;
    f.work.churn().catch((error: unknown) => f.world.bug(error));
    return nothing;
  },
};

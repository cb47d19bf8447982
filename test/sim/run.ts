// One run: a cluster of a seed, its work and its faults, and then the time to heal; ends with the first violation.
import { hostOfJob } from '../../src/lib/api/names.js';
import { transact } from '../../src/lib/layer0/sampi/index.js';
import { ulid } from '../../src/lib/util/ulid.js';
import { Faults } from './faults.js';
import type { Violation } from './checker.js';
import { unsettled } from './settled.js';
import { Work } from './work.js';
import { World } from './world.js';

/** What a run is made of; everything else follows from the seed. */
export interface RunOptions {
  seed: number;
  hosts: number;
  /** Minutes of faults and changes, before the healing. */
  minutes: number;
  /** Mean time between two faults and between two changes, ms. */
  faultGapMs?: number;
  changeGapMs?: number;
  /** Has the store put back to an older snapshot once. */
  restore?: boolean;
  /** Only these faults; all of them when left out. */
  kinds?: readonly string[];
  onLog?: (line: string) => void;
}

/** What came of it. */
export interface RunResult {
  seed: number;
  violation?: Violation;
  /** Equal for two runs of the same seed and options. */
  digest: string;
  /** Minutes of the cluster's time, the healing included. */
  minutes: number;
  faults: Record<string, number>;
  changes: number;
  commits: number;
  events: number;
  /** Jobs that were booked. */
  jobs: number;
}

const warmUpMs = 5_000;
/** Longer than a deployment that comes to nothing (2 min) and one-offs that nobody ended (1 min) take. */
const healMs = 360_000;

/** Runs a seed to its end. */
export const runSeed = async (options: RunOptions): Promise<RunResult> => {
  const { minutes, faultGapMs = 7_000, changeGapMs = 4_500 } = options;
  const world = new World(options);
  const { timeline, checker } = world;
  const broken = (): boolean => checker.violation !== undefined;
  const onBug = (error: unknown): void => void world.bug(error);
  process.on('unhandledRejection', onBug);
  try {
    const work = new Work(world, changeGapMs);
    const faults = new Faults(world, work, faultGapMs, options.kinds);
    world.bootstrap().catch(onBug);
    await timeline.run(warmUpMs, broken);
    work.start();
    faults.start();
    if (options.restore) restoreLater(world, minutes);
    await timeline.run(warmUpMs + minutes * 60_000, broken);
    faults.end();
    work.end().catch(onBug);
    if (options.restore) confirmRestore(world).catch(onBug);
    await heal(world, broken);
    return {
      seed: options.seed,
      ...(checker.violation ? { violation: checker.violation } : {}),
      digest: checker.trace.digest(),
      minutes: timeline.now / 60_000,
      faults: Object.fromEntries(faults.done),
      changes: work.changes,
      commits: checker.commits,
      events: timeline.count,
      jobs: checker.everClaimed.size,
    };
  } finally {
    process.off('unhandledRejection', onBug);
  }
};

/** Waits until all is as it should be, and stays so for a while. */
const heal = async (world: World, broken: () => boolean): Promise<void> => {
  const { timeline, checker } = world;
  const until = timeline.now + healMs;
  let problem: string | undefined;
  for (let calm = 0; calm < 3 && !broken();) {
    if (timeline.now >= until) {
      checker.fail('converges', `${healMs / 60_000} minutes after all faults: ${problem}`);
      return;
    }
    await timeline.run(timeline.now + 2_000, broken);
    problem = unsettled(world);
    calm = problem === undefined ? calm + 1 : 0;
  }
};

/** Takes a snapshot in the first half of the run, and puts it back in the second. */
const restoreLater = (world: World, minutes: number): void => {
  const span = minutes * 60_000;
  world.timeline.at(span * (0.2 + 0.3 * world.rng.next()), () => {
    const snapshot = world.etcd.snapshot();
    world.timeline.at(5_000 + span * 0.3 * world.rng.next(), () => {
      world.tell('the store is restored from a snapshot');
      world.etcd.restore(snapshot);
      world.checker.wasRestored();
    });
  });
};

/**
 * What an operator does after a restore: clears away what nobody claims and what ran once, has the hosts known that are
 * there and those alone, and lets the agents begin anew.
 */
const confirmRestore = async (world: World): Promise<void> => {
  const claims = new Map([...world.checker.hosts.values()].flatMap((account) => [...account.claims]));
  const { clock, rng } = world.operator;
  for (const host of world.hosts.values()) {
    if (host.removed || !host.joined) continue;
    host.kill('agent');
    host.kill('router');
    for (const { id, job } of [...host.docker.running.values()])
      if (!claims.has(job)) host.docker.crash(id, 0);
    host.clearDisk();
    host.start('agent');
    host.start('router');
  }
  for (const host of world.hosts.values()) {
    if (host.removed) await world.forget(host);
    else if (host.joined) await world.register(host);
  }
  for (const [job, { o, w }] of claims) {
    if (!o.startsWith('run/') || w === 'stop') continue;
    const hosts = { [hostOfJob(job)]: { want: [{ job, want: 'stop' as const }] } };
    await world.insist(() => transact(world.store, { id: ulid(clock.now(), rng), hosts }, { clock, rng }));
  }
};

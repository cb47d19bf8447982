// A simulated process: alive until it is killed, on one machine, with its own clock and its own dice.
import type { Clock } from '../../src/lib/util/clock.js';
import { seededRng, type Rng } from '../../src/lib/util/rng.js';
import type { Node } from './net.js';
import { ownedClock, type Owner, type Timeline } from './timeline.js';

/** Kinds of processes on a host. */
export type ProcessKind = 'engine' | 'agent' | 'router' | 'controller' | 'sampi' | 'cron' | 'tenant';

/** One life of a process. Once killed, none of its timers fires and no message reaches it. */
export class Process implements Owner {
  alive = true;
  readonly clock: Clock;
  readonly rng: Rng;

  constructor(
    timeline: Timeline,
    readonly machine: Node,
    readonly kind: ProcessKind,
    seed: number,
  ) {
    this.clock = ownedClock(timeline, this);
    this.rng = seededRng(seed);
    this.name = `${kind}:${machine.name}#${seed}`;
  }

  /** As it names itself where it writes: no two lives have one name. */
  readonly name: string;
}

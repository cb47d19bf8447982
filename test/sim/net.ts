// The simulated network: which machine hears which, how long a message takes, and which are lost or come twice.
import type { Rng } from '../../src/lib/util/rng.js';
import type { Machine, Owner, Scheduling } from './timeline.js';

/** Who has an end in the network. A machine that is down or frozen is reached by nothing, and is told apart by its owner. */
export interface Node extends Machine {
  up: boolean;
}

/** The network between machines. */
export class Net {
  /** Messages between different machines take this times their usual time. */
  slowness = 1;
  /** Share of messages that is lost, and that comes twice. */
  loss = 0;
  twice = 0;
  private readonly cuts = new Map<string, number>();
  private readonly listeners = new Set<() => void>();

  constructor(
    private readonly time: Scheduling,
    private readonly rng: Rng,
    /** Usual time of a message, ms. */
    private readonly baseMs = 0.4,
  ) {}

  /** Cuts the way from one machine to another; several cuts of the same way end one by one. */
  cut(from: string, to: string): void {
    const way = `${from}>${to}`;
    this.cuts.set(way, (this.cuts.get(way) ?? 0) + 1);
  }

  /** Ends one cut of a way. */
  mend(from: string, to: string): void {
    const way = `${from}>${to}`;
    const left = (this.cuts.get(way) ?? 0) - 1;
    if (left > 0) this.cuts.set(way, left);
    else this.cuts.delete(way);
  }

  /** Nothing is cut and nothing lost. */
  get whole(): boolean {
    return this.cuts.size === 0 && this.loss === 0;
  }

  /** Ends all faults. */
  heal(): void {
    this.cuts.clear();
    this.slowness = 1;
    this.loss = 0;
    this.twice = 0;
  }

  /** Tells everybody that what reaches whom may have changed. */
  changed(): void {
    for (const listener of [...this.listeners]) listener();
  }

  /** Calls back after such a change; the returned function ends that. */
  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  /** Whether what one machine sends arrives at the other. */
  passes(from: Node, to: Node): boolean {
    if (from === to) return true;
    return this.cuts.size === 0 || !this.cuts.has(`${from.name}>${to.name}`);
  }

  /** Whether both are there and hear one another now. */
  connected(a: Node, b: Node): boolean {
    return a.up && b.up && !a.frozen && !b.frozen && this.passes(a, b) && this.passes(b, a);
  }

  /** Time that a message takes now, ms. */
  delay(from: Node, to: Node): number {
    if (from === to) return 0.05;
    return this.baseMs * this.slowness * (0.5 + this.rng.next());
  }

  /** Sends a message; it may be lost, and with `repeatable` it may come twice. */
  send(from: Node, to: Node, owner: Owner, arrive: () => void, repeatable = false): void {
    if (!to.up || !this.passes(from, to)) return;
    if (from !== to && this.loss > 0 && this.rng.next() < this.loss) return;
    this.time.at(this.delay(from, to), arrive, owner);
    if (repeatable && this.twice > 0 && this.rng.next() < this.twice)
      this.time.at(this.delay(from, to) + 50 * this.rng.next(), arrive, owner);
  }
}

// Virtual time: one queue of events, in order of time and then of making; what an event sets off runs before the next.
import { sleepWith, type Clock } from '../../src/lib/util/clock.js';

/** Whose event it is: one of a dead owner is dropped, one of a frozen owner waits until it is thawed. */
export interface Owner {
  alive: boolean;
  readonly machine: Machine;
}

/** What freezes and thaws as a whole, and has a wall clock of its own. */
export interface Machine {
  readonly name: string;
  frozen: boolean;
  /** ms that its wall clock is off. */
  wallOffset: number;
  /** Events that fell due while it was frozen. */
  held: Event[];
}

interface Event {
  at: number;
  order: number;
  fn: () => void;
  owner: Owner | undefined;
  over: boolean;
}

/** The part of the timeline that the network and the store need; a real clock can stand behind it. */
export interface Scheduling {
  readonly now: number;
  at(ms: number, fn: () => void, owner?: Owner): () => void;
}

/** Wall time at which every run begins. */
const epoch = Date.UTC(2030, 0, 1);
/** The process is given a moment after this many events: messages of workers and signals would starve otherwise. */
const breath = 20_000;
/** Events at one moment that are as good as endless. */
const endless = 200_000;

/** The queue of all events of one run. */
export class Timeline implements Scheduling {
  now = 0;
  /** Events carried out. */
  count = 0;
  /** Told when something asks for itself again at once, for ever. */
  onEndless: (message: string) => void = () => undefined;
  private moment = 0;
  private readonly heap: Event[] = [];
  private order = 0;

  /** Has `fn` called in that many ms; the returned function cancels it. */
  at(ms: number, fn: () => void, owner?: Owner): () => void {
    const event: Event = {
      at: this.now + (ms > 0 ? ms : 0),
      order: this.order++,
      fn,
      owner,
      over: false,
    };
    this.push(event);
    return () => {
      event.over = true;
    };
  }

  /** Carries out what was held back while the machine was frozen, in its old order. */
  thaw(machine: Machine): void {
    machine.frozen = false;
    const held = machine.held;
    machine.held = [];
    for (const event of held) {
      event.at = this.now;
      event.order = this.order++;
      this.push(event);
    }
  }

  /** Runs until that moment, or until `stop` says so after an event; resolves then. */
  run(until: number, stop: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      // A tick that is asked for by a microtask runs when no microtask is left: whatever an event set off is done then.
      const next = (): void => process.nextTick(step);
      const step = (): void => {
        const event = stop() ? undefined : this.pop(until);
        if (!event) {
          if (this.now < until && !stop()) this.now = until;
          return resolve();
        }
        if (event.at > this.now) {
          this.now = event.at;
          this.moment = this.count;
        } else if (this.count - this.moment > endless) {
          this.onEndless(`time stands still at ${this.now} ms: ${endless} events and no end`);
          return resolve();
        }
        this.count += 1;
        event.fn();
        if (this.count % breath === 0) setImmediate(step);
        else void Promise.resolve().then(next);
      };
      step();
    });
  }

  private pop(until: number): Event | undefined {
    for (;;) {
      const first = this.heap[0];
      if (!first || first.at > until) return undefined;
      this.shift();
      if (first.over) continue;
      const { owner } = first;
      if (owner) {
        if (!owner.alive) continue;
        if (owner.machine.frozen) {
          owner.machine.held.push(first);
          continue;
        }
      }
      return first;
    }
  }

  private push(event: Event): void {
    const { heap } = this;
    let i = heap.length;
    heap.push(event);
    while (i > 0) {
      const parent = (i - 1) >> 1;
      const above = heap[parent] as Event;
      if (!before(event, above)) break;
      heap[i] = above;
      i = parent;
    }
    heap[i] = event;
  }

  private shift(): void {
    const { heap } = this;
    const last = heap.pop() as Event;
    const size = heap.length;
    if (size === 0) return;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= size) break;
      if (child + 1 < size && before(heap[child + 1] as Event, heap[child] as Event)) child += 1;
      const below = heap[child] as Event;
      if (!before(below, last)) break;
      heap[i] = below;
      i = child;
    }
    heap[i] = last;
  }
}

const before = (a: Event, b: Event): boolean => a.at < b.at || (a.at === b.at && a.order < b.order);

/** The clock of one process: its timers die with it and wait while its machine is frozen. */
export const ownedClock = (timeline: Timeline, owner: Owner): Clock => {
  const after: Clock['after'] = (ms, fn) => timeline.at(ms, fn, owner);
  return {
    now: () => epoch + Math.floor(timeline.now) + owner.machine.wallOffset,
    mono: () => timeline.now,
    after,
    sleep: (ms, signal) => sleepWith(after, ms, signal),
    every: (ms, fn) => {
      let cancel = (): void => undefined;
      const again = (): void => {
        cancel = after(Math.max(1, ms), () => {
          again();
          fn();
        });
      };
      again();
      return () => cancel();
    },
    soon: (fn) => void timeline.at(0, fn, owner),
  };
};

// A host's ports in the course of a change: fixed ones are taken, job ports handed out, the least recently used first.
import { jobPorts, type HostBook } from '../../api/grid.js';

const ringSize = jobPorts.last - jobPorts.first + 1;

/** The ports of one book. Nothing is copied or sorted again as long as no port is taken. */
export class Ports {
  private taken: Set<number> | undefined;
  private quiet: ReadonlySet<number> | undefined;
  private readonly added: number[] = [];
  private readonly freed: HostBook['freed'];
  private next: number;

  constructor(
    private readonly book: HostBook,
    now: number,
  ) {
    this.freed = book.freed.filter(([, at]) => now - at < jobPorts.quietMs);
    this.next = book.nextPort;
  }

  /** Takes these ports, all or none; returns those that are taken already. */
  take(ports: readonly number[]): number[] {
    if (ports.length === 0) return [];
    const taken = this.all();
    const busy = ports.filter((port) => taken.has(port));
    if (busy.length === 0) for (const port of ports) this.add(port);
    return busy;
  }

  /** Takes that many of the job range, going on after the last one handed out; returns fewer when there are no more. */
  handOut(count: number): number[] {
    if (count === 0) return [];
    const taken = this.all();
    const quiet = (this.quiet ??= new Set(this.freed.map(([port]) => port)));
    const found: number[] = [];
    let { next } = this;
    for (let looked = 0; looked < ringSize && found.length < count; looked++) {
      if (!taken.has(next) && !quiet.has(next)) found.push(next);
      next = next >= jobPorts.last ? jobPorts.first : next + 1;
    }
    if (found.length < count) return found;
    this.next = next;
    for (const port of found) this.add(port);
    return found;
  }

  /** The book's fields as they are now. */
  fields(): Pick<HostBook, 'ports' | 'freed' | 'nextPort'> {
    const { freed, next: nextPort, added } = this;
    if (added.length === 0) return { ports: this.book.ports, freed, nextPort };
    const ports = [...this.book.ports, ...added];
    // Job ports are handed out in a ring: nearly always they are in order already.
    if (ports.some((port, i) => i > 0 && port < (ports[i - 1] ?? 0))) ports.sort((a, b) => a - b);
    return { ports, freed, nextPort };
  }

  private all(): Set<number> {
    this.taken ??= new Set(this.book.ports);
    return this.taken;
  }

  private add(port: number): void {
    this.all().add(port);
    this.added.push(port);
  }
}

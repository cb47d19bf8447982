// Keeps the judgement of hosts up to date: looks at leases and suspicion several times a second.
import type { Clock } from '../../util/clock.js';
import {
  isMissing,
  judgeHosts,
  newHostsMemory,
  type Condition,
  type HostChange,
  type HostMemory,
  type HostsMemory,
} from './hosts.js';
import type { Picture } from './state.js';

/** Who tells which hosts are silent (layer0's prober). */
export interface Suspicion {
  /** Silent hosts, each with the moment (monotonic ms) from which nothing of it answered. */
  suspects(): ReadonlyMap<string, number>;
}

/** What was noticed by one look. */
export interface HostNews {
  changes: HostChange[];
  freeze: 'begins' | 'ends' | undefined;
}

const lookMs = 250;

/**
 * The current judgement of all hosts, on one copy of the controller. Standbys look too: when one is elected because
 * the leader's host died, it has seen that host alive and then silent, and need not wait.
 */
export class HostWatch {
  private memory: HostsMemory;
  private readonly listeners = new Set<(news: HostNews) => void>();

  constructor(
    private readonly picture: Picture,
    private readonly suspicion: Suspicion,
    private readonly clock: Clock,
    /** Name of the host that this copy runs on. */
    private readonly self: string,
  ) {
    this.memory = newHostsMemory(clock.mono());
  }

  /** Looks until the signal is aborted. */
  start(signal: AbortSignal): void {
    const end = this.clock.every(lookMs, () => this.look());
    signal.addEventListener('abort', end, { once: true });
  }

  /** Calls back when a host's condition changed or the scheduler froze; the returned function ends that. */
  onNews(listener: (news: HostNews) => void): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  /** Judges now. Leases that are not being followed say nothing: then all stays as it was. */
  look(): void {
    if (!this.picture.records.hosts.synced || !this.picture.records.claims.synced) return;
    const leased = new Map([...this.picture.hosts()].map(([name, host]) => [name, host.leased]));
    const suspects = this.suspicion.suspects();
    const { memory, changes, freeze } = judgeHosts(this.memory, {
      now: this.clock.mono(),
      leased,
      suspects,
      seconded: this.seconded(suspects),
      knownLost: this.knownLost(leased),
    });
    this.memory = memory;
    if (changes.length === 0 && freeze === undefined) return;
    for (const listener of [...this.listeners]) listener({ changes, freeze });
  }

  /** What is remembered by host. */
  hosts(): ReadonlyMap<string, HostMemory> {
    return this.memory.hosts;
  }

  /** Condition of a host; undefined when it is not registered. */
  condition(host: string): Condition | undefined {
    return this.memory.hosts.get(host)?.condition;
  }

  /** Hosts whose consumers nobody waits for. */
  missing(): ReadonlySet<string> {
    return new Set(
      [...this.memory.hosts].filter(([, { condition }]) => isMissing(condition)).map(([name]) => name),
    );
  }

  /** More than half of the hosts went missing at once. */
  get frozen(): boolean {
    return this.memory.frozen;
  }

  /** What routers of other hosts report; one that is silent itself may have been cut off, and says nothing. */
  private seconded(suspects: ReadonlyMap<string, number>): Set<string> {
    const found = new Set<string>();
    if (suspects.size === 0) return found;
    for (const { value } of this.picture.records.consumers.items().values()) {
      if (value.host === this.self || suspects.has(value.host)) continue;
      for (const host of value.suspects) found.add(host);
    }
    return found;
  }

  // Only hosts that are not there are looked up among the claims, and mostly there is none.
  private knownLost(leased: ReadonlyMap<string, boolean>): Set<string> {
    const lost = new Set<string>();
    if ([...leased.values()].every(Boolean)) return lost;
    for (const [key, { value }] of this.picture.records.claims.items()) {
      if (value.w === 'lost') lost.add(key.split('/')[1] ?? '');
    }
    return lost;
  }
}

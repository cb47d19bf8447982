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
import { accused, readReports, type Reports } from './reports.js';
import type { Picture } from './state.js';

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
  private reports: Reports = new Map();
  private readonly listeners = new Set<(news: HostNews) => void>();
  /** Every host was there at the last look, and none of their records has changed since. */
  private calm = false;

  constructor(
    private readonly picture: Picture,
    private readonly clock: Clock,
    /** Name of the host that this copy runs on. */
    private readonly self: string,
  ) {
    this.memory = newHostsMemory(clock.mono());
  }

  /** Looks until the signal is aborted. */
  start(signal: AbortSignal): void {
    const ends = [
      this.clock.every(lookMs, () => this.look()),
      this.picture.records.hosts.onChange(() => (this.calm = false)),
      // How long a host has been silent is counted from the moment a report is read.
      this.picture.records.consumers.onChange(() => this.look()),
    ];
    signal.addEventListener('abort', () => ends.forEach((end) => end()), { once: true });
  }

  /** Calls back when a host's condition changed or the scheduler froze; the returned function ends that. */
  onNews(listener: (news: HostNews) => void): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  /** Judges now. Leases that are not being followed say nothing: then all stays as it was. */
  look(): void {
    const { hosts, claims, consumers } = this.picture.records;
    if (!hosts.synced || !claims.synced || !consumers.synced) return;
    this.reports = readReports(this.reports, consumers.items(), this.self, this.clock.mono());
    // Nothing that time alone could change.
    if (this.calm && this.reports.size === 0) return;
    const leased = new Map([...this.picture.hosts()].map(([name, host]) => [name, host.leased]));
    const { memory, changes, freeze } = judgeHosts(this.memory, {
      now: this.clock.mono(),
      leased,
      suspects: accused(this.reports),
      knownLost: this.knownLost(leased),
    });
    this.memory = memory;
    this.calm =
      this.reports.size === 0 &&
      !memory.frozen &&
      [...memory.hosts.values()].every(({ condition, usable }) => condition === 'present' && usable);
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

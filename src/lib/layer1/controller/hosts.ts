// Which hosts count: pure judgement of leases and suspicion over time, and the guard against losing the majority.

/** Figures of RULES.md, ms. */
export const hostFigures = {
  /** Suspicion that lasts this long makes a host lost. */
  suspicionMs: 2_500,
  /** A host without a lease and without suspicion (its agent restarts) is given this long. */
  leaseGraceMs: 10_000,
  /** A controller declares no host lost before it has seen it itself, or this has passed since it began to look. */
  unseenMs: 30_000,
  /** More than half of the hosts missing within this: freeze. */
  majorityMs: 30_000,
  /** A host that is just back is given this long before a surplus with its jobs is judged by what serves. */
  returnMs: 15_000,
} as const;

/**
 * What a host counts as. `present`: its jobs count. `suspect`: it is silent, not yet for long enough.
 * `lost`: declared so. `away`: its agent is, its network answers; its jobs are replaced and its instances stay.
 * `unseen`: not seen by this controller, nothing is concluded from that yet.
 */
export type Condition = 'present' | 'suspect' | 'lost' | 'away' | 'unseen';

/** What is remembered of one host; times on the monotonic clock. */
export interface HostMemory {
  condition: Condition;
  /** New jobs may be put on it: present, and its agent is there. */
  usable: boolean;
  seen: boolean;
  unleasedSince?: number;
  missingSince?: number;
  /** When it came back after it was lost or away. */
  backAt?: number;
}

/** What is remembered of all hosts. */
export interface HostsMemory {
  /** When this controller began to look. */
  since: number;
  hosts: ReadonlyMap<string, HostMemory>;
  frozen: boolean;
}

/** What is seen of the hosts now. */
export interface HostsSeen {
  /** Monotonic clock, ms. */
  now: number;
  /** Registered hosts; whether each holds its lease. */
  leased: ReadonlyMap<string, boolean>;
  /** Hosts that routers report as silent, each with the moments (monotonic ms) from which, by reporter. */
  suspects: ReadonlyMap<string, ReadonlyMap<string, number>>;
  /** Hosts with claims that an earlier leader marked as lost: not newly missing. */
  knownLost: ReadonlySet<string>;
}

/** A change of a host's condition. */
export interface HostChange {
  host: string;
  from: Condition;
  to: Condition;
}

/** The memory of a controller that has just started: nobody was seen. */
export function newHostsMemory(now: number): HostsMemory {
  return { since: now, hosts: new Map(), frozen: false };
}

/** True when nothing is heard of a host of this condition. */
export function isMissing(condition: Condition): boolean {
  return condition === 'suspect' || condition === 'lost' || condition === 'away';
}

/** The memory after a look at the hosts, and what changed for people to hear of. */
export function judgeHosts(
  memory: HostsMemory,
  seen: HostsSeen,
): { memory: HostsMemory; changes: HostChange[]; freeze: 'begins' | 'ends' | undefined } {
  const hosts = new Map<string, HostMemory>();
  const changes: HostChange[] = [];
  for (const [name, leased] of seen.leased) {
    const before = memory.hosts.get(name);
    const after = judgeHost(memory.since, before, seen, name, leased);
    hosts.set(name, after);
    if (before && before.condition !== after.condition)
      changes.push({ host: name, from: before.condition, to: after.condition });
  }
  const frozen = isFrozen(memory.frozen, hosts, seen.now);
  const freeze = frozen === memory.frozen ? undefined : frozen ? 'begins' : 'ends';
  return { memory: { since: memory.since, hosts, frozen }, changes, freeze };
}

function judgeHost(
  since: number,
  before: HostMemory | undefined,
  { now, suspects, knownLost, leased: registered }: HostsSeen,
  name: string,
  leased: boolean,
): HostMemory {
  const silent = [...(suspects.get(name)?.values() ?? [])].sort((a, b) => a - b);
  const [suspectSince] = silent;
  const seen = (before?.seen ?? false) || (leased && suspectSince === undefined);
  const unleasedSince = leased ? undefined : (before?.unleasedSince ?? now);
  const known = seen || now - since >= hostFigures.unseenMs;
  const condition = conditionOf();
  const wasGone = before?.condition === 'lost' || before?.condition === 'away';
  // A host that an earlier leader declared lost and that was not seen since is not newly missing.
  const missingFrom = knownLost.has(name) && !seen ? Number.NEGATIVE_INFINITY : now;
  return {
    condition,
    seen,
    usable: condition === 'present' && leased,
    ...optional('unleasedSince', unleasedSince),
    ...optional('missingSince', isMissing(condition) ? (before?.missingSince ?? missingFrom) : undefined),
    ...optional('backAt', condition === 'present' ? (wasGone ? now : before?.backAt) : undefined),
  };

  function conditionOf(): Condition {
    if (suspectSince !== undefined) {
      if (!known) return 'unseen';
      if (before?.condition === 'lost') return 'lost';
      if (now - certainSince() >= hostFigures.suspicionMs) return 'lost';
      return before?.condition === 'away' ? 'away' : 'suspect';
    }
    if (unleasedSince === undefined) return 'present';
    if (!known) return 'unseen';
    return seen && now - unleasedSince < hostFigures.leaseGraceMs ? 'present' : 'away';
  }

  /**
   * From when two observers heard nothing of it (RULES); one is enough where there are only two hosts, or where its
   * lease is gone: etcd hears nothing of it either.
   */
  function certainSince(): number {
    const enough = leased && registered.size > 2 ? 2 : 1;
    return silent[enough - 1] ?? Number.POSITIVE_INFINITY;
  }
}

function optional<K extends string>(name: K, value: number | undefined): Partial<Record<K, number>> {
  return value === undefined ? {} : ({ [name]: value } as Partial<Record<K, number>>);
}

/**
 * RULES 9: more than half missing within 30 s freezes; half or more present lifts it. Suspects count, but as long as
 * nobody is declared lost nothing would be done anyway, so a hiccup of the observer's own network freezes nothing.
 */
function isFrozen(frozen: boolean, hosts: ReadonlyMap<string, HostMemory>, now: number): boolean {
  const missing = [...hosts.values()].filter(({ condition }) => isMissing(condition));
  if (missing.length * 2 <= hosts.size) return false;
  if (!frozen && missing.every(({ condition }) => condition === 'suspect')) return false;
  const recent = missing.filter(({ missingSince = now }) => now - missingSince <= hostFigures.majorityMs);
  return frozen || recent.length * 2 > hosts.size;
}

// Where a job goes: pure policy over hosts and their books. It explains every host that it leaves out.
import { jobPorts, type HostBook } from '../../../api/grid.js';
import { pick, type Rng } from '../../../util/rng.js';

/** What one job takes of its host. */
export interface Need {
  /** MiB. */
  m: number;
  /** Millicores. */
  c: number;
  /** Host ports out of the job range. */
  ports: number;
  /** Host ports it must have. */
  fixed: readonly number[];
}

/** A host as placement sees it. Counts and use grow while a plan is made. */
export interface Seat {
  name: string;
  /** Why nothing may be put on it, in words; absent: it may be used. */
  closed?: string;
  capacity: { m: number; c: number };
  used: { m: number; c: number };
  taken: Set<number>;
  /** Jobs by group: `APP/TYPE` and `APP/TYPE/VERSION`. */
  counts: Map<string, number>;
}

/** Groups that a job is spread by: its release's first, then all of its type. */
export interface SpreadKeys {
  exact: string;
  loose: string;
}

/** The answer: a host, or for every host the constraint that excluded it. */
export type Placement = { host: string } | { excluded: { host: string; why: string }[] };

/** The seat of a host, with no jobs counted yet. */
export function seatOf(name: string, book: HostBook, closed?: string): Seat {
  return {
    name,
    ...(closed === undefined && book.cordoned
      ? { closed: 'is cordoned' }
      : closed === undefined
        ? {}
        : { closed }),
    capacity: book.capacity,
    used: { ...book.used },
    taken: new Set(book.ports),
    counts: new Map(),
  };
}

/** Adds `by` jobs of a group to a seat's counts. */
export function countOn(seat: Seat, keys: SpreadKeys, by = 1): void {
  for (const key of [keys.exact, keys.loose]) seat.counts.set(key, (seat.counts.get(key) ?? 0) + by);
}

/** Why a job does not fit on a seat, in words; undefined when it fits. */
export function obstacle(seat: Seat, need: Need): string | undefined {
  if (seat.closed !== undefined) return seat.closed;
  const m = seat.capacity.m - seat.used.m;
  if (need.m > m) return `has ${Math.max(0, m)} MiB free`;
  const c = seat.capacity.c - seat.used.c;
  if (need.c > c) return `has ${Math.max(0, c)} millicores free`;
  const busy = need.fixed.find((port) => seat.taken.has(port));
  if (busy !== undefined) return `has port ${busy} in use`;
  const range = jobPorts.last - jobPorts.first + 1;
  const inRange =
    need.ports === 0 ? 0 : [...seat.taken].filter((p) => p >= jobPorts.first && p <= jobPorts.last).length;
  return need.ports > range - inRange ? 'has no host ports left' : undefined;
}

/**
 * Chooses a host: fewest jobs of the release's type, then of the app's type, then most free memory, then by lot.
 * Books the job on the seat it chose, so that the next choice sees it.
 */
export function place(seats: readonly Seat[], keys: SpreadKeys, need: Need, rng: Rng): Placement {
  const excluded: { host: string; why: string }[] = [];
  let best: Seat[] = [];
  let bestRank: number[] | undefined;
  for (const seat of seats) {
    const why = obstacle(seat, need);
    if (why !== undefined) {
      excluded.push({ host: seat.name, why });
      continue;
    }
    const rank = [
      seat.counts.get(keys.exact) ?? 0,
      seat.counts.get(keys.loose) ?? 0,
      seat.used.m - seat.capacity.m,
    ];
    const order = bestRank ? compareRanks(rank, bestRank) : -1;
    if (order < 0) [best, bestRank] = [[seat], rank];
    else if (order === 0) best.push(seat);
  }
  const chosen = pick(rng, best);
  if (!chosen) return { excluded };
  chosen.used.m += need.m;
  chosen.used.c += need.c;
  for (const port of need.fixed) chosen.taken.add(port);
  countOn(chosen, keys);
  return { host: chosen.name };
}

function compareRanks(a: readonly number[], b: readonly number[]): number {
  for (const [i, value] of a.entries()) {
    const other = b[i] ?? 0;
    if (value !== other) return value - other;
  }
  return 0;
}

/** The sentence for people: `no capacity: hello web needs 512 MiB; a has 100 MiB free, b is cordoned`. */
export function explain(
  app: string,
  type: string,
  need: Need,
  excluded: readonly { host: string; why: string }[],
): string {
  const wants = [`${need.m} MiB`, ...(need.c > 0 ? [`${need.c} millicores`] : [])].join(' and ');
  if (excluded.length === 0) return `no capacity: ${app} ${type} needs ${wants}; there is no host`;
  const shown = excluded.slice(0, 8).map(({ host, why }) => `${host} ${why}`);
  const more = excluded.length > shown.length ? `, and ${excluded.length - shown.length} more hosts` : '';
  return `no capacity: ${app} ${type} needs ${wants}; ${shown.join(', ')}${more}`;
}

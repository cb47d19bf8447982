// A host as placement sees it, what a job needs of it, and why it does not fit: pure, in words and by how much.
import { bookable, jobPorts, type HostBook } from '../../api/grid.js';
import type { Constraint } from '../../api/job.js';

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
  /** What the host's tags must be like: all must hold. */
  constraints?: readonly Constraint[];
  /** Named volumes that it is bound to: it goes where those are that exist. */
  volumes?: readonly string[];
  /** Its image: a host that has it is preferred. */
  image?: string;
}

/** A host as placement sees it. Counts and use grow while a plan is made. */
export interface Seat {
  name: string;
  /** Why nothing may be put on it, in words; absent: it may be used. */
  closed?: string;
  /** What may be booked on it in all. */
  capacity: { m: number; c: number };
  used: { m: number; c: number };
  taken: Set<number>;
  /** Jobs by group: `APP/TYPE` and `APP/TYPE/VERSION`. */
  counts: Map<string, number>;
  tags?: Readonly<Record<string, string>>;
  /** Names of the volumes that are on it. */
  volumes?: ReadonlySet<string>;
  /** Images that it is known to have. */
  images?: ReadonlySet<string>;
}

/** Groups that a job is spread by: its release's first, then all of its type. */
export interface SpreadKeys {
  exact: string;
  loose: string;
}

/** Why a job does not fit on a host. */
export interface Obstacle {
  constraint: 'closed' | 'cordon' | 'disk' | 'tag' | 'volume' | 'memory' | 'cpu' | 'port';
  /** In words that follow the host's name: `has 100 MiB free`. */
  why: string;
  /** By how much: MiB, millicores or ports. */
  short?: number;
}

/** Tag that names the zone of a host: jobs are spread over its values, too. */
export const zoneTag = 'zone';

/** The seat of a host, with no jobs counted yet. */
export function seatOf(name: string, book: HostBook, closed?: string): Seat {
  const why =
    closed ?? (book.cordoned ? cordoned : book.disk === undefined ? undefined : `has no disk: ${book.disk}`);
  return {
    name,
    ...(why === undefined ? {} : { closed: why }),
    capacity: bookable(book),
    used: { ...book.used },
    taken: new Set(book.ports),
    counts: new Map(),
    tags: book.tags,
  };
}

const cordoned = 'is cordoned';

/** Adds `by` jobs of a group to a seat's counts. */
export function countOn(seat: Seat, keys: SpreadKeys, by = 1): void {
  for (const key of [keys.exact, keys.loose]) seat.counts.set(key, (seat.counts.get(key) ?? 0) + by);
}

/** Why a job does not fit on a seat; undefined when it fits. Volumes are judged where all seats are known. */
export function obstacle(seat: Seat, need: Need): Obstacle | undefined {
  if (seat.closed !== undefined)
    return { constraint: seat.closed === cordoned ? 'cordon' : 'closed', why: seat.closed };
  const broken = need.constraints?.find((constraint) => !holds(constraint, seat.tags ?? {}));
  if (broken) return { constraint: 'tag', why: tagWords(broken, seat.tags?.[broken.tag]) };
  const m = seat.capacity.m - seat.used.m;
  if (need.m > m) return { constraint: 'memory', why: `has ${Math.max(0, m)} MiB free`, short: need.m - m };
  const c = seat.capacity.c - seat.used.c;
  if (need.c > c)
    return { constraint: 'cpu', why: `has ${Math.max(0, c)} millicores free`, short: need.c - c };
  const busy = need.fixed.find((port) => seat.taken.has(port));
  if (busy !== undefined) return { constraint: 'port', why: `has port ${busy} in use`, short: 1 };
  // Fewer ports are taken than the range has: no need to count those within it.
  const range = jobPorts.last - jobPorts.first + 1;
  if (need.ports === 0 || seat.taken.size + need.ports <= range) return undefined;
  const inRange = [...seat.taken].filter((p) => p >= jobPorts.first && p <= jobPorts.last).length;
  const short = need.ports - (range - inRange);
  return short > 0 ? { constraint: 'port', why: 'has no host ports left', short } : undefined;
}

/** Whether a host's tags satisfy a constraint. A host without the tag satisfies `ne` alone. */
export function holds({ tag, op, values }: Constraint, tags: Readonly<Record<string, string>>): boolean {
  const value = Object.hasOwn(tags, tag) ? tags[tag] : undefined;
  switch (op) {
    case 'exists':
      return value !== undefined;
    case 'ne':
      return value === undefined || !values.includes(value);
    default:
      return value !== undefined && values.includes(value);
  }
}

/** A constraint in words: `disk is ssd`. */
export function constraintWords({ tag, op, values }: Constraint): string {
  switch (op) {
    case 'exists':
      return `${tag} is set`;
    case 'ne':
      return `${tag} is not ${values.join(' or ')}`;
    default:
      return `${tag} is ${values.join(' or ')}`;
  }
}

function tagWords(constraint: Constraint, value: string | undefined): string {
  const { tag, op, values } = constraint;
  if (value !== undefined)
    return `has tag ${tag}=${value}${op === 'ne' ? '' : `, not ${values.join(' or ')}`}`;
  return `has no tag ${tag}`;
}

// Placement in words: why a host was chosen, why each other one was not, and why a job finds no place at all.
import { compareRanks, exclude, rankOf, type Excluded, type Rank } from './place.js';
import type { Pool } from './pool.js';
import { constraintWords, type Need, type Obstacle, type Seat, type SpreadKeys } from './seat.js';

/** The sentence for people: `no capacity: hello web needs 512 MiB; a has 100 MiB free, b is cordoned`. */
export function explain(app: string, type: string, need: Need, excluded: readonly Excluded[]): string {
  const wants = needWords(need);
  if (excluded.length === 0) return `no capacity: ${app} ${type} needs ${wants}; there is no host`;
  const shown = excluded.slice(0, 8).map(({ host, why }) => `${host} ${why}`);
  const more = excluded.length > shown.length ? `, and ${excluded.length - shown.length} more hosts` : '';
  return `no capacity: ${app} ${type} needs ${wants}; ${shown.join(', ')}${more}`;
}

/** What a job needs, in words: `512 MiB, 100 millicores and a host where disk is ssd`. */
export function needWords(need: Need): string {
  const parts = [
    `${need.m} MiB`,
    ...(need.c > 0 ? [`${need.c} millicores`] : []),
    ...need.fixed.map((port) => `port ${port}`),
    ...(need.volumes?.length ? [`volume ${need.volumes.join(', ')}`] : []),
    ...(need.constraints ?? []).map((constraint) => `a host where ${constraintWords(constraint)}`),
  ];
  return parts.length < 2 ? parts.join('') : `${parts.slice(0, -1).join(', ')} and ${parts.at(-1)}`;
}

/** One host of a decision: what excludes it, or what it is preferred by, the strongest first. */
export interface HostReasons {
  host: string;
  fits: boolean;
  reasons: string[];
}

/** A decision laid open: the hosts that fit in the order of preference, then those that do not. */
export function reasons(pool: Pool, keys: SpreadKeys, need: Need): HostReasons[] {
  const excluded = new Map(exclude(pool, need).map((item) => [item.host, item]));
  // Where nobody knows who has which image, nothing is said of it.
  const imagesKnown = pool.seats.some(({ images }) => images !== undefined);
  const told = imagesKnown ? need : { ...need, image: undefined };
  const fitting = pool.seats
    .filter(({ name }) => !excluded.has(name))
    .map((seat) => ({ seat, rank: rankOf(pool, seat, keys, need) }))
    .sort((a, b) => compareRanks(a.rank, b.rank));
  return [
    ...fitting.map(({ seat, rank }) => ({
      host: seat.name,
      fits: true,
      reasons: rankWords(seat, rank, keys, told),
    })),
    ...[...excluded.values()].map(({ host, why }) => ({ host, fits: false, reasons: [why] })),
  ];
}

function rankWords(
  seat: Seat,
  rank: Rank,
  { loose }: SpreadKeys,
  need: { image?: string | undefined },
): string[] {
  const jobs = (count: number) => (count === 1 ? '1 job' : `${count} jobs`);
  return [
    `has ${jobs(rank.exact)} of this release`,
    ...(seat.tags?.zone === undefined ? [] : [`its zone ${seat.tags.zone} has ${jobs(rank.zone)} of it`]),
    `has ${jobs(rank.loose)} of ${loose.replace('/', ' ')} in all`,
    ...(need.image === undefined ? [] : [rank.image === 0 ? 'has the image' : 'does not have the image']),
    `has ${-rank.memory} MiB and ${-rank.cpu} millicores free`,
  ];
}

/** Which constraint fails on how many hosts and by how much at the least, the most frequent first. */
export function tally(
  excluded: readonly Excluded[],
): { constraint: Obstacle['constraint']; hosts: number; least?: number; example: string }[] {
  const found = new Map<Obstacle['constraint'], { hosts: number; least?: number; example: string }>();
  for (const { constraint, host, why, short } of excluded) {
    const item = found.get(constraint) ?? { hosts: 0, example: `${host} ${why}` };
    item.hosts += 1;
    if (short !== undefined && short < (item.least ?? Number.POSITIVE_INFINITY)) {
      item.least = short;
      item.example = `${host} ${why}`;
    }
    found.set(constraint, item);
  }
  return [...found].map(([constraint, item]) => ({ constraint, ...item })).sort((a, b) => b.hosts - a.hosts);
}

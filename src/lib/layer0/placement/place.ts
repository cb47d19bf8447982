// Where a job goes: pure policy over seats. Small grids are looked at whole, large ones by a random sample.
import { randomInt, type Rng } from '../../util/rng.js';
import { Pool } from './pool.js';
import { obstacle, type Need, type Obstacle, type Seat, type SpreadKeys } from './seat.js';

/** Up to that many hosts, every one is looked at. */
const wholeScan = 64;
/**
 * Hosts looked at for one job in larger grids: the best of 16 taken at random is among the best sixth with a
 * probability of 95 % (1 - (5/6)^16), and two schedulers seldom meet on a host.
 */
const sample = 16;
/** Looks at random before everything is looked at. */
const maxLooks = 256;

/** What a host is preferred by, lower first, in this order. */
export interface Rank {
  /** Jobs of the same release and type on the host. */
  exact: number;
  /** The same in the host's zone. */
  zone: number;
  /** Jobs of the type, whatever their release, on the host. */
  loose: number;
  /** 1: it does not have the image. Never before the spread: copies of a job would end up where the first one is. */
  image: number;
  /** Free memory, negative MiB. */
  memory: number;
  /** Free cpu, negative millicores. */
  cpu: number;
}

/** A host that was left out. */
export interface Excluded extends Obstacle {
  host: string;
}

/** The answer: a host with what it was preferred by among how many that fit, or what excluded each host. */
export type Placement = { host: string; rank: Rank; fitting: number } | { excluded: Excluded[] };

/**
 * Chooses a host that fits: fewest jobs of the release's type on the host, then in its zone, then of the app's type;
 * then one that has the image, then most free memory, then most free cpu, then by lot. Books the job on the seat it
 * chose, so that the next choice sees it. The cost does not grow with the number of hosts as long as there is room.
 */
export function place(pool: Pool, keys: SpreadKeys, need: Need, rng: Rng): Placement {
  const candidates = pool.candidates(need);
  const best = new Best(pool, keys, need, rng);
  if (candidates.length <= wholeScan) for (const seat of candidates) best.look(seat);
  else lookAround(pool, candidates, best, rng);
  // Nothing was found at random, or in what the constraints left: the whole tells why.
  if (!best.seat || !best.rank) return { excluded: exclude(pool, need) };
  pool.take(best.seat, keys, need);
  return { host: best.seat.name, rank: best.rank, fitting: best.fitting };
}

function lookAround(pool: Pool, candidates: readonly Seat[], best: Best, rng: Rng): void {
  for (let looks = 0; looks < maxLooks && candidates.length > 0; looks++) {
    if (best.fitting >= sample) return;
    const at = randomInt(rng, candidates.length);
    const seat = candidates[at];
    if (!seat) continue;
    best.look(seat);
    if (isFull(seat) && pool.isOpen(candidates)) pool.drop(at);
  }
  if (!best.seat) for (const seat of candidates) best.look(seat);
}

/** Nothing at all fits on it for the rest of the plan. */
function isFull(seat: Seat): boolean {
  return seat.closed !== undefined || seat.capacity.m - seat.used.m < leastMemory;
}

/** Least memory of a job, MiB (api/job, `Resources`). */
const leastMemory = 4;

/** The best seat seen so far. */
class Best {
  seat: Seat | undefined;
  rank: Rank | undefined;
  fitting = 0;
  private ties = 0;

  constructor(
    private readonly pool: Pool,
    private readonly keys: SpreadKeys,
    private readonly need: Need,
    private readonly rng: Rng,
  ) {}

  look(seat: Seat): void {
    if (obstacle(seat, this.need)) return;
    this.fitting += 1;
    const rank = rankOf(this.pool, seat, this.keys, this.need);
    const order = this.rank ? compareRanks(rank, this.rank) : -1;
    if (order > 0 || (order === 0 && this.seat === seat)) return;
    // Of equal ones each has the same chance.
    this.ties = order < 0 ? 1 : this.ties + 1;
    if (order < 0 || randomInt(this.rng, this.ties) === 0) [this.seat, this.rank] = [seat, rank];
  }
}

/** What a seat is preferred by. */
export function rankOf(pool: Pool, seat: Seat, keys: SpreadKeys, need: Need): Rank {
  return {
    exact: seat.counts.get(keys.exact) ?? 0,
    zone: pool.inZone(seat, keys.exact),
    loose: seat.counts.get(keys.loose) ?? 0,
    image: need.image === undefined || seat.images?.has(need.image) ? 0 : 1,
    memory: seat.used.m - seat.capacity.m,
    cpu: seat.used.c - seat.capacity.c,
  };
}

/** Order of two ranks: negative when the first is preferred. */
export function compareRanks(a: Rank, b: Rank): number {
  return (
    a.exact - b.exact ||
    a.zone - b.zone ||
    a.loose - b.loose ||
    a.image - b.image ||
    a.memory - b.memory ||
    a.cpu - b.cpu
  );
}

/** What excludes each host, in the order of the pool. */
export function exclude(pool: Pool, need: Need): Excluded[] {
  const bound = pool.bound(need);
  const there = bound && new Set(bound);
  const where = bound?.map(({ name }) => name).join(', ');
  return pool.seats.flatMap((seat) => {
    const found =
      there && !there.has(seat)
        ? ({
            constraint: 'volume',
            why: `does not have volume ${(need.volumes ?? []).join(', ')}${where ? `, which is on ${where}` : ''}`,
          } as const)
        : obstacle(seat, need);
    return found ? [{ host: seat.name, ...found }] : [];
  });
}

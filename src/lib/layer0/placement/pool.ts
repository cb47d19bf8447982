// All seats of a plan with what makes choosing among many cheap: hosts by tag and by volume, and counts by zone.
import { countOn, zoneTag, type Need, type Seat, type SpreadKeys } from './seat.js';

/** Seats, indexed as far as jobs ask. A pool is made once per plan, after the jobs that there are were counted. */
export class Pool {
  private byTag: Map<string, Seat[]> | undefined;
  private byVolume: Map<string, Seat[]> | undefined;
  private zones: Map<string, Map<string, number>> | undefined;
  /** Seats that choices are made among when nothing narrows them: those that are shut or full drop out. */
  private readonly open: Seat[];

  constructor(readonly seats: readonly Seat[]) {
    this.open = [...seats];
  }

  /** The seats that can be the right one: those with the job's volumes or with a tag that it demands, else all open ones. */
  candidates(need: Need): readonly Seat[] {
    // Volumes bind whatever the tags say: those are looked at on each seat.
    const bound = this.bound(need);
    if (bound) return bound;
    let fewest: readonly Seat[] = this.open;
    for (const { tag, op, values } of need.constraints ?? []) {
      if (op === 'ne') continue;
      const found =
        op === 'exists' ? this.tagged(tag) : values.flatMap((value) => this.tagged(`${tag}=${value}`));
      if (found.length < fewest.length) fewest = found;
    }
    return fewest;
  }

  /** Seats that have every volume of the job's that exists anywhere; undefined: none of them exists. */
  bound({ volumes = [] }: Need): readonly Seat[] | undefined {
    if (volumes.length === 0) return undefined;
    this.byVolume ??= index(this.seats, ({ volumes: on }) => on ?? []);
    const existing = volumes.filter((name) => this.byVolume?.has(name));
    if (existing.length === 0) return undefined;
    const [first = '', ...others] = existing;
    return (this.byVolume.get(first) ?? []).filter((seat) => others.every((name) => seat.volumes?.has(name)));
  }

  /** Jobs of a group in a seat's zone; 0 where no host has a zone. */
  inZone(seat: Seat, group: string): number {
    const zone = seat.tags?.[zoneTag];
    return zone === undefined ? 0 : (this.zoneCounts().get(zone)?.get(group) ?? 0);
  }

  /** Books a job on a seat, so that the next choice sees it. */
  take(seat: Seat, keys: SpreadKeys, need: Need): void {
    seat.used.m += need.m;
    seat.used.c += need.c;
    for (const port of need.fixed) seat.taken.add(port);
    const zone = seat.tags?.[zoneTag];
    if (zone !== undefined) {
      const counts = this.zoneCounts().get(zone);
      for (const key of [keys.exact, keys.loose]) counts?.set(key, (counts.get(key) ?? 0) + 1);
    }
    countOn(seat, keys);
  }

  /** Nothing more goes to that host in this plan, for that reason. */
  close(host: string, why: string): void {
    const seat = this.seats.find(({ name }) => name === host);
    if (seat) seat.closed ??= why;
  }

  /** Leaves a seat of the open ones out of further choices; `at` is its place among them. */
  drop(at: number): void {
    const last = this.open.pop();
    if (last && at < this.open.length) this.open[at] = last;
  }

  /** Whether these candidates are the open seats, which `drop` makes fewer. */
  isOpen(candidates: readonly Seat[]): boolean {
    return candidates === this.open;
  }

  private tagged(key: string): readonly Seat[] {
    this.byTag ??= index(this.seats, ({ tags = {} }) =>
      Object.entries(tags).flatMap(([tag, value]) => [tag, `${tag}=${value}`]),
    );
    return this.byTag.get(key) ?? [];
  }

  private zoneCounts(): Map<string, Map<string, number>> {
    if (this.zones) return this.zones;
    this.zones = new Map();
    for (const { tags, counts } of this.seats) {
      const zone = tags?.[zoneTag];
      if (zone === undefined) continue;
      const total = this.zones.get(zone) ?? new Map<string, number>();
      for (const [group, count] of counts) total.set(group, (total.get(group) ?? 0) + count);
      this.zones.set(zone, total);
    }
    return this.zones;
  }
}

function index(seats: readonly Seat[], keysOf: (seat: Seat) => Iterable<string>): Map<string, Seat[]> {
  const found = new Map<string, Seat[]>();
  for (const seat of seats) {
    for (const key of keysOf(seat)) {
      const list = found.get(key);
      if (list) list.push(seat);
      else found.set(key, [seat]);
    }
  }
  return found;
}

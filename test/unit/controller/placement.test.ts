// Placement: spread, room, and the reasons for leaving hosts out.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  explain,
  place,
  type Need,
  type Seat,
} from '../../../src/lib/layer1/controller/schedulers/placement.js';
import { seededRng } from '../../../src/lib/util/rng.js';

const need: Need = { m: 512, c: 100, ports: 1, fixed: [] };
const keysOfWeb = { exact: 'hello/web/1', loose: 'hello/web' };

function seat(name: string, more: Partial<Seat> = {}): Seat {
  return {
    name,
    capacity: { m: 4096, c: 4000 },
    used: { m: 0, c: 0 },
    taken: new Set(),
    counts: new Map(),
    ...more,
  };
}

describe('given hosts with jobs of the app', () => {
  it('when one has fewest of the same release and type, then it is chosen whatever its memory', () => {
    const seats = [
      seat('a', { counts: new Map([[keysOfWeb.exact, 1]]) }),
      seat('b', { used: { m: 3000, c: 0 } }),
    ];
    expect(place(seats, keysOfWeb, need, seededRng(1))).toEqual({ host: 'b' });
  });

  it('when the release is new everywhere, then the type of all releases decides', () => {
    const seats = [seat('a', { counts: new Map([[keysOfWeb.loose, 1]]) }), seat('b')];
    expect(place(seats, keysOfWeb, need, seededRng(1))).toEqual({ host: 'b' });
  });

  it('when the counts are equal, then most free memory decides', () => {
    const seats = [seat('a', { used: { m: 100, c: 0 } }), seat('b')];
    expect(place(seats, keysOfWeb, need, seededRng(1))).toEqual({ host: 'b' });
  });

  it('when all is equal, then the lot decides, and every host has its chance', () => {
    const chosen = new Set(
      Array.from({ length: 50 }, (_, n) =>
        JSON.stringify(place([seat('a'), seat('b')], keysOfWeb, need, seededRng(n))),
      ),
    );
    expect(chosen.size).toBe(2);
  });
});

describe('given hosts that cannot take a job', () => {
  const full = [
    seat('a', { used: { m: 3996, c: 0 } }),
    seat('b', { closed: 'is cordoned' }),
    seat('c', { used: { m: 0, c: 3950 } }),
    seat('d', { closed: 'does not answer' }),
    seat('e', { taken: new Set([2222]) }),
  ];

  it('then each is named with its constraint', () => {
    const placement = place(full, keysOfWeb, { ...need, fixed: [2222] }, seededRng(1));
    expect(placement).toEqual({
      excluded: [
        { host: 'a', why: 'has 100 MiB free' },
        { host: 'b', why: 'is cordoned' },
        { host: 'c', why: 'has 50 millicores free' },
        { host: 'd', why: 'does not answer' },
        { host: 'e', why: 'has port 2222 in use' },
      ],
    });
  });

  it('then the sentence says what is needed and what there is', () => {
    const excluded = [
      { host: 'a', why: 'has 100 MiB free' },
      { host: 'b', why: 'is cordoned' },
    ];
    expect(explain('hello', 'web', { ...need, c: 0 }, excluded)).toBe(
      'no capacity: hello web needs 512 MiB; a has 100 MiB free, b is cordoned',
    );
  });
});

it('never books more than there is, and spreads to a difference of one at most', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 8 }),
      fc.integer({ min: 0, max: 80 }),
      fc.nat(),
      (hosts, jobs, seed) => {
        const seats = Array.from({ length: hosts }, (_, i) => seat(`h${i}`));
        const rng = seededRng(seed);
        let placed = 0;
        for (let i = 0; i < jobs; i++) if ('host' in place(seats, keysOfWeb, need, rng)) placed += 1;
        const counts = seats.map(({ counts: of }) => of.get(keysOfWeb.exact) ?? 0);
        expect(placed).toBe(Math.min(jobs, hosts * 8));
        expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
        expect(seats.every(({ used, capacity }) => used.m <= capacity.m && used.c <= capacity.c)).toBe(true);
      },
    ),
  );
});

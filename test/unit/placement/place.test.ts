// Placement: spread, room, and the reasons for leaving hosts out.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Constraint } from '../../../src/lib/api/job.js';
import {
  exclude,
  explain,
  place as placeIn,
  Pool,
  reasons,
  tally,
  type Need,
  type Placement,
  type Seat,
} from '../../../src/lib/layer0/placement/index.js';
import { seededRng, type Rng } from '../../../src/lib/util/rng.js';

const need: Need = { m: 512, c: 100, ports: 1, fixed: [] };
const keysOfWeb = { exact: 'hello/web/1', loose: 'hello/web' };

const place = (seats: readonly Seat[], keys: typeof keysOfWeb, of: Need, rng: Rng) =>
  placeIn(new Pool(seats), keys, of, rng);
const hostOf = (placement: Placement) => ('host' in placement ? placement.host : undefined);

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
    expect(place(seats, keysOfWeb, need, seededRng(1))).toMatchObject({ host: 'b' });
  });

  it('when the release is new everywhere, then the type of all releases decides', () => {
    const seats = [seat('a', { counts: new Map([[keysOfWeb.loose, 1]]) }), seat('b')];
    expect(place(seats, keysOfWeb, need, seededRng(1))).toMatchObject({ host: 'b' });
  });

  it('when the counts are equal, then most free memory decides', () => {
    const seats = [seat('a', { used: { m: 100, c: 0 } }), seat('b')];
    expect(place(seats, keysOfWeb, need, seededRng(1))).toMatchObject({ host: 'b' });
  });

  it('when all is equal, then the lot decides, and every host has its chance', () => {
    const chosen = new Set(
      Array.from({ length: 50 }, (_, n) =>
        hostOf(place([seat('a'), seat('b')], keysOfWeb, need, seededRng(n))),
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
        { host: 'a', constraint: 'memory', why: 'has 100 MiB free', short: 412 },
        { host: 'b', constraint: 'cordon', why: 'is cordoned' },
        { host: 'c', constraint: 'cpu', why: 'has 50 millicores free', short: 50 },
        { host: 'd', constraint: 'closed', why: 'does not answer' },
        { host: 'e', constraint: 'port', why: 'has port 2222 in use', short: 1 },
      ],
    });
  });

  it('then the sentence says what is needed and what there is', () => {
    const excluded = [
      { host: 'a', constraint: 'memory', why: 'has 100 MiB free', short: 412 },
      { host: 'b', constraint: 'cordon', why: 'is cordoned' },
    ] as const;
    expect(explain('hello', 'web', { ...need, c: 0 }, excluded)).toBe(
      'no capacity: hello web needs 512 MiB; a has 100 MiB free, b is cordoned',
    );
  });
});

describe('given tags', () => {
  const seats = () => [
    seat('a', { tags: { disk: 'ssd', zone: 'north' } }),
    seat('b', { tags: { disk: 'hdd' } }),
    seat('c'),
  ];
  const fits = (constraint: Constraint) =>
    seats()
      .map(({ name }) => name)
      .filter(
        (name) =>
          !exclude(new Pool(seats()), { ...need, constraints: [constraint] }).some(
            ({ host }) => host === name,
          ),
      );

  it.each<[Constraint, string[]]>([
    [{ tag: 'disk', op: 'eq', values: ['ssd'] }, ['a']],
    [{ tag: 'disk', op: 'ne', values: ['ssd'] }, ['b', 'c']],
    [{ tag: 'disk', op: 'in', values: ['ssd', 'hdd'] }, ['a', 'b']],
    [{ tag: 'disk', op: 'exists', values: [] }, ['a', 'b']],
    [{ tag: 'toString', op: 'exists', values: [] }, []],
  ])('%j is satisfied by %j', (constraint, expected) => {
    expect(fits(constraint)).toEqual(expected);
    const placement = place(seats(), keysOfWeb, { ...need, constraints: [constraint] }, seededRng(1));
    expect(expected.includes(hostOf(placement) ?? '')).toBe(expected.length > 0);
  });

  it('when none fits, then each host says what its tag is', () => {
    const constraints: Constraint[] = [{ tag: 'disk', op: 'eq', values: ['nvme'] }];
    const placement = place(seats(), keysOfWeb, { ...need, constraints }, seededRng(1));
    const excluded = 'excluded' in placement ? placement.excluded : [];
    expect(explain('hello', 'web', { ...need, constraints }, excluded)).toBe(
      'no capacity: hello web needs 512 MiB, 100 millicores and a host where disk is nvme; ' +
        'a has tag disk=ssd, not nvme, b has tag disk=hdd, not nvme, c has no tag disk',
    );
  });

  it('then jobs are spread over zones before a zone has two', () => {
    const zones = [
      seat('a1', { tags: { zone: 'a' } }),
      seat('a2', { tags: { zone: 'a' } }),
      seat('b1', { tags: { zone: 'b' } }),
    ];
    for (let seed = 0; seed < 20; seed++) {
      const pool = new Pool(zones.map((one) => ({ ...one, used: { m: 0, c: 0 }, counts: new Map() })));
      const rng = seededRng(seed);
      const [first, second] = [1, 2].map(() => hostOf(placeIn(pool, keysOfWeb, need, rng)));
      expect([first, second].filter((host) => host === 'b1').length).toBe(1);
    }
  });
});

describe('given volumes and images', () => {
  const bound = { ...need, volumes: ['data'] };

  it('when the volume is on a host, then the job goes there, however full others say it is', () => {
    const seats = [seat('a'), seat('b', { volumes: new Set(['data']), used: { m: 3000, c: 0 } })];
    expect(place(seats, keysOfWeb, bound, seededRng(1))).toMatchObject({ host: 'b' });
  });

  it('when that host is full, then the job waits and says where its volume is', () => {
    const seats = [seat('a'), seat('b', { volumes: new Set(['data']), used: { m: 4000, c: 0 } })];
    expect(place(seats, keysOfWeb, bound, seededRng(1))).toEqual({
      excluded: [
        { host: 'a', constraint: 'volume', why: 'does not have volume data, which is on b' },
        { host: 'b', constraint: 'memory', why: 'has 96 MiB free', short: 416 },
      ],
    });
  });

  it('when a tag is demanded too, then the volume binds all the same', () => {
    const constraints: Constraint[] = [{ tag: 'disk', op: 'eq', values: ['ssd'] }];
    const seats = [seat('a', { tags: { disk: 'ssd' } }), seat('b', { volumes: new Set(['data']) })];
    expect(place(seats, keysOfWeb, { ...bound, constraints }, seededRng(1))).toMatchObject({
      excluded: [{}, {}],
    });
  });

  it('when no host has the volume, then any will do: it is made there', () => {
    expect(place([seat('a')], keysOfWeb, bound, seededRng(1))).toMatchObject({ host: 'a' });
  });

  it('when one host has the image, then it is preferred, but never to a host with fewer copies', () => {
    const seats = [
      seat('a', { used: { m: 0, c: 0 } }),
      seat('b', { images: new Set(['hello:1']), used: { m: 2000, c: 0 } }),
    ];
    const pool = new Pool(seats);
    const rng = seededRng(1);
    const of = { ...need, image: 'hello:1' };
    expect([1, 2].map(() => hostOf(placeIn(pool, keysOfWeb, of, rng)))).toEqual(['b', 'a']);
  });
});

it('a decision is laid open: hosts in the order of preference with their reasons, then those left out', () => {
  const seats = [
    seat('a', { counts: new Map([[keysOfWeb.exact, 1]]), tags: { zone: 'north' } }),
    seat('b', { closed: 'is cordoned' }),
    seat('c', { images: new Set(['hello:1']) }),
  ];
  expect(reasons(new Pool(seats), keysOfWeb, { ...need, image: 'hello:1' })).toEqual([
    {
      host: 'c',
      fits: true,
      reasons: [
        'has 0 jobs of this release',
        'has 0 jobs of hello web in all',
        'has the image',
        'has 4096 MiB and 4000 millicores free',
      ],
    },
    {
      host: 'a',
      fits: true,
      reasons: [
        'has 1 job of this release',
        'its zone north has 1 job of it',
        'has 0 jobs of hello web in all',
        'does not have the image',
        'has 4096 MiB and 4000 millicores free',
      ],
    },
    { host: 'b', fits: false, reasons: ['is cordoned'] },
  ]);
});

it('what fails on how many hosts is counted, with the least that is short', () => {
  const seats = [
    seat('a', { used: { m: 3700, c: 0 } }),
    seat('b', { used: { m: 4000, c: 0 } }),
    seat('c', { closed: 'is cordoned' }),
  ];
  expect(tally(exclude(new Pool(seats), need))).toEqual([
    { constraint: 'memory', hosts: 2, least: 116, example: 'a has 396 MiB free' },
    { constraint: 'cordon', hosts: 1, example: 'c is cordoned' },
  ]);
});

describe('given many hosts', () => {
  const many = (count: number, more: (i: number) => Partial<Seat> = () => ({})) =>
    Array.from({ length: count }, (_, i) => seat(`h${i}`, more(i)));
  const looks = (seats: Seat[]) => {
    let count = 0;
    for (const one of seats) {
      const { capacity } = one;
      Object.defineProperty(one, 'capacity', { get: () => ((count += 1), capacity) });
    }
    return () => count;
  };

  it('when one is chosen, then no more of them are looked at in a large grid than in a small one', () => {
    const looked = [100, 1000, 10_000].map((count) => {
      const seats = many(count);
      const pool = new Pool(seats);
      const counted = looks(seats);
      const rng = seededRng(1);
      for (let i = 0; i < 100; i++) placeIn(pool, keysOfWeb, need, rng);
      return counted();
    });
    expect(Math.max(...looked)).toBeLessThan(Math.min(...looked) * 1.5);
  });

  it('when the only one with room is among 10,000, then it is found', () => {
    const seats = many(10_000, (i) => (i === 7777 ? {} : { used: { m: 4000, c: 0 } }));
    expect(place(seats, keysOfWeb, need, seededRng(1))).toMatchObject({ host: 'h7777' });
  });

  it('when a tag is rare, then its hosts are found without a look at the others', () => {
    const seats = many(10_000, (i) => (i % 1000 === 0 ? { tags: { gpu: 'yes' } } : {}));
    const pool = new Pool(seats);
    const constraints: Constraint[] = [{ tag: 'gpu', op: 'eq', values: ['yes'] }];
    const counted = looks(seats);
    const placement = placeIn(pool, keysOfWeb, { ...need, constraints }, seededRng(1));
    expect(Number(hostOf(placement)?.slice(1)) % 1000).toBe(0);
    expect(counted()).toBeLessThan(100);
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
        const pool = new Pool(seats);
        let placed = 0;
        for (let i = 0; i < jobs; i++) if ('host' in placeIn(pool, keysOfWeb, need, rng)) placed += 1;
        const counts = seats.map(({ counts: of }) => of.get(keysOfWeb.exact) ?? 0);
        expect(placed).toBe(Math.min(jobs, hosts * 8));
        expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
        expect(seats.every(({ used, capacity }) => used.m <= capacity.m && used.c <= capacity.c)).toBe(true);
      },
    ),
  );
});

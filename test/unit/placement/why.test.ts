// Why, in words: a table of facts and the sentences that follow from them.
import { expect, it } from 'vitest';
import type { Claim, JobStatus } from '../../../src/lib/api/job.js';
import { why, type Need, type Seat, type WhyFacts } from '../../../src/lib/layer0/placement/index.js';

const keys = { exact: 'hello/web/1', loose: 'hello/web' };
/** Nobody knows who has the image: nothing may be said of it. */
const need: Need = { m: 512, c: 100, ports: 1, fixed: [], image: 'hello:1' };
const claim: Claim = { t: 't', o: 'app/hello/1/web', m: 512, c: 100, p: [20000], w: 'run', x: 'x' };
const status = (more: Partial<JobStatus> = {}): JobStatus => ({
  state: 'up',
  owner: claim.o,
  template: 't',
  starts: 1,
  exitCode: null,
  addresses: {},
  since: 940_000,
  ...more,
});
const seat = (name: string, more: Partial<Seat> = {}): Seat => ({
  name,
  capacity: { m: 1024, c: 1000 },
  used: { m: 0, c: 0 },
  taken: new Set(),
  counts: new Map(),
  ...more,
});
const withJob = (name: string) =>
  seat(name, {
    used: { m: 512, c: 100 },
    taken: new Set([20000]),
    counts: new Map([
      [keys.exact, 1],
      [keys.loose, 1],
    ]),
  });
const facts = (more: Partial<WhyFacts>): WhyFacts => ({
  name: 'web.1 of hello',
  now: 1_000_000,
  seats: [withJob('a'), seat('b'), seat('c', { closed: 'is cordoned' })],
  keys,
  need,
  missing: 0,
  ...more,
});
const job = (more: Partial<NonNullable<WhyFacts['job']>> = {}) => ({
  host: 'a',
  claim,
  status: status(),
  ...more,
});

const place = [
  'Without it, a has 0 jobs of this release, has 0 jobs of hello web in all, has 1024 MiB and 1000 millicores free: ' +
    'it would be put there again. Next comes b, which has 0 jobs of this release, has 0 jobs of hello web in all, ' +
    'has 1024 MiB and 1000 millicores free.',
  'It cannot be elsewhere: c is cordoned.',
];

it.each<[what: string, facts: WhyFacts, sentences: string[]]>([
  ['a job that is up', facts({ job: job() }), ['web.1 of hello is up on a for 60 s.', ...place]],
  [
    'a job that another host would suit better today',
    facts({ job: job(), seats: [{ ...withJob('a'), used: { m: 900, c: 100 } }, seat('b')] }),
    [
      'web.1 of hello is up on a for 60 s.',
      'Without it, a has 0 jobs of this release, has 0 jobs of hello web in all, has 636 MiB and 1000 millicores free. ' +
        'Today b would be preferred: it has 0 jobs of this release, has 0 jobs of hello web in all, ' +
        'has 1024 MiB and 1000 millicores free. What runs is not moved for that.',
    ],
  ],
  [
    'a job on a host that takes nothing any more',
    facts({ job: job(), seats: [{ ...withJob('a'), closed: 'is cordoned' }] }),
    ['web.1 of hello is up on a for 60 s.', 'New jobs of its kind would not go to a now: it is cordoned.'],
  ],
  [
    'a job that was started again',
    facts({
      job: job({
        status: status({ starts: 3, startedAt: 990_000, reason: 'killed: out of memory at 512 MiB' }),
      }),
    }),
    [
      'web.1 of hello is up on a for 60 s.',
      'It was started 3 times, the last time 10 s ago: web.1 of hello is started again when it ends; killed: out of memory at 512 MiB.',
      ...place,
    ],
  ],
  [
    'a job that waits for its next start',
    facts({
      job: job({
        status: status({
          state: 'crashed',
          starts: 6,
          exitCode: 3,
          reason: 'exited with code 3',
          restartAt: 1_008_000,
          tail: ['no database'],
        }),
      }),
    }),
    [
      'web.1 of hello is down on a for 60 s: exited with code 3; the next start is in 8 s.',
      'It was started 6 times: web.1 of hello is started again when it ends; exited with code 3.',
      'Its last lines were: no database',
      ...place,
    ],
  ],
  [
    'a job whose agent said nothing yet',
    facts({ job: { host: 'a', claim } }),
    ['web.1 of hello is booked on a; its agent has not said anything of it yet.', ...place],
  ],
  [
    'a job of a lost host',
    facts({ job: job({ claim: { ...claim, w: 'lost' }, condition: 'lost' }), seats: [seat('b')] }),
    [
      'web.1 of hello is booked on a as lost: a is lost, and others take its place.',
      'a is no longer part of the grid.',
    ],
  ],
  [
    'a job that is over',
    facts({ job: { host: 'a', status: status({ state: 'failed', reason: 'exited with code 1' }) } }),
    ['web.1 of hello failed on a: exited with code 1; nothing is booked for it any more.'],
  ],
  [
    'jobs that find no place',
    facts({
      name: 'web of hello',
      missing: 2,
      need: { ...need, m: 2048 },
      seats: [
        seat('a', { used: { m: 24, c: 0 } }),
        seat('b', { used: { m: 1000, c: 0 } }),
        seat('c', { closed: 'is cordoned' }),
      ],
    }),
    [
      '2 more of web of hello are wanted and there is no place: it needs 2048 MiB and 100 millicores.',
      'What fails: too little memory on 2 hosts, short by 1048 MiB at the least (a has 1000 MiB free); the host is cordoned on 1 host (c is cordoned).',
    ],
  ],
  [
    'a job whose tag no host has',
    facts({
      name: 'web of hello',
      missing: 1,
      need: { ...need, constraints: [{ tag: 'disk', op: 'eq', values: ['ssd'] }] },
      seats: [seat('a')],
    }),
    [
      'One more of web of hello is wanted and there is no place: it needs 512 MiB, 100 millicores and a host where disk is ssd.',
      'What fails: a tag does not fit on 1 host (a has no tag disk).',
    ],
  ],
  [
    'a job that has a place',
    facts({ name: 'web of hello', missing: 1 }),
    ['One more of web of hello is wanted: b has room, it is placed in a moment.'],
  ],
  [
    'a grid without hosts',
    facts({ name: 'web of hello', missing: 1, seats: [] }),
    ['One more of web of hello is wanted and there is no host: it needs 512 MiB and 100 millicores.'],
  ],
  [
    'a frozen grid',
    facts({ job: job(), frozen: 'more than half of the hosts went missing at once (b, c)' }),
    [
      'web.1 of hello is up on a for 60 s.',
      ...place,
      'Nothing is moved or placed now: more than half of the hosts went missing at once (b, c).',
    ],
  ],
])('%s', (_what, given, sentences) => {
  expect(why(given).sentences).toEqual(sentences);
});

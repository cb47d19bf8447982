// The arithmetic of books over arbitrary changes: never over capacity, no port twice, and credit takes back what was booked.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bookable, jobPorts, type HostBook } from '../../../src/lib/api/grid.js';
import type { Claim } from '../../../src/lib/api/job.js';
import {
  ClaimRequest,
  ClaimsQuery,
  HostChange,
  SetTags,
  TransactionRequest,
} from '../../../src/lib/api/sampi.js';
import { credit, isRejection, judgeChange, newBook } from '../../../src/lib/layer0/sampi/book.js';
import { inParts } from '../../../src/lib/layer0/sampi/parts.js';
import { seededRng } from '../../../src/lib/util/rng.js';
import { ulid } from '../../../src/lib/util/ulid.js';

const MiB = 1024 * 1024;
const rng = seededRng(3);
const some = { numRuns: 200 };

const claim = fc
  .record({
    memory: fc.integer({ min: 4, max: 900 }),
    cpu: fc.integer({ min: 0, max: 900 }),
    ports: fc.integer({ min: 0, max: 5 }),
    fixedPorts: fc.uniqueArray(fc.integer({ min: jobPorts.first - 3, max: jobPorts.first + 12 }), {
      maxLength: 3,
    }),
  })
  .map(({ memory, cpu, ...ports }) =>
    ClaimRequest.parse({
      job: `a-${ulid(1, rng)}`,
      template: 't',
      owner: 'o',
      resources: { memory: memory * MiB, cpu },
      ...ports,
    }),
  );
const change = fc.array(claim, { maxLength: 6 }).map((claims): HostChange => ({ claims, want: [] }));
const capacity = { m: 2048, c: 2000 };
const start = fc.record({
  nextPort: fc.constantFrom(jobPorts.first, jobPorts.first + 5, jobPorts.last - 1, jobPorts.last),
  factor: fc.constantFrom(1, 1.5, 3),
  freed: fc.uniqueArray(fc.integer({ min: jobPorts.first, max: jobPorts.first + 20 }), { maxLength: 8 }),
});

interface Booked {
  book: HostBook;
  claims: Map<string, Claim>;
}

/** Books one change after the other; refused ones leave everything as it is. */
function run(from: HostBook, changes: readonly HostChange[], check: (state: Booked) => void): Booked {
  const state: Booked = { book: from, claims: new Map() };
  for (const [i, one] of changes.entries()) {
    const before = structuredClone(state.book);
    const result = judgeChange(
      { host: 'a', txn: `t${i}`, now: 1000, book: state.book, existing: new Map() },
      one,
    );
    expect(state.book).toEqual(before);
    if (isRejection(result)) {
      expect(result.short ?? 1).toBeGreaterThan(0);
      continue;
    }
    state.book = result.book;
    for (const [job, written] of result.writes) state.claims.set(job, written);
    check(state);
  }
  return state;
}

const bookOf = ({
  nextPort,
  factor,
  freed,
}: {
  nextPort: number;
  factor: number;
  freed: number[];
}): HostBook => ({
  ...newBook(capacity),
  nextPort,
  freed: freed.map((port): [number, number] => [port, 500]),
  ...(factor === 1 ? {} : { overcommit: { m: factor, c: factor } }),
});

describe('a book, whatever is asked of it', () => {
  it('is never beyond what may be booked, has no port twice, and equals the sum of its claims', () => {
    fc.assert(
      fc.property(start, fc.array(change, { maxLength: 12 }), (from, changes) => {
        run(bookOf(from), changes, ({ book, claims }) => {
          const limit = bookable(book);
          const all = [...claims.values()];
          const sum = (of: (claim: Claim) => number) => all.reduce((total, one) => total + of(one), 0);
          expect(book.used).toEqual({ m: sum(({ m }) => m), c: sum(({ c }) => c) });
          expect(book.jobs).toBe(all.length);
          expect(book.used.m).toBeLessThanOrEqual(limit.m);
          expect(book.used.c).toBeLessThanOrEqual(limit.c);
          const ports = all.flatMap(({ p }) => p).sort((a, b) => a - b);
          expect(new Set(ports).size).toBe(ports.length);
          expect(book.ports).toEqual(ports);
        });
      }),
      some,
    );
  });

  it('hands out no port that was freed within the hour', () => {
    fc.assert(
      fc.property(start, change, (from, one) => {
        const quiet = new Set(from.freed);
        const { claims } = run(bookOf(from), [one], () => undefined);
        const fixed = new Set(one.claims.flatMap(({ fixedPorts }) => fixedPorts));
        const handed = [...claims.values()].flatMap(({ p }) => p).filter((port) => !fixed.has(port));
        expect(handed.filter((port) => quiet.has(port))).toEqual([]);
      }),
      some,
    );
  });

  it('is as before once all that was booked is credited, in any order', () => {
    fc.assert(
      fc.property(start, fc.array(change, { maxLength: 8 }), fc.boolean(), (from, changes, backwards) => {
        const first = bookOf(from);
        const { book, claims } = run(first, changes, () => undefined);
        const gone = backwards ? [...claims.values()].reverse() : [...claims.values()];
        const {
          used,
          ports,
          jobs,
          capacity: same,
        } = gone.reduce((left, one) => credit(left, one, 1000), book);
        expect({ used, ports, jobs, same }).toEqual({
          used: { m: 0, c: 0 },
          ports: [],
          jobs: 0,
          same: capacity,
        });
      }),
      some,
    );
  });

  it('takes a change that was carried out already without a change', () => {
    fc.assert(
      fc.property(change, (one) => {
        const first = judgeChange(
          { host: 'a', txn: 't', now: 1, book: newBook(capacity), existing: new Map() },
          one,
        );
        if (isRejection(first)) return;
        const again = judgeChange(
          { host: 'a', txn: 't', now: 2, book: first.book, existing: first.writes },
          one,
        );
        expect(again).toMatchObject({
          claims: first.claims,
          book: { used: first.book.used, jobs: first.book.jobs },
        });
        expect(isRejection(again) ? -1 : again.writes.size).toBe(0);
      }),
      some,
    );
  });
});

it('parts hold what etcd takes, and everything once', () => {
  const size = fc.record({
    ops: fc.integer({ min: 1, max: 122 }),
    bytes: fc.integer({ min: 1, max: 400_000 }),
  });
  fc.assert(
    fc.property(fc.array(size, { maxLength: 300 }), (sizes) => {
      const parts = inParts(sizes, (one) => one);
      expect(parts.flat()).toEqual(sizes);
      for (const part of parts) {
        expect(part.length + Math.max(...part.map(({ ops }) => ops))).toBeLessThanOrEqual(128);
        if (part.length > 1)
          expect(part.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThanOrEqual(900_000);
      }
    }),
    some,
  );
});

it('parsers of whatever comes in return a value that they take again, or refuse', () => {
  const parsers = [TransactionRequest, HostChange, ClaimRequest, ClaimsQuery, SetTags];
  const text = fc.oneof(
    fc.string(),
    fc.constantFrom('a', 'run', 'stop', 'a-01arz3ndektsv4rrffq69g5fav', 'incremental'),
  );
  const any = fc.anything({
    key: fc.constantFrom(
      'id',
      'hosts',
      'claims',
      'want',
      'job',
      'resources',
      'memory',
      'set',
      '__proto__',
      'limit',
    ),
    values: [text, fc.double(), fc.integer(), fc.constant(null), fc.boolean()],
    maxDepth: 5,
  });
  fc.assert(
    fc.property(any, (input) => {
      for (const parser of parsers) {
        const first = parser.safeParse(input);
        if (first.success) expect(parser.parse(first.data)).toEqual(first.data);
      }
    }),
    { numRuns: 500 },
  );
});

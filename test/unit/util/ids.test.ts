// Ids and random numbers: order, form, and repeatability.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cryptoRng, jitter, pick, randomInt, seededRng, shuffle } from '../../../src/lib/util/rng.js';
import { isUlid, ulid, ulidTime } from '../../../src/lib/util/ulid.js';

describe('ulid', () => {
  it('given any two times, when ids are made, then the ids sort as the times do and tell them', () => {
    const time = fc.integer({ min: 0, max: 2 ** 48 - 1 });
    fc.assert(
      fc.property(time, time, (a, b) => {
        const [x, y] = [ulid(a, cryptoRng), ulid(b, cryptoRng)];
        expect(isUlid(x)).toBe(true);
        expect(ulidTime(x)).toBe(a);
        if (a !== b) expect(x < y).toBe(a < b);
      }),
    );
  });

  it('given known bytes, when encoded, then every bit is used', () => {
    const ones = { next: () => 0, bytes: (n: number) => new Uint8Array(n).fill(0xff) };
    expect(ulid(0, ones)).toBe(`${'0'.repeat(10)}${'z'.repeat(16)}`);
    expect(ulid(2 ** 48 - 1, ones)).toBe(`7${'z'.repeat(25)}`);
    const counting = {
      next: () => 0,
      bytes: () => Uint8Array.from([0, 68, 50, 20, 199, 66, 84, 182, 53, 207]),
    };
    expect(ulid(0, counting).slice(10)).toBe('0123456789abcdef');
  });

  it('given the same moment, when 10,000 ids are made, then none comes twice', () => {
    expect(new Set(Array.from({ length: 10_000 }, () => ulid(1, cryptoRng))).size).toBe(10_000);
  });

  it('given other text, when asked, then it is no id', () => {
    for (const text of ['', 'x', '8'.repeat(26), `${'0'.repeat(25)}u`, '0'.repeat(27), 'A'.repeat(26)]) {
      expect(isUlid(text)).toBe(false);
      expect(ulidTime(text)).toBeNaN();
    }
  });
});

describe('rng', () => {
  it('given a seed, when run twice, then the sequence is the same, and another for another seed', () => {
    const take = (seed: number): number[] => {
      const rng = seededRng(seed);
      return Array.from({ length: 20 }, () => rng.next());
    };
    expect(take(7)).toEqual(take(7));
    expect(take(7)).not.toEqual(take(8));
  });

  it('given a generator, when drawn from, then all stays in its range and spreads out', () => {
    for (const rng of [seededRng(3), cryptoRng]) {
      const counts = [0, 0, 0, 0];
      for (let i = 0; i < 4000; i++) {
        const n = randomInt(rng, 4);
        counts[n] = (counts[n] ?? 0) + 1;
        const spread = jitter(rng, 100, 0.2);
        expect(spread).toBeGreaterThanOrEqual(80);
        expect(spread).toBeLessThanOrEqual(120);
      }
      expect(Math.min(...counts)).toBeGreaterThan(800);
      expect(rng.bytes(16)).toHaveLength(16);
    }
  });

  it('given a list, when shuffled, then it holds the same items and the original is untouched', () => {
    const items = Array.from({ length: 50 }, (_, i) => i);
    const mixed = shuffle(seededRng(1), items);
    expect(mixed).not.toEqual(items);
    expect([...mixed].sort((a, b) => a - b)).toEqual(items);
    expect(items).toContain(pick(seededRng(2), items));
    expect(pick(seededRng(2), [])).toBeUndefined();
  });
});

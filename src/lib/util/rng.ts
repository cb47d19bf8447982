// Randomness as a port: the system's own, and a seeded one for tests and the simulator.
import { randomBytes } from 'node:crypto';

/** A source of random numbers. */
export interface Rng {
  /** A number in [0, 1). */
  next(): number;
  /** That many random bytes. */
  bytes(n: number): Uint8Array;
}

/** The operating system's generator: for ids, tokens and keys. */
export const cryptoRng: Rng = {
  next: () => randomBytes(6).readUIntBE(0, 6) / 2 ** 48,
  bytes: (n) => randomBytes(n),
};

/** A repeatable generator: the same seed gives the same sequence. Never for secrets. */
export const seededRng = (seed: number): Rng => {
  let state = seed >>> 0;
  // Mulberry32: a Weyl sequence through a mixing function; period 2^32, ample for a simulated run.
  const word = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  };
  return {
    next: () => word() / 2 ** 32,
    bytes: (n) => Uint8Array.from({ length: n }, () => word() & 0xff),
  };
};

/** A whole number in [0, n). */
export const randomInt = (rng: Rng, n: number): number => Math.floor(rng.next() * n);

/** One of the items, undefined of an empty list. */
export const pick = <T>(rng: Rng, items: readonly T[]): T | undefined => items[randomInt(rng, items.length)];

/** A shuffled copy (Fisher-Yates). */
export const shuffle = <T>(rng: Rng, items: readonly T[]): T[] => {
  const out = [...items];
  for (let i = out.length - 1; i > 0; i--) {
    const j = randomInt(rng, i + 1);
    [out[i], out[j]] = [out[j] as T, out[i] as T];
  }
  return out;
};

/** `ms` spread evenly over ±`share` of itself (0.2: 80 % to 120 %). */
export const jitter = (rng: Rng, ms: number, share = 0.2): number =>
  ms * (1 - share + 2 * share * rng.next());

// A fixed budget of simulated clusters, whose invariants hold at every step; and the same seed is the same run.
import { beforeAll, describe, expect, it } from 'vitest';
import { bundleSim, loadSim, replay } from './bundle.js';
import type { RunOptions } from './run.js';

let sim: ReturnType<typeof loadSim>;
beforeAll(async () => {
  sim = loadSim(await bundleSim());
});

/** Runs a seed; a violation is told with the command that shows it again. */
const hold = async (options: RunOptions): Promise<void> => {
  const { violation } = await sim.runSeed(options);
  if (!violation) return;
  const { invariant, message, at } = violation;
  expect.fail(`${invariant} broken after ${(at / 1000).toFixed(3)} s: ${message}\n  ${replay(options)}`);
};
const seeds = (from: number, count: number): number[] => Array.from({ length: count }, (_, i) => from + i);

describe('simulated clusters', () => {
  it('given one seed, when it is run twice, then both runs do the same things in the same order', async () => {
    const options = { seed: 77, hosts: 5, minutes: 1, restore: true };
    const [one, two] = [await sim.runSeed(options), await sim.runSeed(options)];
    expect(two).toEqual(one);
    expect(one.digest).toMatch(/^[0-9a-f]{16}$/);
    const other = await sim.runSeed({ ...options, seed: 78 });
    expect(other.digest).not.toBe(one.digest);
  });

  it('given faults and changes, then there are as many as asked for', async () => {
    const { faults, changes, jobs } = await sim.runSeed({ seed: 5, hosts: 5, minutes: 2 });
    expect(Object.values(faults).reduce((a, b) => a + b)).toBeGreaterThanOrEqual(12);
    expect(changes).toBeGreaterThanOrEqual(20);
    expect(jobs).toBeGreaterThan(10);
  });

  it.each(seeds(1, 12))('given 5 hosts and seed %i, then everything holds', (seed) =>
    hold({ seed, hosts: 5, minutes: 2 }),
  );

  it.each(seeds(1, 3))('given 10 hosts and seed %i, then everything holds', (seed) =>
    hold({ seed, hosts: 10, minutes: 2 }),
  );

  it.each(seeds(1, 4))('given a store that is restored and seed %i, then everything holds', (seed) =>
    hold({ seed, hosts: 5, minutes: 2, restore: true }),
  );
});

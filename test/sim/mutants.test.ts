// Each sabotage of the product makes its invariant fail: an invariant that none can break would guard nothing.
import { describe, expect, it } from 'vitest';
import { bundleSim, loadSim } from './bundle.js';
import { mutants } from './mutants/list.js';

/** Seeds that a mutant may hide in. */
const seeds = [1, 2, 3, 4, 5, 6];

describe('mutants', () => {
  it.each(mutants)('given that $name, then $invariant fails', async (mutant) => {
    const { runSeed, invariants } = loadSim(await bundleSim(mutant));
    expect(Object.keys(invariants)).toContain(mutant.invariant);
    for (const seed of seeds) {
      const { violation } = await runSeed({ seed, hosts: 5, minutes: 2, ...mutant.run });
      if (!violation) continue;
      expect(violation.invariant, violation.message).toBe(mutant.invariant);
      process.stderr.write(`  ${mutant.name} → ${mutant.invariant}\n`);
      return;
    }
    expect.fail(`nobody noticed in ${seeds.length} seeds`);
  });

  it('given a line that is not there once, then the mutant is an error', async () => {
    const file = 'src/lib/store/fenced.ts';
    await expect(bundleSim({ file, find: 'no such line', replace: '' })).rejects.toThrow('0 times');
    await expect(bundleSim({ file, find: 'const', replace: 'let' })).rejects.toThrow(/\d+ times/);
  });
});

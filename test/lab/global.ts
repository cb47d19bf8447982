// The shared lab of the lab tests: three plain hosts, bootstrapped by the command line, as a person would do it.
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { bootstrapLab, labBundle, labDown, labUp, type LabReport } from '../../src/lib/lab/index.js';
import { cli, labName, root } from './grid.js';

const report: LabReport = ({ message }) => process.stderr.write(`  - ${message}\n`);

/** Brings the grid up before the first test. `FLYNN_KEEP_LAB=1` leaves it for the next run and for a look around. */
export async function setup(): Promise<void> {
  const lab = await labUp({ root, name: labName, hosts: 3 }, report);
  const bundle = await labBundle(report, { root });
  if (!lab.existed) await rm(join(lab.dir, 'flynn'), { recursive: true, force: true });
  await bootstrapLab(lab, bundle, (args) => cli(args, { timeoutMs: 240_000, echo: true }));
}

/** Takes it down again. */
export async function teardown(): Promise<void> {
  if (process.env.FLYNN_KEEP_LAB === '1') return;
  await labDown({ root, name: labName }, report);
}

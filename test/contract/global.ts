// What the contract tests need of the machine: a Docker engine that answers, and the base images.
import { ensureBaseImages, ensureEngine, type LabReport } from '../../src/lib/lab/index.js';

const report: LabReport = ({ message }) => process.stderr.write(`  - ${message}\n`);

/** Makes sure of both; says what it installs, starts or builds. */
export async function setup(): Promise<void> {
  await ensureEngine(report);
  await ensureBaseImages(report);
}

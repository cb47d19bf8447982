#!/usr/bin/env node
// `npm test`: sets up what is missing, runs the suites one after the other, and closes with `N passed, N failed`.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensurePackages } from './packages.js';
import { root, setupOrExit } from './setup.js';

/** Suites in order; what each needs beyond Node is set up before it. One that is `asked` runs only when named. */
const suites = {
  unit: { needs: [] },
  sim: { needs: [] },
  contract: { needs: ['packages', 'build'] },
  lab: { needs: ['packages', 'build'] },
  chaos: { needs: ['packages', 'build'], asked: true },
};

const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !(name in suites));
if (unknown.length > 0) {
  console.error(`there is no suite ${unknown.join(', ')}: ${Object.keys(suites).join(', ')}`);
  process.exit(2);
}

setupOrExit({ build: false });

const totals = { passed: 0, failed: 0, skipped: 0 };
for (const name of asked.length > 0 ? asked : Object.keys(suites).filter((each) => !suites[each].asked)) {
  const { needs } = suites[name];
  if (needs.includes('packages')) packagesOrExit();
  if (needs.includes('build')) setupOrExit();
  const result = await runSuite(name);
  for (const key of Object.keys(totals)) totals[key] += result[key];
}
console.log(
  `${totals.passed} passed, ${totals.failed} failed${totals.skipped ? `, ${totals.skipped} skipped` : ''}`,
);
process.exitCode = totals.failed > 0 ? 1 : 0;

/** Runs one suite; a runner that dies without a result counts as a failure. */
async function runSuite(name) {
  const started = Date.now();
  const dir = mkdtempSync(join(tmpdir(), 'flynn-test-'));
  const totalsFile = join(dir, 'totals.json');
  console.error(`${name}`);
  const code = await new Promise((resolve) => {
    const child = spawn(
      process.execPath,
      [
        join(root, 'node_modules/vitest/vitest.mjs'),
        'run',
        '--project',
        name,
        '--reporter',
        join(root, 'test/progress-reporter.js'),
      ],
      {
        cwd: root,
        stdio: ['ignore', 'inherit', 'inherit'],
        env: { ...process.env, FLYNN_TEST_TOTALS: totalsFile },
      },
    );
    child.once('error', () => resolve(1));
    child.once('exit', (exit) => resolve(exit ?? 1));
  });
  const result = existsSync(totalsFile)
    ? JSON.parse(readFileSync(totalsFile, 'utf8'))
    : { passed: 0, failed: 1, skipped: 0 };
  if (code !== 0 && result.failed === 0) result.failed = 1;
  rmSync(dir, { recursive: true, force: true });
  console.error(
    `${name}: ${result.passed} passed, ${result.failed} failed, ${Math.round((Date.now() - started) / 1000)} s`,
  );
  return result;
}

function packagesOrExit() {
  try {
    ensurePackages();
  } catch (error) {
    console.error(`Error: ${error.message}`);
    process.exit(7);
  }
}

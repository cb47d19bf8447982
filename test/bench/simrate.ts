// Minutes of a cluster's time that one minute of CPU simulates: ten hosts, faults and changes, every invariant on.
import { bundleSim, loadSim } from '../sim/bundle.js';
import { result, rounded, say } from './bench.js';

/** The bar's own conditions: at least one fault per 10 s and ten changes per minute, over all the time that is counted. */
const options = { hosts: 10, minutes: 20, faultGapMs: 9_500, changeGapMs: 5_700 };
/** Seeds that are run first and not counted: a compiler that is still at work is not what is measured. */
const warmUp = [101, 102, 103, 104];
const seeds = [1, 2, 3, 4, 5, 6];

const { runSeed, invariants } = loadSim(await bundleSim());
for (const seed of warmUp) await runSeed({ ...options, seed });

const before = process.cpuUsage();
let [minutes, faults, changes, commits, jobs] = [0, 0, 0, 0, 0];
for (const seed of seeds) {
  const run = await runSeed({ ...options, seed });
  if (run.violation) throw new Error(`seed ${seed}: ${run.violation.invariant}: ${run.violation.message}`);
  minutes += run.minutes;
  faults += Object.values(run.faults).reduce((sum, count) => sum + count, 0);
  changes += run.changes;
  commits += run.commits;
  jobs += run.jobs;
  say(`  seed ${seed}: ${run.minutes.toFixed(1)} minutes, ${run.commits} commits`);
}
// All threads of the process: the collector's and the compiler's too.
const { user, system } = process.cpuUsage(before);
const cpuMinutes = (user + system) / 60e6;
result('simrate', {
  cluster_minutes_per_cpu_minute: rounded(minutes / cpuMinutes, 0),
  cluster_minutes: rounded(minutes, 1),
  faults_per_10s: rounded(faults / minutes / 6),
  changes_per_minute: rounded(changes / minutes),
  commits_per_minute: rounded(commits / minutes, 0),
  jobs_per_minute: rounded(jobs / minutes, 1),
  invariants: Object.keys(invariants).length,
  hosts: options.hosts,
});

#!/usr/bin/env node
// `npm run sim -- --seeds N --hosts M`: simulated clusters with seeded faults; a seed that fails is printed with its command.
import { parseArgs } from 'node:util';
import { setupOrExit } from './setup.js';

setupOrExit({ build: false });
const { bundleSim, loadSim, replay } = await import('../test/sim/bundle.js');

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '20' },
    seed: { type: 'string' },
    hosts: { type: 'string', default: '5' },
    minutes: { type: 'string', default: '2' },
    restore: { type: 'boolean', default: false },
    log: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  console.log(
    'npm run sim -- [--seeds N | --seed S] [--hosts M] [--minutes T] [--restore] [--log]\n\n' +
      'Runs N simulated clusters of M hosts, with T minutes of faults each; --log prints what every process says.',
  );
  process.exit(0);
}
const number = (name) => {
  const value = Number(values[name]);
  if (Number.isFinite(value) && value > 0) return value;
  console.error(`--${name} takes a number above 0, not ${values[name]}`);
  process.exit(2);
};
const hosts = number('hosts');
const minutes = number('minutes');
const seeds =
  values.seed === undefined ? Array.from({ length: number('seeds') }, (_, i) => i + 1) : [number('seed')];

const { runSeed } = loadSim(await bundleSim());
let failed = 0;
const started = performance.now();
let simulated = 0;
for (const seed of seeds) {
  const onLog = values.log ? (line) => process.stderr.write(`${line}\n`) : undefined;
  const begun = performance.now();
  const result = await runSeed({ seed, hosts, minutes, restore: values.restore, onLog });
  simulated += result.minutes;
  const faults = Object.values(result.faults).reduce((a, b) => a + b, 0);
  const figures = `${result.minutes.toFixed(1)} min, ${faults} faults, ${result.changes} changes, ${result.jobs} jobs, ${result.commits} commits, ${Math.round(performance.now() - begun)} ms, ${result.digest}`;
  if (!result.violation) {
    console.log(`seed ${seed}: ok (${figures})`);
    continue;
  }
  failed += 1;
  const { invariant, message, at } = result.violation;
  console.log(`seed ${seed}: ${invariant} broken after ${(at / 1000).toFixed(3)} s: ${message}`);
  console.log(`  ${replay({ seed, hosts, minutes, restore: values.restore })}`);
}
console.log(
  `${seeds.length - failed} of ${seeds.length} seeds held, ${simulated.toFixed(0)} minutes simulated in ${((performance.now() - started) / 1000).toFixed(1)} s`,
);
process.exitCode = failed > 0 ? 1 : 0;

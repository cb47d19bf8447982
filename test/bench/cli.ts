// The command line beside bare node and bare ssh, all timed by the same observer, in turn, medians of one run.
import { join } from 'node:path';
import { labEnv } from '../../src/lib/lab/index.js';
import {
  bootstrap,
  endLab,
  flynn,
  freshLab,
  labName,
  median,
  result,
  root,
  rounded,
  say,
  time,
} from './bench.js';

const rounds = 15;
const { lab, bundle } = await freshLab(3);
try {
  await bootstrap(lab, bundle);
  await flynn(['apps:create', 'bench', '--no-remote']);
  const env = labEnv({ root, name: labName });
  const cli = join(root, 'bin/run.js');
  const host = lab.hosts[0]!.name;
  const contenders = {
    node: () => time(process.execPath, ['-e', '0']),
    version: () => time(process.execPath, [cli, '--version'], env),
    ssh: () => time('ssh', ['-F', join(lab.dir, 'ssh_config'), host, 'true'], env),
    ps: () => time(process.execPath, [cli, 'ps', '-a', 'bench'], env),
  };
  const took: Record<string, number[]> = {};
  for (let round = 0; round <= rounds; round++) {
    for (const [name, run] of Object.entries(contenders)) {
      const done = await run();
      if (done.code !== 0) throw new Error(`${name} ended with ${done.code}`);
      // The first round only warms the page cache, for all alike.
      if (round > 0) (took[name] ??= []).push(done.ms);
    }
  }
  const ms = Object.fromEntries(Object.entries(took).map(([name, values]) => [name, median(values)]));
  for (const [name, value] of Object.entries(ms)) say(`${name}: median ${value.toFixed(0)} ms of ${rounds}`);
  result('cli', {
    version_ratio: rounded(ms.version! / ms.node!),
    ps_ratio: rounded(ms.ps! / ms.ssh!),
    node_ms: rounded(ms.node!, 0),
    version_ms: rounded(ms.version!, 0),
    ssh_ms: rounded(ms.ssh!, 0),
    ps_ms: rounded(ms.ps!, 0),
  });
} finally {
  await endLab();
}

// The container's entry: the syncer is started again when it ends, HAProxy outlives it, and only a stop ends HAProxy.
import { spawn, type ChildProcess } from 'node:child_process';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { renderConfig, routerFiles } from '../../src/lib/layer1/router/config.js';
import { emptyTable } from '../../src/lib/layer1/router/state.js';
import { systemClock } from '../../src/lib/util/clock.js';
import { poll } from '../../src/lib/util/retry.js';
import { freePort } from './router.rig.js';

let dir: string;
let entry: ChildProcess | undefined;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'flynn-entry-'));
});
afterEach(async () => {
  if (entry?.exitCode === null) entry.kill('SIGKILL');
  await rm(dir, { recursive: true, force: true });
});

const until = (condition: () => Promise<boolean>, what: string): Promise<true> =>
  poll(systemClock, async () => ((await condition()) ? true : undefined), {
    timeoutMs: 15_000,
    intervalMs: 20,
    what,
  });
const text = (name: string): Promise<string> => readFile(join(dir, name), 'utf8').catch(() => '');
const alive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

it('given a syncer that ends, then it is started again and HAProxy goes on until the container stops', async () => {
  const files = routerFiles(dir);
  const port = await freePort();
  const settings = {
    dir,
    httpAddress: '127.0.0.1',
    httpPort: port,
    monitorAddress: '127.0.0.1',
    monitorPort: await freePort(),
    maxconn: 100,
    threads: 1,
  };
  await writeFile(files.config, renderConfig(settings, { ...emptyTable, suspects: new Set() }));
  await writeFile(files.map, '');
  // Stands in for node: the first run brings HAProxy up and ends, the later ones stay until they are told to end.
  const fake = join(dir, 'node');
  await writeFile(
    fake,
    `#!/bin/sh
echo "$@" >> ${dir}/runs
if [ ! -e ${files.pid} ]; then
  setsid haproxy -W -q -S ${files.master},mode,600 -p ${files.pid} -f ${files.config} &
  exit 3
fi
trap 'echo stopped >> ${dir}/runs; exit 0' TERM
while :; do sleep 0.05; done
`,
  );
  await chmod(fake, 0o755);

  const child = spawn('/bin/sh', [resolve('templates/images/router/router-entry.sh')], {
    env: { ...process.env, FLYNN_NODE: fake, FLYNN_BUNDLE: '/flynn/appliance.js', FLYNN_ROUTER_DIR: dir },
    stdio: 'ignore',
  });
  entry = child;
  const ended = new Promise<number | null>((done) => child.once('exit', (code) => done(code)));

  await until(async () => (await text('runs')).split('\n').length > 2, 'second start of the syncer');
  expect((await text('runs')).split('\n')[1]).toBe(
    '--optimize-for-size --max-semi-space-size=1 --single-threaded-gc /flynn/appliance.js router',
  );
  const master = Number(await text('haproxy.pid'));
  expect(alive(master)).toBe(true);
  expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(404);

  child.kill('SIGTERM');
  expect(await ended).toBe(0);
  expect((await text('runs')).trim().split('\n').at(-1)).toBe('stopped');
  await until(() => Promise.resolve(!alive(master)), 'end of HAProxy');
});

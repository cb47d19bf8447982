// What goes wrong on real hosts: a container, dockerd, a machine, all machines, and one that freezes.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { join } from 'node:path';
import type { AppState, GridStatus } from '../../src/lib/api/app.js';
import {
  killHost,
  labExec,
  labImage,
  labStatus,
  pauseHost,
  startHost,
  startLoad,
  unpauseHost,
} from '../../src/lib/lab/index.js';
import { ask, cli, cliJson, eventually, hosts, labName, root, run, runningJobs } from './grid.js';

const app = 'steady';
const domain = 'steady.localhost';
const ref = { root, name: labName };
const note = (text: string) => process.stderr.write(`  ${text}\n`);
const seconds = (since: number) => ((performance.now() - since) / 1000).toFixed(1);

const state = async (): Promise<AppState | undefined> => {
  const done = await run(['ps', '-a', app, '--json'], { timeoutMs: 15_000 });
  return done.code === 0 ? (JSON.parse(done.stdout) as AppState) : undefined;
};
const settled = (what: string, timeoutMs: number) =>
  eventually(what, async () => ((await state())?.converged ? true : undefined), timeoutMs);
const answersEverywhere = (timeoutMs: number) =>
  eventually(
    'an answer through every router',
    async () => {
      const answers = await Promise.all(hosts().map((host) => ask(host, domain).catch(() => undefined)));
      return answers.every((answer) => answer?.status === 200) ? true : undefined;
    },
    timeoutMs,
  );
/** Container ids and pids of everything that runs on a host. */
const running = async (host: string) => {
  const script =
    'docker ps -q --no-trunc | xargs docker inspect -f "{{.Id}} {{.State.Pid}} {{.Name}}" | sort';
  return (await labExec(host, ['sh', '-c', script], ref)).stdout;
};

beforeAll(async () => {
  const { hosts: all, dir } = await labStatus(ref);
  await labImage(
    { name: labName, root, dir, existed: true, hosts: all },
    join(root, 'templates/examples/hello'),
    'hello:1',
    () => undefined,
  );
  await run(['apps:destroy', '-a', app, '--yes']);
  await cli(['apps:create', app, '--no-remote', '--if-missing']);
  await cli(['deploy', '-a', app, '--image', 'hello:1']);
  await cli(['scale', '-a', app, 'web=3']);
});

afterAll(async () => {
  await run(['apps:destroy', '-a', app, '--yes']);
});

describe('a container that is killed', () => {
  it('is back by itself, and its clients hardly notice', async () => {
    const [host] = hosts();
    const [job] = await runningJobs(host!.name, app);
    const load = startLoad({
      targets: hosts().map(({ http }) => http),
      host: domain,
      perSecond: 100,
      maxMs: 30_000,
      maxRequests: 3_000,
    });
    const killed = performance.now();
    await labExec(host!.name, ['docker', 'kill', `flynn-${job}`], ref);
    await eventually(
      'the job runs again',
      async () => ((await runningJobs(host!.name, app)).includes(job!) ? true : undefined),
      10_000,
    );
    note(`killed container runs again after ${seconds(killed)} s`);
    await settled('all serve', 15_000);
    const result = await load.stop();
    note(`${result.requests} requests, ${result.failed} failed, longest gap ${result.longestGapMs} ms`);
    expect(result.longestGapMs).toBeLessThan(1_000);
  });
});

describe('dockerd that is killed', () => {
  it('takes no job with it', async () => {
    const { name } = hosts()[1]!;
    const before = await running(name);
    expect(before).toContain('flynn-host');
    await labExec(name, ['sh', '-c', 'kill -9 "$(cat /var/run/docker.pid)"'], ref);
    await eventually(
      'dockerd again',
      async () => ((await labExec(name, ['docker', 'version'], ref)).code === 0 ? true : undefined),
      30_000,
    );
    expect(await running(name)).toBe(before);
    expect((await ask(hosts()[1]!, domain)).status).toBe(200);
  });
});

describe('a host that reboots', () => {
  it('rejoins by itself with all its appliances', async () => {
    const { name } = hosts()[2]!;
    const before = (await running(name)).trim().split('\n').length;
    await killHost(name, ref);
    await startHost(name, ref);
    const started = performance.now();
    await eventually(
      'every container of the host again',
      async () => ((await running(name)).trim().split('\n').length >= before ? true : undefined),
      90_000,
    );
    await eventually(
      'a host that is whole',
      async () => {
        const done = await run(['cluster', 'status', '--json'], { timeoutMs: 15_000 });
        if (done.code !== 0) return undefined;
        const host = (JSON.parse(done.stdout) as GridStatus).hosts.find((one) => one.name === name);
        const appliances = host?.jobs.filter(({ owner }) => owner.startsWith('omni/')) ?? [];
        return host?.alive && appliances.every((job) => job.state === 'up') ? true : undefined;
      },
      90_000,
    );
    note(`rebooted host whole again ${seconds(started)} s after its power came back`);
    await settled('all serve', 60_000);
    await answersEverywhere(10_000);
  });
});

describe('a host that freezes', () => {
  it('is replaced while it is away, and gives way when it is back', async () => {
    const frozen = hosts()[0]!;
    const others = hosts().slice(1);
    const load = startLoad({
      targets: others.map(({ http }) => http),
      host: domain,
      perSecond: 200,
      maxMs: 60_000,
      maxRequests: 12_000,
    });
    const started = performance.now();
    await pauseHost(frozen.name, ref);
    try {
      const asked = performance.now();
      await eventually(
        'flynn ps with the first host frozen',
        async () => ((await state()) ? true : undefined),
        20_000,
      );
      note(`flynn ps answers in ${seconds(asked)} s with the first gateway frozen`);
      await eventually(
        'three serve elsewhere',
        async () => {
          const serving = (await state())?.jobs.filter(
            (job) => job.state === 'serving' && job.host !== frozen.name,
          );
          return serving && serving.length >= 3 ? true : undefined;
        },
        60_000,
      );
      note(`all replicas back ${seconds(started)} s after the freeze`);
      const result = await load.stop();
      note(`${result.requests} requests, ${result.failed} failed, longest gap ${result.longestGapMs} ms`);
      expect(result.longestGapMs).toBeLessThan(5_000);
    } finally {
      await unpauseHost(frozen.name, ref);
    }
    await settled('the surplus is gone', 60_000);
    const counts = await Promise.all(hosts().map(({ name }) => runningJobs(name, app)));
    expect(counts.flat().length).toBe(3);
  });
});

describe('all hosts off and on again', () => {
  it('every app answers, unattended', async () => {
    const all = hosts().map(({ name }) => name);
    await Promise.all(all.map((name) => killHost(name, ref)));
    await Promise.all(all.map((name) => startHost(name, ref)));
    const started = performance.now();
    await answersEverywhere(120_000);
    note(`every router answers ${seconds(started)} s after the power came back`);
    await settled('all serve', 120_000);
    const status = await cliJson<GridStatus>(['cluster', 'status']);
    for (const host of status.hosts) {
      const booked = host.jobs.filter(({ owner }) => owner.startsWith(`app/${app}/`)).map(({ id }) => id);
      expect(booked.sort()).toEqual(await runningJobs(host.name, app));
    }
  });
});

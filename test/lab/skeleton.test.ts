// The whole mission once through, thin and real: an app on three hosts, scaled, routed, changed and taken away again.
import { readFile } from 'node:fs/promises';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import type { AppState } from '../../src/lib/api/app.js';
import { labImage, labStatus, startLoad } from '../../src/lib/lab/index.js';
import { join } from 'node:path';
import { linesToTry, writeAppFile, type AppFile } from '../../src/demo/lines.js';
import { audit } from './books.js';
import { ask, cli, cliJson, command, eventually, hosts, labName, root, run, runningJobs } from './grid.js';

const app = 'hello';
const domain = 'hello.localhost';

/** Job ids of the app that run, over all hosts, as the hosts' own Docker tells. */
const jobsOnHosts = async () =>
  (await Promise.all(hosts().map(({ name }) => runningJobs(name, app)))).flat().sort();

/** Asks 30 times with curl through each router that the lab's app.json names; who answered, by router. */
async function askAround() {
  const { dir, hosts: all } = await labStatus({ root, name: labName });
  const file = JSON.parse(
    await readFile(await writeAppFile({ dir, hosts: all }, app, domain), 'utf8'),
  ) as AppFile;
  expect(file.routers).toHaveLength(3);
  return Promise.all(
    file.routers.map(async (router) => {
      const seen = { instances: new Set<string>(), hosts: new Set<string>() };
      for (let time = 0; time < 30; time++) {
        const curl = await command('curl', ['-sS', '-m', '10', '-f', '-H', `Host: ${file.host}`, router]);
        expect(curl.code, curl.stderr).toBe(0);
        const answer = JSON.parse(curl.stdout) as { instance: string; host: string };
        seen.instances.add(answer.instance);
        seen.hosts.add(answer.host);
      }
      return seen;
    }),
  );
}

beforeAll(async () => {
  const { hosts: all, dir } = await labStatus({ root, name: labName });
  const lab = { name: labName, root, dir, existed: true, hosts: all };
  await labImage(lab, join(root, 'templates/examples/hello'), 'hello:1', () => undefined);
  await run(['apps:destroy', '-a', app, '--yes']);
});

describe('an app from nothing', () => {
  it('is created with its route, and answers 503 before anything runs', async () => {
    await cli(['apps:create', app, '--no-remote']);
    await eventually('the route', async () =>
      (await ask(hosts()[0]!, domain)).status === 503 ? true : undefined,
    );
    expect((await ask(hosts()[0]!, 'nobody.localhost')).status).toBe(404);
  });

  it('is deployed from an image and answers through every host', async () => {
    await cli(['deploy', '-a', app, '--image', 'hello:1']);
    for (const host of hosts()) expect((await ask(host, domain)).json).toMatchObject({ release: 1 });
  });

  it('scaled to three answers from three hosts through every router, and docker agrees', async () => {
    await cli(['scale', '-a', app, 'web=3']);
    const jobs = await jobsOnHosts();
    expect(jobs).toHaveLength(3);
    for (const seen of await askAround()) {
      expect(seen.hosts.size).toBe(3);
      expect([...seen.instances].sort()).toEqual(jobs);
    }
    for (const { name } of hosts()) expect(await runningJobs(name, app)).toHaveLength(1);
    const lines = await cliJson<AppState>(['ps', '-a', app]);
    expect(lines.jobs.map(({ id }) => id).sort()).toEqual(jobs);
    expect(lines.jobs.every(({ state }) => state === 'serving')).toBe(true);
  });

  it('follows its formation up, to nothing, and back, and the books equal what runs', async () => {
    for (const count of [6, 0, 3]) {
      await cli(['scale', '-a', app, `web=${count}`]);
      await vi.waitFor(async () => {
        const { taken, differences } = await audit(app);
        expect(differences).toEqual([]);
        const each = taken.map(({ m, c, ports, jobs }) => [m, c, ports.length, jobs.length]);
        // What a process takes unless it is told otherwise: 512 MiB, a tenth of a core, a port.
        const share = count / 3;
        expect(each).toEqual(hosts().map(() => [512 * share, 100 * share, share, share]));
      }, 30_000);
      expect(await jobsOnHosts()).toHaveLength(count);
    }
    await askAround();
  });

  it('says that there is nothing to do when the formation is what it was', async () => {
    const done = await run(['scale', '-a', app, 'web=3']);
    expect(done.code).toBe(0);
    expect(done.stdout + done.stderr).toContain('nothing to do');
  });
});

describe('a change of the environment', () => {
  it('makes a release that replaces the old one without a failed request', async () => {
    const load = startLoad({
      targets: hosts().map(({ http }) => http),
      host: domain,
      perSecond: 100,
      maxMs: 60_000,
      maxRequests: 6_000,
    });
    await cli(['env:set', '-a', app, 'GREETING=hi']);
    const result = await load.stop();
    expect(result.failures).toEqual([]);
    expect(result.failed).toBe(0);
    expect(Object.keys(result.releases)).toContain('2');
    expect((await ask(hosts()[0]!, domain)).json).toMatchObject({ release: 2, greeting: 'hi' });
    expect((await cli(['env:get', '-a', app, 'GREETING'])).trim()).toBe('hi');
  });

  it('that changes nothing makes no release', async () => {
    await cli(['env:set', '-a', app, 'GREETING=hi']);
    expect((await cli(['releases', '-a', app])).match(/^\*?\s*v\d+/gm)?.length).toBe(2);
  });

  it('is taken back by a rollback', async () => {
    await cli(['releases:rollback', '-a', app]);
    expect((await ask(hosts()[1]!, domain)).json?.greeting).toBeUndefined();
  });
});

describe('a release that never gets healthy', () => {
  it('is rolled back and says why, and the old one goes on serving', async () => {
    const before = await cliJson<AppState>(['ps', '-a', app]);
    const done = await run(['deploy', '-a', app, '--image', 'no-such-image:1', '--timeout', '60'], {
      timeoutMs: 90_000,
    });
    expect(done.code).toBe(8);
    expect(done.stderr).toContain('no-such-image:1');
    const after = await cliJson<AppState>(['ps', '-a', app]);
    expect(after.app.release).toBe(before.app.release);
    await askAround();
  });
});

describe('what the command line says of the grid', () => {
  it('shows every host and appliance, and the app’s logs', async () => {
    const picture = await cli(['cluster', 'status']);
    for (const host of hosts()) expect(picture).toContain(host.name);
    expect(await cli(['logs', '-a', app, '-n', '20'])).toContain('listening on');
  });

  it('works in a shell with the lines that the demo ends with', async () => {
    const pasted = await command('sh', ['-ec', linesToTry(labName, app).join('\n')]);
    expect(pasted.code, pasted.stderr).toBe(0);
    expect(pasted.stdout).toContain('web=6');
    await cli(['scale', '-a', app, 'web=3']);
  });

  it('ends with the documented code and the next command on a mistake', async () => {
    const cases: [string[], number, string][] = [
      [['scale', '-a', app, 'web=-1'], 2, 'web'],
      [['scale', '-a', app, 'wbe=3'], 2, 'wbe'],
      [['ps', '-a', 'nosuchapp'], 3, 'nosuchapp'],
      [['apps:create', 'flynn'], 2, 'reserved'],
      [['apps:create', app], 4, app],
    ];
    for (const [args, code, text] of cases) {
      const done = await run(args);
      expect(done.code, `${args.join(' ')}: ${done.stderr}`).toBe(code);
      expect(done.stderr).toContain(text);
    }
  });
});

describe('an app that is destroyed', () => {
  it('leaves nothing behind', async () => {
    await cli(['apps:destroy', '-a', app, '--yes']);
    await eventually(
      'no containers',
      async () => ((await jobsOnHosts()).length === 0 ? true : undefined),
      60_000,
    );
    await eventually('no route', async () =>
      (await ask(hosts()[0]!, domain)).status === 404 ? true : undefined,
    );
    expect((await run(['ps', '-a', app])).code).toBe(3);
  });
});

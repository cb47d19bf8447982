// The commands that talk to a controller: in process, by argv, against a stateful controller over HTTP.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { simpleGit } from 'simple-git';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import Apps from '../../../src/commands/apps/index.js';
import AppsCreate from '../../../src/commands/apps/create.js';
import AppsDestroy from '../../../src/commands/apps/destroy.js';
import AppsInfo from '../../../src/commands/apps/info.js';
import ClusterStatus from '../../../src/commands/cluster/status.js';
import Deploy from '../../../src/commands/deploy.js';
import EnvGet from '../../../src/commands/env/get.js';
import Env from '../../../src/commands/env/index.js';
import EnvSet from '../../../src/commands/env/set.js';
import EnvUnset from '../../../src/commands/env/unset.js';
import Events from '../../../src/commands/events.js';
import KeysAdd from '../../../src/commands/keys/add.js';
import Keys from '../../../src/commands/keys/index.js';
import KeysRemove from '../../../src/commands/keys/remove.js';
import Logs from '../../../src/commands/logs.js';
import Ps from '../../../src/commands/ps.js';
import Releases from '../../../src/commands/releases/index.js';
import ReleasesRollback from '../../../src/commands/releases/rollback.js';
import RoutesAdd from '../../../src/commands/routes/add.js';
import Routes from '../../../src/commands/routes/index.js';
import RoutesRemove from '../../../src/commands/routes/remove.js';
import Scale from '../../../src/commands/scale.js';
import { FakeController } from '../../fakes/controller.js';
import { run, type RunOptions } from './harness.js';

let controller: FakeController;
let url: string;
let dir: string;
const on = (options: RunOptions = {}): RunOptions => ({
  url,
  cwd: dir,
  env: { FLYNN_APP: 'hello' },
  ...options,
});

beforeEach(async () => {
  controller = new FakeController();
  url = await controller.listen();
  dir = await mkdtemp(join(tmpdir(), 'flynn-cmd-'));
});

afterEach(async () => {
  await controller.close();
  await rm(dir, { recursive: true });
});

describe('apps', () => {
  it('given apps, when listed, then they stand in a table and under --json in one document', async () => {
    controller.seed('hello', { web: 1 });
    const text = await run(Apps, [], on());
    expect(text.stdout).toMatch(/^APP +RELEASE +CREATED\nhello +v1 +1m ago\n$/);
    const json = await run(Apps, ['--json'], on());
    expect(JSON.parse(json.stdout)).toMatchObject({ apps: [{ name: 'hello', release: 1 }] });
    expect(json.stderr).toBe('');
    expect(json).toMatchObject({ code: 0, opened: 1, closed: 1 });
  });

  it('given a git work tree, when an app is created, then a remote leads to it, and creating twice needs --if-missing', async () => {
    await simpleGit(dir).init();
    const first = await run(AppsCreate, ['hello', '--json'], on());
    expect(JSON.parse(first.stdout)).toEqual({
      app: 'hello',
      created: true,
      domain: 'hello.example.test',
      remote: 'added',
      sshCommand: 'set',
    });
    const remotes = await simpleGit(dir).getRemotes(true);
    expect(remotes[0]?.refs.push).toBe('ssh://flynn@gw.example.test:2222/hello.git');
    const again = await run(AppsCreate, ['hello'], on());
    expect(again.code).toBe(4);
    const missing = await run(AppsCreate, ['hello', '--if-missing', '--json'], on());
    expect(missing.code).toBe(0);
    expect(JSON.parse(missing.stdout)).toMatchObject({ created: false, remote: 'same', sshCommand: 'same' });
  });

  it('given a remote that leads elsewhere, when an app is created, then the remote is left alone and said so', async () => {
    await simpleGit(dir).init();
    await simpleGit(dir).addRemote('flynn', 'ssh://git@other/x.git');
    const ran = await run(AppsCreate, ['hello'], on());
    expect(ran.stderr).toContain('was left alone');
    expect((await simpleGit(dir).getRemotes(true))[0]?.refs.push).toBe('ssh://git@other/x.git');
  });

  it.each(['Hello', 'a--b', '1abc', 'etcd', 'x'.repeat(31), 'ünï'])(
    'given the bad name %s, when an app is created, then it is refused before any call',
    async (name) => {
      const ran = await run(AppsCreate, [name], on());
      expect(ran.code).toBe(2);
      expect(ran.stderr).toContain(name.slice(0, 20));
      expect(controller.apps.size).toBe(0);
    },
  );

  it('given no terminal, when an app is destroyed without --yes, then nothing happens and --yes is named', async () => {
    controller.seed('hello', { web: 1 });
    const asked = await run(AppsDestroy, [], on());
    expect(asked.code).toBe(2);
    expect(asked.stderr).toContain('--yes');
    expect(controller.apps.has('hello')).toBe(true);
    const done = await run(AppsDestroy, ['--yes', '--json'], on());
    expect(JSON.parse(done.stdout)).toEqual({ app: 'hello', routes: [], releases: 1, jobs: 1 });
    expect(controller.apps.size).toBe(0);
  });

  it('given an app, when asked about, then its processes and routes are shown', async () => {
    controller.seed('hello', { web: 2 });
    const ran = await run(AppsInfo, [], on());
    expect(ran.stdout).toMatch(/processes +web=2\n/);
    expect(ran.stdout).toMatch(/serving +2 of 2 jobs\n/);
  });
});

describe('which app', () => {
  it('given no flag and no variable, when in a work tree with the remote, then the remote names the app', async () => {
    controller.seed('hello', { web: 1 });
    await simpleGit(dir).init();
    await simpleGit(dir).addRemote('flynn', 'ssh://git@gw.example.test:2222/hello.git');
    const ran = await run(Ps, ['--json'], on({ env: {} }));
    expect(JSON.parse(ran.stdout)).toMatchObject({ app: { name: 'hello' } });
  });

  it('given nothing that names one, when a command needs an app, then it says how to', async () => {
    const ran = await run(Ps, [], on({ env: {} }));
    expect(ran.code).toBe(2);
    expect(ran.stderr).toContain('-a APP');
    expect(ran.opened).toBe(0);
  });

  it('given -a, when FLYNN_APP says otherwise, then the flag wins; an unknown app ends with 3', async () => {
    const ran = await run(Ps, ['-a', 'other', '--json'], on());
    expect(ran.code).toBe(3);
    expect(JSON.parse(ran.stdout)).toEqual({
      code: 'not_found',
      message: 'there is no app other',
      hint: 'flynn apps',
    });
  });
});

describe('scale', () => {
  it('given one job, when scaled to three, then transitions are shown and the end is timed', async () => {
    controller.seed('hello', { web: 1 });
    const ran = await run(Scale, ['web=3'], on());
    expect(ran.code).toBe(0);
    const lines = ran.stderr.trim().split('\n');
    expect(lines[0]).toBe('- scaling web: 1=>3');
    expect(
      lines.slice(1, -1).some((line) => /^\d\d:\d\d:\d\d\.\d{3} {2}web\.3 +starting +on host-a/.test(line)),
    ).toBe(true);
    expect(lines.slice(1, -1).some((line) => /web\.3 +serving/.test(line))).toBe(true);
    expect(lines.at(-1)).toMatch(/^\+ serving after \d+\.\d s$/);
    expect(ran.stdout).toBe('web=3\n');
  });

  it('given the same numbers, when scaled, then it ends 0 and says so', async () => {
    controller.seed('hello', { web: 1 });
    const ran = await run(Scale, ['web=1'], on());
    expect(ran.code).toBe(0);
    expect(ran.stderr).toContain('already');
  });

  it('given no arguments, when scale is typed, then the formation is shown', async () => {
    controller.seed('hello', { web: 2, worker: 1 });
    const ran = await run(Scale, [], on());
    expect(ran.stdout).toBe('web=2\nworker=1\n');
  });

  it.each([
    ['web=-1', "not '-1'"],
    ['web=x', "not 'x'"],
    ['web=1001', 'from 0 to 1000'],
    ['web', 'joined by ='],
    ['=3', 'joined by ='],
    ['WEB=3', 'process type'],
    ['web=1.5', "not '1.5'"],
  ])('given %s, when scaled, then it ends 2 and says why', async (argument, sentence) => {
    controller.seed('hello', { web: 1 });
    const ran = await run(Scale, [argument], on());
    expect(ran.code).toBe(2);
    expect(ran.stderr).toContain(sentence);
    expect(ran.stderr).toContain('→ flynn scale');
    expect(ran.opened).toBe(0);
  });

  it('given a type that is not there, when scaled, then it ends 2 and names the types there are', async () => {
    controller.seed('hello', { web: 1 });
    const ran = await run(Scale, ['wbe=3'], on());
    expect(ran.code).toBe(2);
    expect(ran.stderr).toContain('web, worker');
    expect(ran.stderr).toContain('flynn scale -a hello');
  });

  it('given jobs that never come up, when the time is over, then it ends 124 and says what is missing', async () => {
    const entry = controller.seed('hello', { web: 1 });
    controller.stuck = true;
    entry.problem = 'no host has 512 MiB left';
    const ran = await run(Scale, ['web=3', '--timeout', '1'], on());
    expect(ran.code).toBe(124);
    expect(ran.stderr).toContain('web has 1 of 3 serving');
    expect(ran.stderr).toContain('no host has 512 MiB left');
  });

  it('given a watch that breaks, when scaled, then it is opened again and the end is seen', async () => {
    controller.seed('hello', { web: 1 });
    controller.cutWatches = 1;
    const ran = await run(Scale, ['web=2'], on());
    expect(ran.code).toBe(0);
  });

  it('given --no-wait, when scaled, then it ends at once', async () => {
    controller.seed('hello', { web: 1 });
    controller.stuck = true;
    const ran = await run(Scale, ['web=3', '--no-wait', '--json'], on());
    expect(JSON.parse(ran.stdout)).toMatchObject({ formation: { web: 3 }, changed: true });
    expect(ran.code).toBe(0);
  });

  it('given a wait, when Ctrl-C is pressed, then it ends 130 and says that the cluster goes on', async () => {
    controller.seed('hello', { web: 1 });
    controller.stuck = true;
    const ran = await run(Scale, ['web=3'], on({ interruptMs: 150 }));
    expect(ran.code).toBe(130);
    expect(ran.stderr).toContain('goes on without this command');
    expect(ran.closed).toBe(1);
  });
});

describe('deploy', () => {
  it('given an image, when deployed, then it waits until it serves', async () => {
    controller.seed('hello', { web: 1 });
    const ran = await run(Deploy, ['--image', 'hello:2', '--json'], on());
    expect(ran.code).toBe(0);
    expect(JSON.parse(ran.stdout)).toMatchObject({
      app: 'hello',
      release: 2,
      changed: true,
      deployment: { state: 'complete' },
    });
  });

  it('given a release that fails, when deployed, then it ends 8 with the reason, the last lines and what serves', async () => {
    controller.seed('hello', { web: 1 });
    controller.failDeploys = { reason: '5 failed starts', tail: ['Error: no PORT'] };
    const ran = await run(Deploy, ['--image', 'hello:bad'], on());
    expect(ran.code).toBe(8);
    expect(ran.stderr).toContain('5 failed starts');
    expect(ran.stderr).toContain('Error: no PORT');
    expect(ran.stderr).toContain('v1 still serves');
    const json = await run(Deploy, ['--image', 'hello:bad', '--json'], on());
    expect(json.code).toBe(8);
    expect(JSON.parse(json.stdout)).toMatchObject({ code: 'failed', hint: 'flynn logs -a hello' });
  });

  it('given the image that runs, when deployed, then nothing changes and it ends 0', async () => {
    controller.seed('hello', { web: 1 });
    const ran = await run(Deploy, ['--image', 'hello:1', '--json'], on());
    expect(ran.code).toBe(0);
    expect(JSON.parse(ran.stdout)).toMatchObject({ changed: false });
  });

  it('given a deployment under way, when Ctrl-C is pressed, then it ends 130 and the deployment goes on', async () => {
    controller.seed('hello', { web: 1 });
    controller.stuck = true;
    const ran = await run(Deploy, ['--image', 'hello:2'], on({ interruptMs: 150 }));
    expect(ran.code).toBe(130);
    expect(ran.stderr).toContain('the deployment of hello v2 goes on without this command');
  });

  it('given no image, when deploy is typed, then it ends 2', async () => {
    const ran = await run(Deploy, ['--json'], on());
    expect(ran.code).toBe(2);
    expect(JSON.parse(ran.stdout)).toMatchObject({ code: 'usage' });
  });
});

describe('releases', () => {
  it('given two releases, when rolled back, then the first serves again and the list marks it', async () => {
    controller.seed('hello', { web: 1 });
    await run(Deploy, ['--image', 'hello:2'], on());
    const back = await run(ReleasesRollback, ['--json'], on());
    expect(JSON.parse(back.stdout)).toMatchObject({ release: 1, deployment: { state: 'complete' } });
    const list = await run(Releases, [], on());
    expect(list.stdout).toMatch(/^v2 /m);
    expect(list.stdout).toMatch(/^v1 \* /m);
    expect((await run(ReleasesRollback, ['v9'], on())).code).toBe(3);
    expect((await run(ReleasesRollback, ['latest'], on())).code).toBe(2);
  });
});

describe('env', () => {
  it('given variables, when set, read and unset, then each change is a release and an equal one is none', async () => {
    controller.seed('hello', { web: 1 });
    const set = await run(EnvSet, ['GREETING=hi there', 'TOKEN=-', '--json'], on({ stdin: 's3cret\n' }));
    expect(JSON.parse(set.stdout)).toMatchObject({ release: 2, changed: true, keys: ['GREETING', 'TOKEN'] });
    expect(set.stdout + set.stderr).not.toContain('s3cret');
    expect((await run(EnvGet, ['TOKEN'], on())).stdout).toBe('s3cret\n');
    expect((await run(Env, [], on())).stdout).toBe('GREETING=hi there\nTOKEN=s3cret\n');
    const same = await run(EnvSet, ['GREETING=hi there', '--json'], on());
    expect(JSON.parse(same.stdout)).toMatchObject({ changed: false });
    await run(EnvUnset, ['TOKEN'], on());
    expect((await run(EnvGet, ['TOKEN'], on())).code).toBe(3);
  });

  it.each([['1X=2'], ['X'], ['A=-', 'B=-'], ['A=1', 'A=2'], []])(
    'given %s %s, when set, then it ends 2',
    async (...words) => {
      controller.seed('hello', { web: 1 });
      expect((await run(EnvSet, words, on())).code).toBe(2);
    },
  );
});

describe('routes', () => {
  it('given a domain, when added twice and removed, then it leads to the app and then nowhere', async () => {
    controller.seed('hello', { web: 1 });
    expect((await run(RoutesAdd, ['http', 'WWW.example.com'], on())).stdout).toBe(
      'www.example.com leads to hello\n',
    );
    expect((await run(RoutesAdd, ['http', 'www.example.com'], on())).code).toBe(0);
    expect((await run(Routes, [], on())).stdout).toContain('www.example.com');
    expect((await run(RoutesRemove, ['www.example.com'], on())).code).toBe(0);
    expect((await run(RoutesRemove, ['www.example.com'], on())).code).toBe(3);
    expect((await run(RoutesAdd, ['http', 'not a domain'], on())).code).toBe(2);
    expect((await run(RoutesAdd, ['udp', 'www.example.com'], on())).code).toBe(2);
  });

  it('given a domain of another app, when added, then it ends 4', async () => {
    controller.seed('hello');
    controller.seed('other');
    await run(RoutesAdd, ['http', 'x.example.com', '-a', 'other'], on());
    expect((await run(RoutesAdd, ['http', 'x.example.com'], on())).code).toBe(4);
  });
});

describe('keys', () => {
  const line = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExampleExampleExampleExampleExampleExample ada@laptop';

  it('given a public key file, when added twice, listed and removed by name, then all end 0', async () => {
    await writeFile(join(dir, 'ada.pub'), `${line}\n`);
    const added = await run(KeysAdd, ['ada.pub', '--role', 'deploy', '-a', 'hello', '--json'], on());
    expect(JSON.parse(added.stdout)).toMatchObject({ name: 'ada@laptop', role: 'deploy', apps: ['hello'] });
    expect((await run(KeysAdd, ['ada.pub', '--role', 'deploy', '-a', 'hello'], on())).code).toBe(0);
    expect((await run(Keys, [], on())).stdout).toMatch(/ada@laptop +deploy +hello/);
    expect((await run(KeysRemove, ['ada@laptop', '--yes'], on())).code).toBe(0);
    expect((await run(KeysRemove, ['ada@laptop', '--yes'], on())).code).toBe(3);
  });

  it('given a private key by mistake, when added, then it is refused and stays here', async () => {
    await writeFile(
      join(dir, 'id'),
      '-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY-----\n',
    );
    const ran = await run(KeysAdd, ['id'], on());
    expect(ran.code).toBe(2);
    expect(ran.stderr).toContain('.pub');
    expect(controller.seen).toHaveLength(0);
  });

  it('given a key on standard input, when added with -, then it is taken', async () => {
    expect((await run(KeysAdd, ['-', '--name', 'ci'], on({ stdin: line }))).stdout).toContain(
      'ci may use the cluster as developer',
    );
  });
});

describe('streams', () => {
  it('given a log, when read with -n, then the last lines are shown, under --json one document per line', async () => {
    controller.seed('hello', { web: 1 });
    const text = await run(Logs, ['-n', '2'], on());
    expect(text.stdout).toBe(
      '2026-01-01T00:00:00.000Z web.1 stderr: two\n2026-01-01T00:00:00.000Z web.1: three\n',
    );
    const json = await run(Logs, ['-n', '2', '--json', '-t', 'worker'], on());
    const lines = json.stdout
      .trim()
      .split('\n')
      .map((each) => JSON.parse(each) as { name: string });
    expect(lines.map((each) => each.name)).toEqual(['worker.1', 'worker.1']);
  });

  it('given a log that is followed, when Ctrl-C is pressed, then it ends 0 with all that was shown', async () => {
    controller.seed('hello', { web: 1 });
    const ran = await run(Logs, ['-f'], on({ interruptMs: 200 }));
    expect(ran.code).toBe(0);
    expect(ran.stdout).toContain('three');
    expect(ran.closed).toBe(1);
  });

  it('given events, when shown, then they are the ones of the app', async () => {
    controller.events = [
      { id: '1', at: 0, type: 'scale', app: 'hello', message: 'web: 1=>3', by: 'ada' },
      { id: '2', at: 0, type: 'scale', app: 'other', message: 'x' },
    ];
    const ran = await run(Events, ['-a', 'hello'], on());
    expect(ran.stdout).toBe('1970-01-01T00:00:00.000Z  scale  hello  web: 1=>3  by ada\n');
  });
});

describe('cluster status', () => {
  it('given a healthy grid, when shown, then it is a picture; without quorum it ends 7', async () => {
    controller.seed('hello', { web: 1 });
    const ran = await run(ClusterStatus, [], on());
    expect(ran.code).toBe(0);
    expect(ran.stdout).toContain('web.1');
    controller.healthy = false;
    const sick = await run(ClusterStatus, ['--json'], on());
    expect(sick.code).toBe(7);
    expect(JSON.parse(sick.stdout)).toMatchObject({ etcd: { healthy: false } });
  });

  it('given --watch --json, when Ctrl-C is pressed, then it ends 0 with one document per line', async () => {
    const ran = await run(ClusterStatus, ['--watch', '--json'], on({ interruptMs: 100 }));
    expect(ran.code).toBe(0);
    expect(JSON.parse(ran.stdout.split('\n')[0] ?? '')).toMatchObject({ cluster: 'test' });
  });
});

describe('errors', () => {
  it.each([
    ['forbidden', 5],
    ['unreachable', 6],
    ['no_quorum', 7],
    ['conflict', 4],
    ['internal', 1],
  ] as const)(
    'given %s from the cluster, when a command runs, then it ends %i, with --json too',
    async (code, exit) => {
      controller.broken = { code, message: 'it is so' };
      const text = await run(Apps, [], on());
      expect(text.code).toBe(exit);
      expect(text.stdout).toBe('');
      expect(text.stderr).toContain('Error: it is so');
      const json = await run(Apps, ['--json'], on());
      expect(json.code).toBe(exit);
      expect(JSON.parse(json.stdout)).toMatchObject({ code, message: 'it is so' });
      expect(json.stderr).toBe('');
    },
  );

  it('given nobody who answers, when a command runs, then it ends 6 and its way in is closed', async () => {
    await controller.close();
    const ran = await run(Apps, [], on());
    expect(ran).toMatchObject({ code: 6, opened: 1, closed: 1 });
  });

  it('given an unknown flag, when a command runs, then it ends 2 and names the help', async () => {
    const ran = await run(Apps, ['--nope'], on());
    expect(ran.code).toBe(2);
    expect(ran.stderr).toContain('--help');
  });
});

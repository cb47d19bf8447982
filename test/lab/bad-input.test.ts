// What people get wrong: each mistake ends with its exit code, names object and cause, says what to type next, and
// leaves the grid as it was.
import { readFileSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AppState } from '../../src/lib/api/app.js';
import { heal, isolate, labExec, labImage, labStatus } from '../../src/lib/lab/index.js';
import { ask, cli, cliJson, eventually, hosts, labName, root, run, type CliOptions } from './grid.js';
import { commit, everything, type Mistake } from './mistakes.js';

const app = 'oops';
const lab = { root, name: labName };
let dir: string;
/** Paths below `dir`, which exists only when the tests run. */
const at = (name: string): string => join(dir, name);

/** Bootstraps nothing: looks at hosts with an ssh_config of the test's own, as a cluster that is not known here. */
const dryRun = (config: string, ...words: string[]): string[] => [
  ...['cluster', 'bootstrap', '--dry-run', '--name', 'oops', '--domain', 'oops.localhost'],
  ...['--ssh-config', at(config), ...words],
];
/** A computer that knows no cluster. */
const stranger = (): CliOptions => ({ env: { FLYNN_HOME: at('home') } });

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'flynn-oops-'));
  const { hosts: all, dir: labDir } = await labStatus(lab);
  const target = { ...lab, dir: labDir, existed: true, hosts: all };
  await labImage(target, join(root, 'templates/examples/hello'), 'hello:1', () => undefined);
  await mkdir(at('quits'));
  const quits = `console.log('no database at db.example.test'); process.exit(3)`;
  await writeFile(at('quits/Dockerfile'), `FROM hello:1\nCMD ["node", "-e", "${quits}"]\n`);
  await labImage(target, at('quits'), 'quits:1', () => undefined);

  await writeKeys(labDir);
  await run(['apps:destroy', '-a', app, '--yes']);
  await cli(['apps:create', app, '--no-remote']);
  await cli(['apps:create', 'oops-empty', '--no-remote', '--if-missing']);
  await cli(['deploy', '-a', app, '--image', 'hello:1']);
});

/** Keys and ssh_configs: a right one, and one for every way to be wrong. */
async function writeKeys(labDir: string): Promise<void> {
  const { generateKeyPairSync } = await import('node:crypto');
  const { default: ssh2 } = await import('ssh2');
  const other = ssh2.utils.generateKeyPairSync('ed25519');
  await writeFile(at('other'), other.private, { mode: 0o600 });
  await writeFile(at('other.pub'), `${other.public} other\n`);
  const { privateKey } = generateKeyPairSync('ed25519', {
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  });
  await writeFile(at('private.pub'), privateKey);
  await copyFile(join(labDir, 'known_hosts'), at('known'));
  const first = hosts()[0]!;
  await writeFile(at('changed'), `${first.ssh.host} ${other.public}\n${first.name} ${other.public}\n`);
  await writeFile(at('unknown'), '');
  const lines = (await readFile(join(labDir, 'ssh_config'), 'utf8')).split('\n');
  const config = (key: string, known: string): string =>
    lines
      .map((line) =>
        line.replace(/(IdentityFile) .*/, `$1 "${key}"`).replace(/(UserKnownHostsFile) .*/, `$1 "${known}"`),
      )
      .join('\n');
  const key = join(labDir, 'key');
  await writeFile(at('right.conf'), config(key, at('known')));
  await writeFile(at('wrong-key.conf'), config(at('other'), at('known')));
  await writeFile(at('changed.conf'), config(key, at('changed')));
  await writeFile(at('unknown.conf'), config(key, at('unknown')));
}

afterAll(async () => {
  await heal(lab);
  for (const each of [app, 'oops-empty']) await run(['apps:destroy', '-a', each, '--yes']);
  await rm(dir, { recursive: true });
});

const first = (): string => hosts()[0]!.name;

describe('hosts that cannot be bootstrapped', () => {
  const plain = 'oopsplain';
  beforeAll(async () => {
    const make = `useradd -m -p '*' ${plain} && cp -r /root/.ssh /home/${plain}/ && chown -R ${plain} /home/${plain}`;
    const done = await labExec(first(), ['sh', '-c', make], lab);
    expect(done.code, done.stderr).toBe(0);
  });
  afterAll(async () => {
    await labExec(first(), ['userdel', '-rf', plain], lab);
  });

  const mistakes: Mistake[] = [
    {
      name: 'a name that nobody knows',
      args: () => dryRun('right.conf', 'no-such-host.invalid'),
      code: 6,
      says: ['no-such-host.invalid', 'ENOTFOUND'],
      hint: 'check the name',
    },
    {
      name: 'a port where nobody listens',
      args: () => dryRun('right.conf', `root@${hosts()[0]!.ssh.host}:2`),
      code: 6,
      says: [':2 ', 'ECONNREFUSED'],
      hint: /sshd|port/,
    },
    {
      name: 'a key that the host does not accept',
      args: () => dryRun('wrong-key.conf', first()),
      code: 5,
      says: ['accepts none of the keys', '/other'],
      hint: 'ssh-copy-id',
    },
    {
      name: 'a host key that has changed',
      args: () => dryRun('changed.conf', first()),
      code: 5,
      says: ['has changed', /known is SHA256:/, ':1'],
      hint: 'ssh-keygen -R',
    },
    {
      name: 'a host key that is not known, and nobody to ask',
      args: () => dryRun('unknown.conf', '--yes', first()),
      code: 5,
      says: ['is not known', 'SHA256:'],
      hint: '--host-key SHA256:',
    },
    {
      name: 'a key file that does not exist',
      args: () => dryRun('right.conf', '-i', '/nonexistent', first()),
      code: 2,
      says: ['/nonexistent'],
      hint: 'ssh-keygen',
    },
    {
      name: 'a user without sudo',
      args: () => dryRun('right.conf', `${plain}@${first()}`),
      code: 7,
      says: [`${first()}: the user is not root and sudo asks for a password`],
      hint: 'sudo -n',
    },
    {
      name: 'a port that somebody else holds',
      args: () => dryRun('right.conf', '--http-port', '22', first()),
      code: 7,
      says: [/port 22, for HTTP, is held by sshd/],
      hint: /./,
    },
    {
      name: 'a host of another cluster',
      args: () => dryRun('right.conf', first()),
      code: 7,
      says: ['nothing was changed', `belongs to the cluster ${labName}`],
      hint: `flynn cluster destroy ${labName}`,
    },
    {
      name: 'a capacity that is none',
      args: () => dryRun('right.conf', '--capacity', 'lots', first()),
      code: 2,
      says: ['--capacity lots'],
      hint: '--capacity 2048,2000',
    },
  ];
  it.concurrent.each(mistakes)('given $name, when bootstrapped, then it ends with $code', async (mistake) => {
    await commit({ ...mistake, options: stranger });
  });
});

describe('a cluster that cannot be found', () => {
  it.concurrent.each<Mistake>([
    {
      name: 'a computer that knows none',
      args: () => ['apps'],
      code: 7,
      says: ['knows no cluster'],
      hint: 'flynn cluster bootstrap',
      options: stranger,
    },
    {
      name: 'a name of none',
      args: () => ['apps', '-c', 'nosuch'],
      code: 3,
      says: ['nosuch'],
      hint: 'flynn cluster list',
    },
    {
      name: 'a key that was never added',
      args: () => ['apps'],
      code: 5,
      says: ['accepts none of the keys', 'given as text'],
      hint: /key/,
      options: () => ({ env: { FLYNN_SSH_KEY: readFileSync(at('other'), 'utf8') } }),
    },
    {
      name: 'a gateway with another host key',
      args: () => ['apps', '-c', `flynn://${hosts()[0]!.gateway}/${labName}?key=SHA256%3A${'A'.repeat(43)}`],
      code: 5,
      says: ['is not the pinned one', `SHA256:${'A'.repeat(43)}`],
      hint: 'in between',
    },
    {
      name: 'gateways where nobody listens',
      args: () => [
        'apps',
        '-c',
        `flynn://${hosts()[0]!.ssh.host}:9/${labName}?key=SHA256%3A${'A'.repeat(43)}`,
      ],
      code: 6,
      says: [`no gateway of cluster ${labName} answers`],
      hint: 'port 9 ',
    },
  ])('given $name, when asked, then it ends with $code', async (mistake) => {
    await commit(mistake);
  });
});

describe('words that do not fit an app', () => {
  let before: unknown;
  beforeAll(async () => {
    before = await everything(app);
  });

  const on =
    (...words: string[]) =>
    () => [...words, '-a', app];
  const mistakes: [string, () => string[], number, (string | RegExp)[], string | RegExp, string?][] = [
    [
      'a name of 31 letters',
      () => ['apps:create', 'a'.repeat(31)],
      2,
      ['a'.repeat(31), '30 characters'],
      'apps:create',
    ],
    ['a reserved name', () => ['apps:create', 'flynn'], 2, ['flynn', 'reserved'], 'apps:create'],
    ['a name with capitals', () => ['apps:create', 'Hello_1'], 2, ['Hello_1', 'lower-case'], 'apps:create'],
    ['a name that is taken', () => ['apps:create', app], 4, [`${app} exists`], '--if-missing'],
    ['an app that does not exist', () => ['ps', '-a', 'nosuch'], 3, ['nosuch'], 'apps:create nosuch'],
    ['fewer than none', on('scale', 'web=-1'), 2, ['web=-1', "'-1'"], 'flynn scale'],
    ['a type with a slip', on('scale', 'wbe=3'), 2, ['wbe', 'it has: web'], 'flynn scale web='],
    ['half an instance', on('scale', 'web=1.5'), 2, ['web=1.5', 'whole number'], 'flynn scale'],
    ['far too many', on('scale', 'web=100000'), 2, ['web=100000', '1000'], 'flynn scale'],
    ['a count without a type', on('scale', '3'), 2, ["'3'"], 'flynn scale'],
    ['the same type twice', on('scale', 'web=1', 'web=2'), 2, ['web is named twice'], /./],
    ['a variable that is none', on('env:set', '1A=x'), 2, ["'1A'", 'starts with no digit'], 'flynn env:set'],
    ['a variable without value', on('env:set', 'GREETING'), 2, ["'GREETING'"], 'flynn env:set'],
    ['a variable that is not set', on('env:get', 'NOPE'), 3, ['NOPE', app], 'flynn env'],
    ['nothing to go back to', on('releases:rollback'), 3, [app, 'no earlier release'], 'flynn releases'],
    ['a release that never was', on('releases:rollback', '99'), 3, [app, '99'], 'flynn releases'],
    ['a domain that is none', on('routes:add', 'http', 'a_b!'), 2, ['a_b!'], 'flynn routes'],
    [
      'a domain that is taken',
      on('routes:add', 'http', 'oops-empty.localhost'),
      4,
      ['in use by app oops-empty'],
      'flynn routes',
    ],
    [
      'a route that is not there',
      on('routes:remove', 'nosuch.localhost'),
      3,
      ['nosuch.localhost'],
      'flynn routes',
    ],
    ['a key that is none', () => ['keys:add', '-'], 2, ['standard input'], 'ssh-ed25519', 'rubbish\n'],
    ['a private key', () => ['keys:add', at('private.pub')], 2, ['private key', 'private.pub'], '.pub'],
    ['a key file that is missing', () => ['keys:add', '/nonexistent.pub'], 3, ['/nonexistent.pub'], '.pub'],
    ['a key that is not in', () => ['keys:remove', 'SHA256:nope'], 3, ['SHA256:nope'], 'flynn keys'],
    ['removal with nobody to ask', on('apps:destroy'), 2, [app], '--yes'],
    ['a deployment without image', on('deploy'), 2, ['image'], 'deploy --help'],
    ['a flag that does not exist', on('ps', '--bogus'), 2, ['--bogus'], 'ps --help'],
    ['a run of nothing', on('run'), 2, ['no command'], 'flynn run'],
    [
      'a run of an app that does not exist',
      () => ['run', '-a', 'nosuch', 'ls'],
      3,
      ['nosuch'],
      'apps:create',
    ],
    [
      'a run before a release',
      () => ['run', '-a', 'oops-empty', 'ls'],
      4,
      ['oops-empty', 'no release yet'],
      'flynn deploy',
    ],
    [
      'a scale before a release',
      () => ['scale', '-a', 'oops-empty', 'web=1'],
      2,
      ['oops-empty'],
      'flynn deploy',
    ],
  ];
  it.concurrent.each(mistakes)(
    'given %s, when typed, then it is refused',
    async (name, args, code, says, hint, input) => {
      await commit({ name, args, code, says, hint, options: () => (input === undefined ? {} : { input }) });
    },
  );

  it('given all of these, when they are over, then apps, jobs, releases, routes and keys are what they were', async () => {
    expect(await everything(app)).toEqual(before);
  });
});

describe('a release that cannot run', () => {
  it.each([
    ['an image that does not exist', 'no-such-image:1', ['no-such-image:1']],
    ['an image that exits at once', 'quits:1', ['code 3', 'no database at db.example.test']],
  ])(
    'given %s, when deployed, then it ends with 8, says why, and the old release serves',
    async (_name, image, says) => {
      const before = await cliJson<AppState>(['ps', '-a', app]);
      const asked = { failed: 0, served: 0, over: false };
      const asking = (async () => {
        while (!asked.over) {
          const { status } = await ask(hosts()[0]!, `${app}.localhost`);
          asked[status === 200 ? 'served' : 'failed'] += 1;
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
      })();
      const done = await run(['deploy', '-a', app, '--image', image, '--timeout', '40'], {
        timeoutMs: 60_000,
      });
      asked.over = true;
      await asking;
      expect(done.code, done.stderr).toBe(8);
      for (const text of [...says, 'still serves']) expect(done.stderr).toContain(text);
      expect(done.stderr).toContain(`→ flynn logs -a ${app}`);
      expect(asked.failed).toBe(0);
      expect(asked.served).toBeGreaterThan(0);
      const after = await eventually('the jobs of before', async () => {
        const state = await cliJson<AppState>(['ps', '-a', app]);
        return state.jobs.length === before.jobs.length ? state : undefined;
      });
      expect(after.app.release).toBe(before.app.release);
      expect(after.jobs.map(({ id }) => id).sort()).toEqual(before.jobs.map(({ id }) => id).sort());
    },
  );
});

describe('a grid without a majority', () => {
  it('given two of three hosts cut off, when an app is created, then it is refused, nothing is made, and apps go on', async () => {
    const [left, ...cut] = hosts();
    const served = await cliJson<AppState>(['ps', '-a', app]);
    const before = await cliJson(['apps']);
    await Promise.all(cut.map(({ name }) => isolate(name, lab)));
    try {
      const done = await run(['apps:create', 'oops-minority', '--no-remote'], { timeoutMs: 40_000 });
      expect(done.code, done.stderr).toBe(7);
      expect(done.stderr).toContain('the store does not answer: nothing was changed');
      expect(done.stderr).toContain('→');
      // What runs on the host that is left goes on without the store.
      if (served.jobs.some(({ host }) => host === left!.name)) {
        expect((await ask(left!, `${app}.localhost`)).status).toBe(200);
      }
    } finally {
      await heal(lab);
    }
    const after = await eventually('the store', async () => {
      const list = await run(['apps', '--json']);
      return list.code === 0 ? (JSON.parse(list.stdout) as unknown) : undefined;
    });
    expect(after).toEqual(before);
  });
});

// Pushes that deploy nothing, with the ordinary git client: git's exit code, our words, and no trace on any host.
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { cp } from 'node:fs/promises';
import { expect } from 'vitest';
import { labExec } from '../../../src/lib/lab/index.js';
import { cli, eventually, hosts, run, type CliOptions, type Finished } from '../grid.js';
import { git, workTree } from '../git.js';
import type { Mistake, Table } from './mistake.js';
import { app, at, empty, lab } from './stage.js';

const MiB = 1024 * 1024;
/** git's exit codes: the other side said no to what it was given, and it would not talk at all. */
const rejected = 1;
const notLetIn = 128;

interface PushOptions extends CliOptions {
  /** Words before `push`. */
  settings?: string[];
  remote?: string;
}

let trees = 0;

/** Pushes files as the one commit of a new work tree that `apps:create` has prepared. */
async function push(
  files: Record<string, string | Buffer>,
  { settings = [], remote = 'flynn', ...options }: PushOptions = {},
): Promise<Finished> {
  const dir = at(`push-${++trees}`);
  await workTree(dir, files);
  await cp(at('prepared/.git/config'), `${dir}/.git/config`);
  return git(dir, [...settings, 'push', remote, 'main'], options);
}

const pushed = (files: Record<string, string>, options?: () => PushOptions) => () => push(files, options?.());
const withKey = (name: string) => () => ({ env: { FLYNN_SSH_KEY: readFileSync(at(name), 'utf8') } });
const manifest = (more: object = {}): string => JSON.stringify({ name: 'oops', version: '1.0.0', ...more });
const notBuilt = `${app} was not built, nothing changed`;

const refusedSource = (
  name: string,
  files: Record<string, string>,
  says: (string | RegExp)[],
  hint: string | RegExp,
): Mistake => ({
  name,
  act: pushed(files),
  code: rejected,
  says: [notBuilt, ...says, /! \[remote rejected\] main -> main/],
  hint,
});

/** The most memory that the gateway and its git took on a host while `act` ran, MiB; summed over processes. */
async function gatewayMemory(host: string, over: Promise<unknown>): Promise<number> {
  const script = `
    rm -f /tmp/oops-over; most=0
    for i in $(seq 900); do
      [ -e /tmp/oops-over ] && break
      now=$(ps -eo rss=,args= | awk '/appliance.js gateway/ || $2 ~ /(^|\\/)git$/ {sum += $1} END {print sum + 0}')
      [ "$now" -gt "$most" ] && most=$now
      sleep 0.1
    done
    echo "$most"`;
  const measured = labExec(host, ['sh', '-c', script], lab);
  await over;
  await labExec(host, ['touch', '/tmp/oops-over'], lab);
  return Number((await measured).stdout) / 1024;
}

/** A file that does not compress, of the size that is one too many. */
async function pushHuge(): Promise<Finished> {
  const started = performance.now();
  // What the client compresses costs only the test time.
  const pushing = push(
    { 'index.html': 'huge', 'huge.bin': randomBytes(200 * MiB) },
    { settings: ['-c', 'core.compression=0'] },
  );
  const over = pushing.catch(() => undefined);
  const most = Math.max(...(await Promise.all(hosts().map(({ name }) => gatewayMemory(name, over)))));
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  process.stderr.write(
    `  a push of 200 MiB: ${seconds} s, gateway and git took ${most.toFixed(0)} MiB at most\n`,
  );
  expect(most).toBeLessThan(256);
  return pushing;
}

/** Objects of pushes that were not accepted, and builds that go on, on any host. */
async function leftovers(): Promise<string> {
  const script = `find /var/lib/flynn/gateway/repos -name 'incoming-*' -o -name 'tmp_*' -o -name '*.new'
    docker ps --filter label=flynn.job --format '{{.Label "flynn.owner"}}' | grep build`;
  const found = await Promise.all(hosts().map(({ name }) => labExec(name, ['sh', '-c', script], lab)));
  return found.map(({ stdout }) => stdout).join('');
}

export const pushMistakes: Table = {
  title: 'a push that deploys nothing',
  begin: async () => {
    await workTree(at('prepared'), { 'index.html': 'hello' });
    await cli(['apps:create', app, '--if-missing'], { cwd: at('prepared') });
    await git(at('prepared'), ['remote', 'add', 'nosuch', await missingRemote()]);
    await cli(['keys:add', at('developer.pub'), '--role', 'developer', '-a', empty, '--name', 'bob']);
    await cli(['keys:add', at('ci.pub'), '--role', 'deploy', '-a', empty, '--name', 'ci']);
  },
  end: async () => {
    for (const name of ['bob', 'ci']) await run(['keys:remove', name]);
    await eventually('no trace of the pushes', async () => ((await leftovers()) === '' ? true : undefined));
  },
  mistakes: [
    refusedSource(
      'a push of a source that no buildpack knows, without a Procfile',
      { 'README.md': 'nothing to run' },
      ['no buildpack fits', 'package.json', 'no Procfile'],
      'Procfile && git push flynn main',
    ),
    refusedSource(
      'a push of a package.json that starts nothing, without a Procfile',
      { 'package.json': manifest() },
      ['nothing says what to run', 'start script'],
      'Procfile && git push flynn main',
    ),
    refusedSource(
      'a push with a line in the Procfile that is none',
      {
        'package.json': manifest({ scripts: { start: 'node .' } }),
        Procfile: '# runs\nweb node server.js\n',
      },
      ['Procfile line 2', 'web node server.js'],
      'web: node server.js',
    ),
    refusedSource(
      'a push with a Procfile that says nothing',
      { Procfile: '\n' },
      ['nothing says what to run'],
      'Procfile && git push flynn main',
    ),
    refusedSource(
      'a push with a lockfile that does not fit',
      {
        'package.json': manifest({ scripts: { start: 'node .' }, dependencies: { 'is-odd': '3.0.1' } }),
        'package-lock.json': manifest({ lockfileVersion: 3, packages: { '': { name: 'oops' } } }),
      },
      ['npm ci failed', 'package-lock.json'],
      'npm install && git commit',
    ),
    refusedSource(
      'a push with a package.json that is none',
      { 'package.json': '{' },
      ['package.json is not valid JSON'],
      'JSON.parse',
    ),
    {
      name: 'a push to an app that does not exist',
      act: pushed({ 'index.html': 'hello' }, () => ({ remote: 'nosuch' })),
      code: notLetIn,
      says: ['app nosuch does not exist'],
      hint: 'flynn apps:create nosuch',
    },
    {
      name: 'a push with a key that nobody knows',
      act: pushed({ 'index.html': 'hello' }, withKey('other')),
      code: notLetIn,
      says: ['accepts none of the keys', 'given as text'],
      hint: 'flynn keys:add',
    },
    {
      name: 'a push with the key of a developer of another app',
      act: pushed({ 'index.html': 'hello' }, withKey('developer')),
      code: notLetIn,
      says: [`key bob (developer of ${empty})`, `app ${app}`],
      hint: `flynn keys:add KEYFILE --role deploy --app ${app}`,
    },
    {
      name: 'a push with a deploy key of another app',
      act: pushed({ 'index.html': 'hello' }, withKey('ci')),
      code: notLetIn,
      says: [`key ci (deploy of ${empty})`, `app ${app}`],
      hint: `flynn keys:add KEYFILE --role deploy --app ${app}`,
    },
    {
      name: 'a push of 200 MB',
      act: pushHuge,
      code: rejected,
      says: ['more than 200 MiB'],
      hint: 'flynn deploy --image',
    },
  ],
};

/** The remote of the app, with another name at its end. */
async function missingRemote(): Promise<string> {
  const { stdout } = await git(at('prepared'), ['remote', 'get-url', 'flynn']);
  return stdout.trim().replace(/[^/]+$/, 'nosuch.git');
}

// sdutil on a host: by the agent's socket, around real processes; exec, register, expose and configure.
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { silentLog } from '../../src/lib/appliance/log.js';
import { openDiscovery, type HostDiscovery } from '../../src/lib/layer0/host/discovery.js';
import { emptyState } from '../../src/lib/layer0/host/state.js';
import { systemClock as clock } from '../../src/lib/util/clock.js';
import { packageRoot } from '../../src/lib/util/package-root.js';
import { poll } from '../../src/lib/util/retry.js';
import { cryptoRng as rng } from '../../src/lib/util/rng.js';
import { fakeEtcd } from '../fakes/store.js';

const over = new AbortController();
const store = fakeEtcd().client();
const sdutil = join(packageRoot(), 'dist/sdutil/sdutil');
const started: ChildProcess[] = [];
const servers: Server[] = [];
let home: string;
let dir: string;
let discovery: HostDiscovery;
let running: Promise<void>;

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'flynn-sdutil-host-'));
  const state = emptyState({ name: 'a', address: '127.0.0.1', control: false }, clock.mono());
  const docker = { networks: { list: () => Promise.resolve([]) } } as never;
  const bridge = () => Promise.resolve({ address: '127.0.0.1', name: 'lo' });
  const common = { state, store, docker, clock, rng, log: silentLog };
  const port = 11_300 + (process.pid % 100);
  discovery = await openDiscovery({ ...common, bridge, dir: home, port }, over.signal);
  running = discovery.run(over.signal);
  await discovery.directory.ready;
});
afterAll(async () => {
  over.abort();
  await running;
  await rm(home, { recursive: true });
});
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'flynn-sdutil-run-'));
});
afterEach(async () => {
  for (const child of started.splice(0)) child.kill('SIGKILL');
  for (const server of servers.splice(0)) server.close();
  await rm(dir, { recursive: true });
});

const run = (args: string[]): ChildProcess & { all: () => string } => {
  const env = { ...process.env, FLYNN_DISCOVERY_SOCKET: join(home, 'discovery.sock'), OUT: join(dir, 'out') };
  const child = spawn(sdutil, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let all = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (all += chunk.toString()));
  started.push(child);
  return Object.assign(child, { all: () => all });
};
const until = <T>(what: string, look: () => Promise<T | undefined> | T | undefined): Promise<T> =>
  poll(clock, look, { timeoutMs: 10_000, what, intervalMs: 20 });
const instances = (name: string) => discovery.directory.view(name).instances;
const here = (name: string, count = 1) =>
  until(`${count} of ${name}`, () => (instances(name).length === count ? instances(name) : undefined));
const exit = async (child: ChildProcess): Promise<unknown[]> =>
  child.exitCode === null && child.signalCode === null
    ? await once(child, 'exit')
    : [child.exitCode, child.signalCode];
const written = async (name = 'out') => readFile(join(dir, name), 'utf8').catch(() => '');
/** A port on which something answers, at every address of this machine. */
const listening = async (): Promise<number> => {
  const server = createServer((socket) => socket.destroy());
  servers.push(server);
  server.listen(0);
  await once(server, 'listening');
  return (server.address() as { port: number }).port;
};

/** What a program says that has to end with 0. */
const run0 = async (file: string, args: string[], env = process.env): Promise<string> =>
  (await promisify(execFile)(file, args, { env })).stdout;

const server = `
  const server = require('net').createServer(() => {}).listen(Number(process.argv[1]));
  process.on('SIGTERM', () => { console.log('TERM'); setTimeout(() => process.exit(3), 300); });
  process.on('SIGUSR1', () => console.log('USR1'));
`;
const freePort = async (): Promise<string> => {
  const port = await listening();
  await new Promise((resolve) => servers.pop()?.close(resolve));
  return String(port);
};

describe('exec', () => {
  it('given TERM, then the server is withdrawn before it hears of it, and its exit code is passed on; other signals pass as they come', async () => {
    const port = await freePort();
    const child = run(['exec', `www:${port}`, process.execPath, '-e', server, port]);
    expect((await here('www'))[0]).toMatchObject({ id: `host.${port}`, port: Number(port) });
    child.kill('SIGUSR1');
    await until('USR1', () => child.all().includes('USR1') || undefined);
    child.kill('SIGTERM');
    await until('TERM', () => child.all().includes('TERM') || undefined);
    expect(instances('www')).toEqual([]);
    expect(await exit(child)).toEqual([3, null]);
  });

  it('given a program that a signal ends, then sdutil ends by the same signal', async () => {
    expect(await exit(run(['exec', 'x:1', 'sh', '-c', 'kill -TERM $$']))).toEqual([null, 'SIGTERM']);
  });

  it('given no discovery, then the server runs all the same', async () => {
    const child = spawn(sdutil, ['exec', 'x:1', 'sh', '-c', 'exit 5'], {
      env: { ...process.env, FLYNN_DISCOVERY_SOCKET: '/none' },
    });
    expect(await exit(child)).toEqual([5, null]);
  });
});

describe('register', () => {
  it('given what runs already, then it is registered until TERM', async () => {
    const port = await listening();
    const child = run(['register', `old:${port}`]);
    await here('old');
    child.kill('SIGTERM');
    expect(await exit(child)).toEqual([0, null]);
    expect(instances('old')).toEqual([]);
  });
});

describe('expose', () => {
  it('given a service that comes, goes and comes elsewhere, then the program runs while it is there, with its address', async () => {
    const program = 'echo "$DB" >> $OUT; trap "echo gone >> $OUT; exit 0" TERM; while :; do sleep 0.05; done';
    const child = run(['expose', '-d', 'DB:db', 'sh', '-c', program]);
    await until('it waits', () => child.all().includes('waits for db') || undefined);
    const [one, two] = [await listening(), await listening()];
    const first = run(['register', `db:${one}`]);
    await until('started', async () => (await written()) === `127.0.0.1:${one}\n` || undefined);
    first.kill('SIGTERM');
    await until('ended', async () => (await written()).endsWith('gone\n') || undefined);
    run(['register', `db:${two}`]);
    await until('again', async () => (await written()).endsWith(`127.0.0.1:${two}\n`) || undefined);
    child.kill('SIGTERM');
    expect(await exit(child)).toEqual([0, null]);
  });
});

describe('configure', () => {
  it('given a template, then its file follows the service, the program is started again, and its exit code is passed on', async () => {
    await writeFile(
      join(dir, 't'),
      '{{#service web}}server {{address}}:{{port}}\n{{/service}}{{env OUT}}\n',
      { mode: 0o640 },
    );
    const program = 'grep -c server $OUT.conf >> $OUT; trap "exit 9" TERM; while :; do sleep 0.05; done';
    const child = run(['configure', '-f', `${join(dir, 't')}:${join(dir, 'out.conf')}`, 'sh', '-c', program]);
    await until('empty', async () => (await written()) === '0\n' || undefined);
    const port = await listening();
    run(['register', `web:${port}`]);
    await until('one', async () => (await written()) === '0\n1\n' || undefined);
    expect(await written('out.conf')).toBe(`server 127.0.0.1:${port}\n${join(dir, 'out')}\n`);
    child.kill('SIGTERM');
    expect(await exit(child)).toEqual([9, null]);
  });

  it('given a template with a mistake, then nothing runs, and its line is named', async () => {
    await writeFile(join(dir, 't'), '\n{{nonsense}}');
    const child = run([
      'configure',
      '-f',
      `${join(dir, 't')}:${join(dir, 'c')}`,
      'sh',
      '-c',
      'echo x > $OUT',
    ]);
    expect(await exit(child)).toEqual([2, null]);
    expect(child.all()).toContain('line 2');
    expect(await written()).toBe('');
  });
});

describe('the tarball', () => {
  it('given a host with a Node, then what is in it runs, by its path and by a name on the path', async () => {
    await run0('tar', ['-xzf', join(packageRoot(), 'dist/sdutil.tar.gz'), '-C', dir]);
    const path = `${join(dir, 'sdutil')}:${process.env.PATH}`;
    for (const file of [join(dir, 'sdutil/sdutil'), 'sdutil'])
      expect(await run0(file, ['help'], { ...process.env, PATH: path })).toContain('usage: sdutil');
  });
});

describe('services and check', () => {
  it('given a service, then its addresses; given none, then exit 3; given no discovery, then exit 6 with the next step', async () => {
    const port = await listening();
    run(['register', `one:${port}`]);
    await here('one');
    const found = run(['services', '-1', 'one']);
    expect(await exit(found)).toEqual([0, null]);
    expect(found.all()).toBe(`127.0.0.1:${port}\n`);
    expect(await exit(run(['services', 'nobody']))).toEqual([3, null]);
    expect(await exit(run(['check', '-s']))).toEqual([0, null]);
    const lost = spawn(sdutil, ['check'], { env: { ...process.env, FLYNN_DISCOVERY_SOCKET: '/none' } });
    let text = '';
    lost.stderr.on('data', (chunk: Buffer) => (text += chunk.toString()));
    expect(await exit(lost)).toEqual([6, null]);
    expect(text).toContain('on a host: as root');
  });
});

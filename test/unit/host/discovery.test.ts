// Discovery as an agent serves it: the token that a job is given opens its own door alone, for as long as the job lives.
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ServiceView } from '../../../src/lib/api/discovery.js';
import { keys } from '../../../src/lib/api/keys.js';
import { silentLog } from '../../../src/lib/appliance/log.js';
import { findBridge } from '../../../src/lib/layer0/host/bridge.js';
import { openDiscovery, type HostDiscovery } from '../../../src/lib/layer0/host/discovery.js';
import { systemClock } from '../../../src/lib/util/clock.js';
import { poll } from '../../../src/lib/util/retry.js';
import { cryptoRng } from '../../../src/lib/util/rng.js';
import { fakeEtcd, type FakeStore } from '../../fakes/store.js';
import { claim, jobId, template, World } from './world.js';

const job = jobId(1);
const db = template({ ports: [{ name: 'main', container: 6379 }] });
let dir: string;
let store: FakeStore;
let world: World;
let over: AbortController;
let discovery: HostDiscovery;
let running: Promise<void>;
let port: number;

const networks = (list: object[]) => ({ networks: { list: () => Promise.resolve(list) } }) as never;
const loopback = networks([
  { name: 'bridge', driver: 'bridge', gateways: ['127.0.0.1'], subnets: [], bridge: 'lo' },
]);

const open = async (docker = loopback): Promise<void> => {
  over = new AbortController();
  const deps = { clock: systemClock, rng: cryptoRng, log: silentLog, dir, port };
  discovery = await openDiscovery(
    { ...deps, state: world.state, store, docker, bridge: findBridge(docker) },
    over.signal,
  );
  await discovery.directory.ready;
  running = discovery.run(over.signal);
};
const close = async (): Promise<void> => {
  over.abort();
  await running;
};

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'flynn-disco-'));
  port = 20_000 + Math.floor(Math.random() * 10_000);
  store = fakeEtcd().client();
  world = new World({ web: db });
  world.claims.set(job, claim({ o: 'app/db/1/main' }));
  world.sync();
  world.settle();
  await open();
});
afterEach(async () => {
  await close();
  await rm(dir, { recursive: true });
});

const agent = new Agent({ keepAlive: false });
/** Calls as a program would; tried until the port is open. */
const call = (
  method: string,
  path: string,
  token?: string,
  body?: object,
  socketPath?: string,
): Promise<{ status: number; body: unknown }> =>
  poll(
    systemClock,
    () =>
      new Promise<{ status: number; body: unknown } | undefined>((resolve) => {
        const to = socketPath ? { socketPath } : { host: '127.0.0.1', port };
        const headers = token ? { authorization: `Bearer ${token}` } : {};
        const req = request({ ...to, agent, method, path, headers }, (answer) => {
          let text = '';
          answer.on('data', (chunk: Buffer) => (text += chunk.toString()));
          answer.on('end', () => resolve({ status: answer.statusCode ?? 0, body: JSON.parse(text) }));
        });
        req.once('error', () => resolve(undefined));
        req.end(body && JSON.stringify(body));
      }),
    { timeoutMs: 5_000 },
  );
const tokenOf = async (): Promise<string> => (await discovery.grant(job, db)).FLYNN_TOKEN ?? '';
const register = async () => call('PUT', '/v1/services/db/registration', await tokenOf(), { port: 6379 });
const instances = async () => (await store.list(keys.instances)).entries;

describe('what a job is given', () => {
  it('given a job on the bridge, then where to call and a token that is the same after a restart of the agent', async () => {
    const first = await discovery.grant(job, db);
    expect(first).toMatchObject({ FLYNN_DISCOVERY: `http://127.0.0.1:${port}` });
    await close();
    await open();
    expect(await discovery.grant(job, db)).toEqual(first);
    expect((await stat(join(dir, 'token.secret'))).mode & 0o777).toBe(0o600);
  });

  it('given a job that says no, an appliance, or a job on the host network that does not ask, then nothing', async () => {
    for (const over of [{ discovery: false }, { kind: 'omni' }, { network: 'host' }] as const)
      expect(await discovery.grant(job, template(over))).toEqual({});
    expect(await discovery.grant(job, template({ network: 'host', discovery: true }))).toHaveProperty(
      'FLYNN_TOKEN',
    );
  });

  it('given an engine without a bridge, then a job that asks is refused, and one that does not goes on without', async () => {
    await close();
    await open(networks([]));
    expect(await discovery.grant(job, db)).toEqual({});
    await expect(discovery.grant(job, template({ discovery: true }))).rejects.toMatchObject({
      code: 'missing',
    });
  });
});

describe('the doors', () => {
  it('given its token, then a job registers at the port of its claim; another job of the id that is no more is refused', async () => {
    expect(await register()).toMatchObject({ status: 200, body: { address: '10.0.0.1', port: 20001 } });
    const [entry] = await instances();
    expect(entry?.lease).toBeDefined();
    world.claims.delete(job);
    world.seeStore();
    expect(await register()).toMatchObject({ status: 401 });
  });

  it('given the job is told to stop, then what it has registered is withdrawn at once', async () => {
    await register();
    world.claims.set(job, claim({ o: 'app/db/1/main', w: 'stop' }));
    world.seeStore();
    discovery.prune();
    await poll(systemClock, async () => ((await instances()).length === 0 ? true : undefined), {
      timeoutMs: 2_000,
    });
  });

  it('given docker or the store are away, then nothing is withdrawn', async () => {
    await register();
    world.state.dockerUp = false;
    world.state.containers.clear();
    discovery.prune();
    await systemClock.sleep(20);
    expect(await instances()).toHaveLength(1);
  });

  it('given the socket, then root needs no token, and nobody else may open it', async () => {
    const socket = join(dir, 'discovery.sock');
    const done = await call('PUT', '/v1/services/db/registration', undefined, { port: 5432 }, socket);
    expect(done).toMatchObject({ status: 200, body: { id: 'host.5432', port: 5432 } });
    expect((await stat(socket)).mode & 0o777).toBe(0o600);
    const view = (await call('GET', '/v1/services/db', await tokenOf())).body as ServiceView;
    expect(view.instances).toHaveLength(1);
  });
});

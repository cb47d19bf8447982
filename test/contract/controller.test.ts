// The controller on a real etcd and real mTLS: the walking path, two copies, the loss of a leader and of the store.
import type { Server } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { AppState, CreatedApp, DeployAnswer, ScaleAnswer } from '../../src/lib/api/app.js';
import { HttpClient } from '../../src/lib/api/http.js';
import { keys } from '../../src/lib/api/keys.js';
import { ApplianceClients } from '../../src/lib/appliance/client.js';
import { silentLog } from '../../src/lib/appliance/log.js';
import { requireCaller, serve } from '../../src/lib/appliance/server.js';
import { putTemplate, transact } from '../../src/lib/layer0/index.js';
import { onlyControl } from '../../src/lib/layer1/controller/api.js';
import { createController, type Controller } from '../../src/lib/layer1/controller/controller.js';
import { openStore, type EtcdStore } from '../../src/lib/store/index.js';
import { systemClock } from '../../src/lib/util/clock.js';
import { poll } from '../../src/lib/util/retry.js';
import { cryptoRng } from '../../src/lib/util/rng.js';
import { freePort, startEtcd, type EtcdServer, type EtcdServerTls } from '../fakes/etcd-server.js';
import { makeCerts } from '../fakes/test-certs.js';
import { FakeHost } from '../unit/controller/agent.js';

interface Copy extends Controller {
  name: string;
  client: HttpClient;
  end: AbortController;
  server: Server;
}

const suspects = new Map<string, number>();
const stores: EtcdStore[] = [];
const copies: Copy[] = [];
const hosts: FakeHost[] = [];
const asAdmin = { 'x-flynn-key': 'SHA256:t', 'x-flynn-role': 'admin', 'x-flynn-name': 'ann' };
let etcd: EtcdServer;
let certs: { server: EtcdServerTls; client: EtcdServerTls };
let clients: ApplianceClients;

async function open(): Promise<EtcdStore> {
  const store = await openStore({ endpoints: [etcd.url] });
  stores.push(store);
  return store;
}

async function startCopy(
  name: string,
  checkCaller = (c: Parameters<typeof onlyControl>[0]) => requireCaller(c, (cn) => cn === 'client'),
): Promise<Copy> {
  const store = await open();
  const end = new AbortController();
  const ports = { clock: systemClock, rng: cryptoRng };
  const controller = createController({
    host: name,
    store,
    sampi: {
      transact: (request) => transact(store, request, ports),
      putTemplate: (input) => putTemplate(store, input),
    },
    jobLogs: () =>
      async function* () {
        // These hosts have no containers, so no lines.
      },
    clusterKey: Buffer.alloc(32, 9),
    ...ports,
    log: silentLog,
    checkCaller,
    signal: end.signal,
  });
  const port = await freePort();
  const server = await serve({ app: controller.api, host: '127.0.0.1', port, identity: certs.server });
  await controller.ready;
  const copy = { ...controller, name, client: clients.at('127.0.0.1', port, 10_000), end, server };
  copies.push(copy);
  return copy;
}

const post = <S extends z.ZodType>(copy: Copy, path: string, body: unknown, schema: S) =>
  copy.client.call('POST', path, schema, { body, headers: asAdmin });
const stateOf = (copy: Copy, app: string) =>
  copy.client.call('GET', `/v1/apps/${app}`, AppState, { headers: asAdmin });
const converged = (copy: Copy, app: string, timeoutMs = 20_000) =>
  poll(
    systemClock,
    async () => {
      const state = await stateOf(copy, app);
      return state.converged ? state : undefined;
    },
    { timeoutMs, what: `${app} to converge` },
  );

function copyAt(index: number): Copy {
  const copy = copies[index];
  if (!copy) throw new Error(`no copy ${index}`);
  return copy;
}

beforeAll(async () => {
  etcd = await startEtcd();
  certs = await makeCerts();
  clients = new ApplianceClients(certs.client);
  const store = await open();
  const cluster = {
    id: 'c',
    name: 'test',
    domain: 'example.com',
    createdAt: 1,
    gatewayFingerprint: 'x',
    images: {},
  };
  await store.put(keys.cluster, JSON.stringify(cluster));
  for (const name of ['a', 'b', 'c'])
    hosts.push(await new FakeHost(name, await open(), systemClock, suspects).join());
  await startCopy('first');
  await startCopy('second');
});

afterAll(async () => {
  for (const { end, server } of copies) {
    end.abort();
    server.closeAllConnections();
    server.close();
  }
  for (const host of hosts) host.kill();
  clients.close();
  await Promise.all(stores.map((store) => store.close()));
  await etcd.stop();
});

describe('given a real etcd, three hosts and two copies', () => {
  it('when an app is created, deployed and scaled, then a watcher of the other copy sees it converge, live', async () => {
    const [first, second] = [copyAt(0), copyAt(1)];
    await post(first, '/v1/apps', { name: 'hello' }, CreatedApp);
    await post(first, '/v1/apps/hello/deploy', { image: 'hello:1' }, DeployAnswer);
    await converged(second, 'hello');
    const stop = new AbortController();
    const seen: number[] = [];
    const watching = (async () => {
      const options = { headers: asAdmin, signal: stop.signal };
      for await (const state of second.client.stream('GET', '/v1/apps/hello/watch', AppState, options)) {
        seen.push(state.jobs.filter((job) => job.state === 'serving').length);
        if (state.converged && state.formation.web === 6) return state;
      }
      throw new Error('the stream ended');
    })();
    await post(first, '/v1/apps/hello/scale', { processes: { web: 6 } }, ScaleAnswer);
    expect((await stateOf(second, 'hello')).formation).toEqual({ web: 6 });
    const state = await watching;
    stop.abort();
    expect(seen[0]).toBe(1);
    expect(seen.at(-1)).toBe(6);
    const byHost = state.jobs.map(({ host }) => host).sort();
    expect(byHost).toEqual(['a', 'a', 'b', 'b', 'c', 'c']);
  });

  it('when a release fails, then it is rolled back by itself; the next one is deployed', async () => {
    const first = copyAt(0);
    for (const host of hosts) host.behaviour = ({ image }) => (image === 'hello:bad' ? 'crashes' : 'up');
    const { deployment } = await post(first, '/v1/apps/hello/deploy', { image: 'hello:bad' }, DeployAnswer);
    expect(deployment).toMatchObject({ state: 'running' });
    const state = await converged(first, 'hello');
    expect(state).toMatchObject({
      app: { release: 1 },
      deployment: { state: 'failed', tail: ['boom', 'bye'] },
    });
    await post(first, '/v1/apps/hello/deploy', { image: 'hello:3' }, DeployAnswer);
    expect(await converged(first, 'hello')).toMatchObject({
      app: { release: 3 },
      deployment: { state: 'complete' },
    });
  });

  it('when the leading copy ends, then the other plans within seconds', async () => {
    const leader = copies.findIndex(({ name }) => name === copyAt(0).picture.leader());
    const other = copyAt(1 - leader);
    copyAt(leader).end.abort();
    const from = performance.now();
    await post(other, '/v1/apps/hello/scale', { processes: { web: 3 } }, ScaleAnswer);
    await converged(other, 'hello');
    expect(performance.now() - from).toBeLessThan(8_000);
    expect(other.picture.leader()).toBe(other.name);
  });

  it('when the store freezes, then reads go on, writes say no_quorum, and afterwards all goes on', async () => {
    const copy = copies.find(({ end }) => !end.signal.aborted);
    if (!copy) throw new Error('no copy is left');
    etcd.freeze();
    try {
      expect((await stateOf(copy, 'hello')).jobs).toHaveLength(3);
      const write = post(copy, '/v1/apps/hello/scale', { processes: { web: 1 } }, ScaleAnswer);
      await expect(write).rejects.toMatchObject({ code: 'no_quorum' });
    } finally {
      etcd.thaw();
    }
    const again = () =>
      post(copy, '/v1/apps/hello/scale', { processes: { web: 4 } }, ScaleAnswer).catch(() => undefined);
    await poll(systemClock, again, { timeoutMs: 15_000, intervalMs: 200, what: 'the store to answer' });
    expect((await converged(copy, 'hello')).jobs).toHaveLength(4);
  });

  it('when somebody else than the gateway calls, then it is refused by certificate', async () => {
    const strict = await startCopy('strict', onlyControl);
    await expect(stateOf(strict, 'hello')).rejects.toMatchObject({ code: 'forbidden' });
  });
});

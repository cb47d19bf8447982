// The seed: first records that stay first, and what is missing until a grid is up.
import { createServer, type AddressInfo } from 'node:net';
import { PassThrough } from 'node:stream';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { keys } from '../../../src/lib/api/keys.js';
import { seedOf } from '../../../src/lib/operator/first-records.js';
import { newSecrets, type ClusterSecrets } from '../../../src/lib/operator/journal.js';
import { SeedGrid, SeedLine } from '../../../src/lib/seed/protocol.js';
import { reachAll } from '../../../src/lib/seed/reach.js';
import { seedGrid } from '../../../src/lib/seed/records.js';
import { answerSeed, waitUntilUp } from '../../../src/lib/seed/run.js';
import { systemClock } from '../../../src/lib/util/clock.js';
import { seededRng } from '../../../src/lib/util/rng.js';
import { fakeEtcd } from '../../fakes/store.js';
import { journalOf } from './sample.js';

const journal = journalOf('a', 'b');
const images = { host: 'flynn/host:1', etcd: 'flynn/etcd:1' };
const sshKey = {
  fingerprint: 'SHA256:a/b',
  type: 'ssh-ed25519',
  blob: 'x',
  name: 'me',
  role: 'admin' as const,
  apps: [],
  createdAt: 1,
};
const ports = { clock: systemClock, rng: seededRng(1) };
let secrets: ClusterSecrets;
beforeAll(async () => {
  ({ secrets } = await newSecrets('test', journal.hosts, 1));
});
const grid = (): SeedGrid => SeedGrid.parse(seedOf(journal, secrets, images, [sshKey]));

describe('seedGrid', () => {
  it('writes cluster, hosts, books, omni jobs with their templates, and the key; again: nothing', async () => {
    const store = fakeEtcd().client();
    expect(await seedGrid(store, grid(), ports)).toBeGreaterThan(0);
    const { entries } = await store.list('');
    const names = entries.map((entry) => entry.key).filter((key) => !key.startsWith(keys.templates));
    expect(names).toEqual(
      [
        'cluster/config',
        'hosts/a/book',
        'hosts/a/info',
        'hosts/b/book',
        'hosts/b/info',
        keys.sshKey('SHA256:a/b'),
        'omni/controller',
        'omni/dns',
        'omni/gateway',
        'omni/registry',
        'omni/router',
        'omni/sampi',
      ].sort(),
    );
    for (const name of ['dns', 'sampi', 'controller', 'gateway', 'registry', 'router']) {
      const omni = JSON.parse((await store.get(keys.omni(name)))?.value ?? '{}') as { template: string };
      expect(await store.get(keys.template(omni.template))).toBeDefined();
    }
    const before = (await store.status()).revision;
    expect(await seedGrid(store, grid(), ports)).toBe(0);
    expect((await store.status()).revision).toBe(before);
  });

  it('does not take back what changed since: a removed key, a record that the agent refreshed, a booked host', async () => {
    const store = fakeEtcd().client();
    await seedGrid(store, grid(), ports);
    await store.delete(keys.sshKey(sshKey.fingerprint));
    await store.put(keys.sshKey('SHA256:other'), '{}');
    await store.put(keys.hostInfo('a'), JSON.stringify({ ...grid().hosts[0]?.info, cpuMillis: 1 }));
    const book = JSON.parse((await store.get(keys.hostBook('b')))?.value ?? '{}') as object;
    await store.put(keys.hostBook('b'), JSON.stringify({ ...book, jobs: 3, cordoned: true }));
    await seedGrid(store, grid(), ports);
    expect(await store.get(keys.sshKey(sshKey.fingerprint))).toBeUndefined();
    expect((await store.get(keys.hostInfo('a')))?.value).toContain('"cpuMillis":1,');
    expect(JSON.parse((await store.get(keys.hostBook('b')))?.value ?? '{}')).toMatchObject({
      jobs: 3,
      cordoned: true,
    });
  });

  it('a new version of the images replaces the omni templates, and says so', async () => {
    const store = fakeEtcd().client();
    await seedGrid(store, grid(), ports);
    const newer = SeedGrid.parse(seedOf(journal, secrets, { ...images, host: 'flynn/host:2' }, []));
    expect(await seedGrid(store, newer, ports)).toBe(7);
  });
});

describe('waitUntilUp', () => {
  const status = (owner: string, state: string) =>
    JSON.stringify({
      state,
      owner,
      template: 't',
      since: 1,
      ...(state === 'crashed' ? { reason: 'out of memory', tail: ['boom'] } : {}),
    });

  it('tells what is missing whenever that changes, and ends when nothing is', async () => {
    const store = fakeEtcd().client();
    await seedGrid(store, grid(), ports);
    const lines: SeedLine[] = [];
    const waiting = waitUntilUp(
      store,
      20_000,
      { ...systemClock, sleep: () => systemClock.sleep(1) },
      (line) => lines.push(SeedLine.parse(line)),
    );
    await expect.poll(() => lines.length).toBe(1);
    // Two hosts with control: an agent and four jobs each.
    expect(lines[0]).toMatchObject({ seed: 'pending', up: 0, of: 14 });
    await store.put(
      keys.claim('a', 'a-1'),
      JSON.stringify({ t: 't', o: 'omni/sampi', m: 1, c: 1, p: [], w: 'run', x: 'x' }),
    );
    await expect.poll(() => JSON.stringify(lines.at(-1))).toContain('"state":"claimed"');
    await store.put(keys.status('a', 'a-1'), status('omni/sampi', 'crashed'));
    await expect.poll(() => JSON.stringify(lines.at(-1))).toContain('out of memory');
    for (const host of ['a', 'b']) {
      await store.put(keys.hostLease(host), '{}');
      for (const name of ['dns', 'sampi', 'controller', 'gateway', 'registry', 'router']) {
        await store.put(keys.status(host, `${host}-${name}`), status(`omni/${name}`, 'up'));
      }
    }
    await waiting;
    expect(lines.at(-1)).toEqual({ seed: 'done', changed: 0, pending: [] });
  });

  it('given no end of it, stops when the time is up and tells what is missing', async () => {
    const store = fakeEtcd().client();
    await seedGrid(store, grid(), ports);
    const lines: SeedLine[] = [];
    await waitUntilUp(store, 5, { ...systemClock, sleep: () => systemClock.sleep(1) }, (line) =>
      lines.push(line),
    );
    expect(lines.at(-1)).toMatchObject({ seed: 'done' });
    expect(lines.at(-1)).toHaveProperty('pending.0.job', 'agent');
  });
});

describe('reachAll', () => {
  const server = createServer();
  const listen = (port: number): Promise<number> =>
    new Promise((resolve) =>
      server.listen(port, '127.0.0.1', () => resolve((server.address() as AddressInfo).port)),
    );
  afterEach(() => new Promise((resolve) => server.close(resolve)));

  it('given a door that opens later, waits for it; given one that stays closed, says so in the end', async () => {
    const port = await listen(0);
    await new Promise((resolve) => server.close(resolve));
    const door = { host: 'a', address: '127.0.0.1', port };
    expect(await reachAll([door], 0, systemClock)).toMatchObject([
      {
        host: 'a',
        job: `port ${port}`,
        state: 'closed',
        reason: expect.stringContaining('ECONNREFUSED') as string,
      },
    ]);
    const waiting = reachAll([door, door], 10_000, systemClock);
    await listen(port);
    expect(await waiting).toEqual([]);
  });
});

describe('answerSeed', () => {
  const ask = async (text: string): Promise<SeedLine> => {
    const [input, output] = [new PassThrough(), new PassThrough()];
    input.end(text);
    await answerSeed(input, output);
    return SeedLine.parse(JSON.parse(String(output.read())));
  };
  it.each([
    ['nothing', ''],
    ['no JSON', 'hello\n'],
    ['an unknown request', '{"do":"dance"}\n'],
  ])('given %s, answers with a coded error', async (_name, text) => {
    expect(await ask(text)).toMatchObject({ seed: 'error', error: { code: 'invalid' } });
  });
});

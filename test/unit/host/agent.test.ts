// The agent's loop on fakes: from claims to containers to registrations, and through everything that goes away.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HostBook } from '../../../src/lib/api/grid.js';
import { keys } from '../../../src/lib/api/keys.js';
import { newKey, seal, wrapKey } from '../../../src/lib/util/seal.js';
import { Rig } from './rig.js';

const webTemplate = {
  ports: [{ name: 'http', container: 8080 }],
  service: { name: 'web.hello' },
  meta: { app: 'hello', release: '1', type: 'web' },
};

let rig: Rig;
let hashes: Record<string, string>;
beforeEach(async () => {
  rig = new Rig();
  hashes = await rig.init({ web: webTemplate, once: { kind: 'oneoff' }, worker: {} });
});
afterEach(() => rig.halt());

const web = (over: object = {}) => ({ template: hashes.web ?? '', ports: 1, ...over });
const instanceOf = (job: string) => rig.store.get(keys.instance('a', 'web.hello', job));
const container = (job: string) => rig.docker.byName(`flynn-${job}`);
const count = (what: string) => rig.docker.calls.filter((c) => c === what).length;
const bookedMiB = async () =>
  HostBook.parse(JSON.parse((await rig.store.get(keys.hostBook('a')))?.value ?? '{}')).used.m;

describe('the life of a job', () => {
  it('given a claim, then it runs, is registered and up; given want=stop, then all of it is taken back', async () => {
    rig.boot();
    const job = await rig.claim(web());
    await rig.until(job, 'up');
    const made = container(job);
    expect(made?.spec.publish).toEqual([
      { hostIp: '10.0.0.1', hostPort: 20000, containerPort: 8080, proto: 'tcp' },
    ]);
    expect(made?.spec.env).toMatchObject({ PORT: '8080', FLYNN_JOB_ID: job, FLYNN_HOST: 'a' });
    expect(JSON.parse((await instanceOf(job))?.value ?? '{}')).toMatchObject({
      address: '10.0.0.1',
      port: 20000,
    });
    expect(await bookedMiB()).toBe(64);
    expect(rig.probes[0]).toBe('172.17.0.9:8080');

    await rig.want(job, 'stop');
    await rig.until(job, undefined);
    expect(await instanceOf(job)).toBeUndefined();
    expect(await rig.store.get(keys.claim('a', job))).toBeUndefined();
    expect(await bookedMiB()).toBe(0);
    expect(made?.state).toBe('exited');
    expect(rig.docker.calls.filter((c) => c.startsWith('kill '))).toEqual(['kill SIGTERM']);
  });

  it('given a container that dies, then its instance is withdrawn before any time passes', async () => {
    rig.boot();
    const job = await rig.claim(web());
    await rig.until(job, 'up');
    const at = rig.clock.mono();
    rig.health = 'refused';
    rig.docker.end(container(job)?.id ?? '', 1);
    for (let i = 0; i < 20 && (await instanceOf(job)); i++) await rig.clock.advance(1);
    expect(await instanceOf(job)).toBeUndefined();
    expect(rig.clock.mono() - at).toBeLessThan(100);
    await rig.until(job, 'starting');
    rig.health = undefined;
    await rig.until(job, 'up');
    expect((await rig.status(job))?.starts).toBe(2);
  });

  it('given a container that ignores SIGTERM, then SIGKILL comes after its stop timeout', async () => {
    rig.docker.deaf.add('app:1');
    rig.boot();
    const job = await rig.claim(web());
    await rig.until(job, 'up');
    const at = rig.clock.mono();
    await rig.want(job, 'stop');
    await rig.until(job, undefined, 60_000);
    expect(rig.docker.calls.filter((c) => c.startsWith('kill '))).toEqual(['kill SIGTERM', 'kill SIGKILL']);
    expect(rig.clock.mono() - at).toBeGreaterThanOrEqual(30_000);
  });

  it('given a job without ports, then it is up after it has run for a second', async () => {
    rig.boot();
    const job = await rig.claim({ template: hashes.worker ?? '' });
    await rig.until(job, 'starting');
    const at = rig.clock.mono();
    await rig.until(job, 'up');
    expect(rig.clock.mono() - at).toBeGreaterThanOrEqual(900);
    expect(rig.probes).toEqual([]);
  });

  it('given an image that is not here, then it is pulled', async () => {
    const { hash } = { hash: (await rig.init({ far: { ...webTemplate, image: 'far:1' } })).far ?? '' };
    rig.docker.registry.add('far:1');
    rig.boot();
    const job = await rig.claim({ template: hash, ports: 1 });
    await rig.until(job, 'up');
    expect(rig.docker.pulls).toEqual(['far:1']);
  });

  it('given a container that cannot be started, then the reason is told, nothing is left over, and it goes on later', async () => {
    rig.docker.startError = 'exec: "nope": executable file not found';
    rig.boot();
    const job = await rig.claim(web());
    await rig.until(job, 'crashed');
    expect(await rig.status(job)).toMatchObject({ reason: 'exec: "nope": executable file not found' });
    rig.docker.startError = undefined;
    await rig.until(job, 'up', 60_000);
    expect([...rig.docker.containersById.values()]).toHaveLength(1);
  });

  it('given a sealed environment, then the container sees it and the store does not', async () => {
    const key = newKey();
    const keyId = 'release/hello/1';
    const sealedEnv = { keyId, data: seal(key, JSON.stringify({ SECRET: 'hidden-value' }), keyId) };
    const made = await rig.init({ sealed: { ...webTemplate, sealedEnv } });
    rig.boot();
    const job = await rig.claim({
      template: made.sealed ?? '',
      ports: 1,
      wrappedKey: wrapKey(rig.wrapKeys.publicKey, key),
    });
    await rig.until(job, 'up');
    expect(container(job)?.spec.env?.SECRET).toBe('hidden-value');
    expect(JSON.stringify((await rig.store.list('')).entries)).not.toContain('hidden-value');
    await rig.clock.advance(1_000);
    expect(JSON.stringify(rig.disk.copy)).not.toContain('hidden-value');
  });

  it('given a one-off, then it is done once it ended, and never started twice', async () => {
    rig.boot();
    const job = await rig.claim({ template: hashes.once ?? '', owner: 'run/hello' });
    await rig.until(job, 'up');
    rig.docker.end(container(job)?.id ?? '', 0);
    await rig.until(job, 'done');
    await rig.halt();
    rig.boot();
    await rig.clock.advance(30_000);
    expect(count('create')).toBe(1);
    expect((await rig.status(job))?.state).toBe('done');
  });
});

describe('things that go away', () => {
  it('given the agent restarts, then jobs are neither touched nor withdrawn, and stopping works after it', async () => {
    rig.boot();
    const job = await rig.claim(web());
    await rig.until(job, 'up');
    const before = await instanceOf(job);
    const status = await rig.store.get(keys.status('a', job));
    await rig.halt();
    rig.boot();
    await rig.clock.advance(15_000);
    expect(count('create')).toBe(1);
    expect((await instanceOf(job))?.modRevision).toBe(before?.modRevision);
    expect((await rig.store.get(keys.status('a', job)))?.modRevision).toBe(status?.modRevision);
    await rig.want(job, 'stop');
    await rig.until(job, undefined);
  });

  it('given etcd is away at start, then services start from the copy on disk, and are registered when it is back', async () => {
    rig.boot();
    const job = await rig.claim(web());
    const once = await rig.claim({ template: hashes.once ?? '', owner: 'run/x' });
    await rig.until(job, 'up');
    await rig.clock.advance(1_000);
    await rig.halt();
    // The host was rebooted, and forgets its containers for good measure.
    await rig.store.delete(keys.instance('a', 'web.hello', job));
    rig.docker.containersById.clear();
    rig.agentStore = rig.etcd.client();
    rig.agentStore.cut('refused');
    rig.boot();
    await rig.clock.advance(2_500);
    expect(container(job)).toBeUndefined();
    await rig.untilTrue(() => container(job)?.state === 'running');
    expect(container(once)).toBeUndefined();
    await rig.clock.advance(10_000);
    expect(await instanceOf(job)).toBeUndefined();
    rig.agentStore.heal();
    for (let i = 0; i < 200 && !(await instanceOf(job)); i++) await rig.clock.advance(50);
    expect(await instanceOf(job)).toBeDefined();
    expect(container(once)).toBeUndefined();
    await rig.until(once, 'failed');
  });

  it('given etcd goes away while running, then a crash is restarted all the same', async () => {
    rig.boot();
    const job = await rig.claim(web());
    await rig.until(job, 'up');
    rig.agentStore.cut('silent');
    const first = container(job)?.id;
    rig.docker.end(first ?? '', 1);
    await rig.untilTrue(() => container(job)?.state === 'running' && container(job)?.id !== first);
    rig.agentStore.heal();
    await rig.clock.advance(30_000);
    await rig.until(job, 'up');
    expect((await rig.status(job))?.starts).toBe(2);
  });

  it('given docker goes away, then nothing is declared dead; when it is back, what ended meanwhile is seen', async () => {
    rig.boot();
    const job = await rig.claim(web());
    await rig.until(job, 'up');
    const before = await instanceOf(job);
    rig.docker.stopEngine();
    await rig.clock.advance(30_000);
    expect((await instanceOf(job))?.modRevision).toBe(before?.modRevision);
    expect((await rig.status(job))?.state).toBe('up');
    const c = container(job);
    if (c) c.state = 'exited';
    rig.docker.down = false;
    await rig.untilTrue(() => container(job)?.id !== c?.id && container(job)?.state === 'running');
    await rig.clock.advance(5_000);
    await rig.until(job, 'up');
    expect((await rig.status(job))?.starts).toBe(2);
  });

  it('given a store that was wiped, then running containers stay', async () => {
    rig.boot();
    const job = await rig.claim(web());
    await rig.until(job, 'up');
    rig.etcd.wipe();
    await rig.clock.advance(30_000);
    expect(container(job)?.state).toBe('running');
    expect(rig.docker.calls.filter((c) => c.startsWith('kill '))).toEqual([]);
    expect(rig.agent?.deps.state.adoptMode).toBe(true);
  });

  it('given another host on the same engine, then its containers are none of our business', async () => {
    const port = rig.docker.port();
    const id = await port.containers.create({
      name: 'flynn-b-x',
      image: 'app:1',
      labels: { 'flynn.job': `b-${'0'.repeat(26)}`, 'flynn.owner': 'app/x/1/web' },
    });
    await port.containers.start(id);
    rig.boot();
    await rig.clock.advance(10_000);
    expect(rig.agent?.deps.state.containers.size).toBe(0);
  });

  it('given an instance record that somebody removed, then it is written again after 5 s', async () => {
    rig.boot();
    const job = await rig.claim(web());
    await rig.until(job, 'up');
    await rig.store.delete(keys.instance('a', 'web.hello', job));
    await rig.clock.advance(4_900);
    expect(await instanceOf(job)).toBeUndefined();
    for (let i = 0; i < 20 && !(await instanceOf(job)); i++) await rig.clock.advance(10);
    const again = await instanceOf(job);
    expect(again).toBeDefined();
    await rig.clock.advance(100);
    expect((await rig.status(job))?.registeredRevision).toBe(again?.modRevision);
  });

  it('given a record of ours that is removed before a watch told of it, then the next list tells, and it is written again', async () => {
    rig.boot();
    const job = await rig.claim(web());
    await rig.until(job, 'up');
    await rig.store.delete(keys.instance('a', 'web.hello', job));
    await rig.clock.advance(4_990);
    // The record is written again while nothing is watched, and is gone before the list.
    rig.agentStore.dropWatches();
    for (let i = 0; i < 20 && !(await instanceOf(job)); i++) await rig.clock.advance(1);
    await rig.store.delete(keys.instance('a', 'web.hello', job));
    await rig.clock.advance(6_000);
    expect(await instanceOf(job)).toBeDefined();
  });

  it('given lost answers of writes, then the job is up all the same, once', async () => {
    rig.boot();
    rig.agentStore.loseAnswers(3);
    const job = await rig.claim(web());
    await rig.until(job, 'up');
    expect(count('create')).toBe(1);
  });
});

describe('omni jobs', () => {
  it('given omni jobs, then each is claimed once for this host and started, also when an answer is lost', async () => {
    await rig.store.put(
      keys.omni('router'),
      JSON.stringify({ name: 'router', on: 'all', template: hashes.worker, order: 2 }),
    );
    await rig.store.put(
      keys.omni('sampi'),
      JSON.stringify({ name: 'sampi', on: 'control', template: hashes.worker, order: 1 }),
    );
    rig.loseTransactions = 2;
    // The watch tells nothing of the claims until the agent has tried again.
    const { watch } = rig.agentStore;
    rig.agentStore.watch = (prefix, from, handler) => {
      if (prefix !== keys.claimsAt('a')) return watch.call(rig.agentStore, prefix, from, handler);
      return { close: () => handler.onEnd('closed'), requestProgress: () => handler.onAlive?.() };
    };
    rig.boot();
    await rig.clock.advance(20_000);
    const { entries } = await rig.store.list(keys.claimsAt('a'));
    expect(entries.map((e) => (JSON.parse(e.value) as { o: string }).o).sort()).toEqual([
      'omni/router',
      'omni/sampi',
    ]);
    expect(count('create')).toBe(2);
    await rig.clock.advance(60_000);
    expect((await rig.store.list(keys.claimsAt('a'))).entries).toHaveLength(2);
  });
});

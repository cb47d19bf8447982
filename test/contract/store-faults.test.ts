// What becomes of clients when etcd is killed, frozen, compacted or loses its majority.
import { afterEach, describe, expect, it } from 'vitest';
import { campaign, type Leadership } from '../../src/lib/store/election.js';
import { fencedTxn } from '../../src/lib/store/fenced.js';
import { createInformer, type Informer } from '../../src/lib/store/informer.js';
import { EtcdStore, type EtcdOptions } from '../../src/lib/store/etcd.js';
import { openSession } from '../../src/lib/store/session.js';
import { isFlynnError } from '../../src/lib/api/errors.js';
import { systemClock as clock } from '../../src/lib/util/clock.js';
import { cryptoRng } from '../../src/lib/util/rng.js';
import { retry } from '../../src/lib/util/retry.js';
import { freePort, startEtcd, startEtcdCluster, type EtcdServer } from '../fakes/etcd-server.js';
import { makeCerts } from '../fakes/test-certs.js';
import { eventually } from './store.suite.js';

const undo: (() => Promise<unknown> | void)[] = [];
afterEach(async () => {
  for (const fn of undo.splice(0).reverse()) await fn();
});

const servers = async (size: number): Promise<EtcdServer[]> => {
  const all = await startEtcdCluster(size);
  undo.push(() => Promise.all(all.map((s) => s.stop())));
  return all;
};
const client = (opts: EtcdOptions): EtcdStore => {
  const store = new EtcdStore(opts);
  undo.push(() => store.close());
  return store;
};
const informer = (store: EtcdStore, prefix: string): Informer<string> => {
  const stop = new AbortController();
  undo.push(() => stop.abort(new Error('the test is over')));
  const made = createInformer({ store, prefix, parse: (_k, v) => v, clock });
  made.start(stop.signal);
  return made;
};
/** The code a call fails with. */
const refusal = (call: Promise<unknown>): Promise<string> =>
  call.then(
    () => 'done',
    (error: unknown) => (isFlynnError(error) ? error.code : 'other'),
  );
/** Repeats what failed until it works, 20 s at most. */
const stubborn = <T>(work: () => Promise<T>): Promise<T> =>
  retry(work, { clock, rng: cryptoRng, deadlineMs: 20_000, baseMs: 20, maxMs: 100 });

describe('given an informer', () => {
  it('when etcd is killed and started again while keys change, then no change is lost and no item was dropped meanwhile', async () => {
    const [server] = (await servers(1)) as [EtcdServer];
    const writer = client({ endpoints: [server.url] });
    for (let i = 0; i < 50; i++) await writer.put(`j/${i}`, '0');
    const view = informer(client({ endpoints: [server.url] }), 'j/');
    await view.ready;
    let smallest = view.items().size;
    view.onChange(() => (smallest = Math.min(smallest, view.items().size)));

    const expected = new Map([...view.items()].map(([key, item]) => [key, item.value]));
    let down = false;
    for (let n = 1; n <= 300; n++) {
      if (n === 100 || n === 200) {
        down = true;
        await server.kill();
        await eventually(() => !view.synced, 'the informer notices');
        expect(view.items().size).toBe(50);
        await server.start();
      }
      const key = `j/${n % 50}`;
      await stubborn(() => writer.put(key, String(n)));
      expected.set(key, String(n));
      if (down) await eventually(() => view.synced, 'the informer is back');
      down = false;
    }
    const last = await stubborn(() => writer.delete('j/0'));
    expected.delete('j/0');
    await eventually(() => view.revision >= last.revision, 'the last revision');
    expect(new Map([...view.items()].map(([key, item]) => [key, item.value]))).toEqual(expected);
    expect(smallest).toBe(49);
  });

  it('when history is compacted between its list and its watch, then it lists again and finds the deletion', async () => {
    const [server] = (await servers(1)) as [EtcdServer];
    const writer = client({ endpoints: [server.url] });
    await writer.put('j/a', '1');
    await writer.put('j/b', '1');
    const store = client({ endpoints: [server.url] });
    let lists = 0;
    const stop = new AbortController();
    undo.push(() => stop.abort(new Error('the test is over')));
    const view = createInformer({
      prefix: 'j/',
      parse: (_k, v) => v,
      clock,
      store: {
        watch: (...args) => store.watch(...args),
        list: async (...args) => {
          const answer = await store.list(...args);
          if (++lists === 1) {
            await writer.delete('j/a');
            await writer.compact((await writer.put('j/c', '1')).revision);
          }
          return answer;
        },
      },
    });
    view.start(stop.signal);
    await view.ready;
    expect([...view.items().keys()].sort()).toEqual(['j/a', 'j/b']);
    await eventually(() => lists === 2 && view.synced, 'the second list');
    expect([...view.items().keys()].sort()).toEqual(['j/b', 'j/c']);
  });

  it('when etcd freezes, then the view goes stale, stays whole, and recovers', async () => {
    const [server] = (await servers(1)) as [EtcdServer];
    const writer = client({ endpoints: [server.url] });
    await writer.put('j/a', '1');
    const view = informer(client({ endpoints: [server.url] }), 'j/');
    await view.ready;
    server.freeze();
    const frozenAt = clock.mono();
    // The connection stood, so the write may have reached it: nobody can say. Once it is known to be gone, nothing is sent.
    await expect(writer.put('j/a', '1')).rejects.toMatchObject({ code: 'ambiguous' });
    await eventually(() => !view.synced, 'the freeze is noticed', 5000);
    expect(clock.mono() - frozenAt).toBeLessThan(4000);
    expect(view.items().size).toBe(1);
    await eventually(
      async () => (await refusal(writer.put('j/a', '1'))) === 'unreachable',
      'the connection is given up',
    );
    server.thaw();
    await stubborn(() => writer.put('j/b', '1'));
    await eventually(() => view.synced && view.items().size === 2, 'the recovery');
  });
});

describe('given a session of 2 s', () => {
  it('when etcd freezes, then the session is over no later than TTL after the last keepalive, before its keys can go', async () => {
    const [server] = (await servers(1)) as [EtcdServer];
    const store = client({ endpoints: [server.url] });
    const session = await openSession({ store, clock, ttlSeconds: 2 });
    await clock.sleep(700);
    const before = session.endsAt();
    server.freeze();
    const frozenAt = clock.mono();
    await eventually(() => session.signal.aborted, 'the loss', 4000);
    const after = clock.mono() - frozenAt;
    server.thaw();
    expect(session.ended).toBe('expired');
    expect(before - frozenAt).toBeGreaterThan(0);
    expect(after).toBeLessThan(2000);
    expect(after).toBeGreaterThan(1000);
  });
});

describe('given two candidates that both write as fast as they can', () => {
  it('when leases are revoked and etcd is frozen and killed, then epochs of passed writes never go back', async () => {
    const [server] = (await servers(1)) as [EtcdServer];
    const passed: { epoch: number; revision: number }[] = [];
    const leaders = new Set<string>();
    const stop = new AbortController();
    const admin = client({ endpoints: [server.url] });

    // Each goes on writing with its old guard after it lost, as a leader does that has not heard of it.
    const writeOn = async (store: EtcdStore, leader: Leadership): Promise<void> => {
      while (!stop.signal.aborted) {
        try {
          const inner = {
            compare: [],
            then: [{ op: 'put', key: 'state', value: String(leader.epoch) } as const],
          };
          const { revision } = await fencedTxn(store, [leader.guard()], inner);
          passed.push({ epoch: leader.epoch, revision });
        } catch (error) {
          if (isFlynnError(error, 'fenced')) return;
          if (!isFlynnError(error)) throw error;
        }
        await clock.sleep(2);
      }
    };
    const candidate = async (value: string): Promise<void> => {
      const store = client({ endpoints: [server.url] });
      while (!stop.signal.aborted) {
        try {
          const session = await openSession({ store, clock, ttlSeconds: 2 });
          const leader = await campaign({ store, session, clock, name: 'x', value, signal: stop.signal });
          leaders.add(leader.key);
          await writeOn(store, leader);
          await session.close();
        } catch (error) {
          if (!isFlynnError(error) && !stop.signal.aborted) throw error;
          await clock.sleep(50);
        }
      }
    };
    const both = Promise.all([candidate('a'), candidate('b')]);
    const revokeLeader = async (): Promise<void> => {
      const { entries } = await admin.list('elections/x/');
      for (const entry of entries) if (entry.lease) await admin.revoke(entry.lease);
    };
    for (let i = 0; i < 5; i++) {
      await clock.sleep(200);
      await stubborn(revokeLeader);
    }
    server.freeze();
    await clock.sleep(1200);
    server.thaw();
    await clock.sleep(500);
    await server.kill();
    await server.start();
    const before = passed.length;
    await eventually(() => passed.length > before + 20, 'writes go on');
    stop.abort(new Error('the test is over'));
    await both;

    const epochs = passed.sort((x, y) => x.revision - y.revision).map((w) => w.epoch);
    expect(epochs).toEqual([...epochs].sort((x, y) => x - y));
    expect(new Set(epochs).size).toBeGreaterThanOrEqual(4);
    expect(leaders.size).toBeGreaterThanOrEqual(4);
    expect(new Set(passed.map((w) => w.revision)).size).toBe(passed.length);
  });
});

describe('given three members', () => {
  it('when the one in use is killed, then reads and watches go on at the next, and a lost majority is named', async () => {
    const all = await servers(3);
    const store = client({ endpoints: all.map((s) => s.url) });
    await store.put('j/a', '1');
    const view = informer(client({ endpoints: all.map((s) => s.url) }), 'j/');
    await view.ready;

    await all[0]?.kill();
    expect((await stubborn(() => store.get('j/a')))?.value).toBe('1');
    const { revision } = await stubborn(() => store.put('j/b', '2'));
    await eventually(() => view.revision >= revision && view.synced, 'the informer follows');
    expect((await stubborn(() => store.status())).endpoint).toBe(all[1]?.url);

    await all[1]?.kill();
    await eventually(
      async () => (await refusal(store.put('j/c', '3'))) === 'no_quorum',
      'the remaining member refuses for want of a leader',
    );
    await expect(store.get('j/a')).rejects.toMatchObject({ code: 'no_quorum' });
    expect((await store.get('j/a', { serializable: true }))?.value).toBe('1');
    expect(view.items().size).toBe(2);
    await eventually(() => !view.synced, 'a watch on a member without a leader ends');

    await all[1]?.start();
    await stubborn(() => store.put('j/d', '4'));
    await eventually(() => view.items().has('j/d') && view.synced, 'the informer is back');
  });
});

describe('given a cluster that grows', () => {
  it('when a learner is added, then it is listed, cannot be promoted before it caught up, and can be removed twice', async () => {
    const [server] = (await servers(1)) as [EtcdServer];
    const store = client({ endpoints: [server.url] });
    const added = await store.addMember([`http://127.0.0.1:${await freePort()}`]);
    expect((await store.members()).find((m) => m.id === added.id)).toMatchObject({ learner: true, name: '' });
    await expect(store.promoteMember(added.id)).rejects.toMatchObject({ code: 'conflict' });
    await store.removeMember(added.id);
    await store.removeMember(added.id);
    expect(await store.members()).toHaveLength(1);
    await store.defragment(server.url);
    await store.disarm();
  });
});

describe('given an etcd that wants client certificates', () => {
  it('when a client has one, then it is served, and otherwise not', async () => {
    const certs = await makeCerts();
    const server = await startEtcd(certs);
    undo.push(() => server.stop());
    const store = client({ endpoints: [server.url], tls: certs.client });
    await store.put('a', '1');
    expect((await store.get('a'))?.value).toBe('1');
    const named = client({ endpoints: [server.url], tls: { ...certs.client, serverName: 'etcd.test' } });
    expect((await named.get('a'))?.value).toBe('1');
    const misnamed = client({ endpoints: [server.url], tls: { ...certs.client, serverName: 'else.test' } });
    await expect(misnamed.get('a')).rejects.toMatchObject({ code: 'unreachable' });
    const other = client({ endpoints: [server.url], tls: (await makeCerts()).client });
    await expect(other.get('a')).rejects.toMatchObject({ code: 'unreachable' });
  });
});

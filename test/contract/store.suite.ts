// What every Store must do: one suite, run on the fake and on a real etcd.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { campaign, type Leadership } from '../../src/lib/store/election.js';
import { fencedTxn } from '../../src/lib/store/fenced.js';
import { createInformer } from '../../src/lib/store/informer.js';
import type {
  Op,
  Store,
  StoreMaintenance,
  Txn,
  Watch,
  WatchEndReason,
  WatchEvent,
} from '../../src/lib/store/port.js';
import { openSession } from '../../src/lib/store/session.js';
import { systemClock as clock } from '../../src/lib/util/clock.js';
import { poll } from '../../src/lib/util/retry.js';

/** A store under test and its undoing. */
export interface StoreUnderTest {
  store: Store & StoreMaintenance;
  /** A second client of the same store. */
  other: Store;
  end(): Promise<void>;
}

let round = 0;

/** Waits until the condition holds, 10 s at most. */
export const eventually = (
  condition: () => boolean | Promise<boolean>,
  what: string,
  timeoutMs = 10_000,
): Promise<true> =>
  poll(clock, async () => ((await condition()) ? true : undefined), { timeoutMs, intervalMs: 10, what });

/** Collects what a watch tells. */
export const record = (store: Store, prefix: string, from: number) => {
  const seen: { events: WatchEvent[]; ends: WatchEndReason[]; batches: number[]; alive: number } = {
    events: [],
    ends: [],
    batches: [],
    alive: 0,
  };
  const watch: Watch = store.watch(prefix, from, {
    onEvents: (events, revision) => {
      seen.events.push(...events);
      seen.batches.push(revision);
    },
    onAlive: () => void (seen.alive += 1),
    onEnd: (reason) => void seen.ends.push(reason),
  });
  return { ...watch, seen };
};

/** Defines the suite for one kind of store. */
export const storeContract = (name: string, open: () => Promise<StoreUnderTest>): void => {
  describe(`store contract: ${name}`, () => {
    let sut: StoreUnderTest;
    let store: Store & StoreMaintenance;
    let p: string;
    const stop = new Set<AbortController>();
    const signal = (): AbortSignal => {
      const controller = new AbortController();
      stop.add(controller);
      return controller.signal;
    };

    beforeEach(async () => {
      sut = await open();
      store = sut.store;
      p = `t${++round}/`;
    });
    afterEach(async () => {
      for (const controller of stop) controller.abort(new Error('the test is over'));
      stop.clear();
      await sut.end();
    });

    describe('keys', () => {
      it('given no key, when it is read, then there is none', async () => {
        expect(await store.get(`${p}none`)).toBeUndefined();
        expect((await store.list(`${p}none`)).entries).toEqual([]);
      });

      it('given a put, when it is put again, then creation stays and modification and version move', async () => {
        const first = await store.put(`${p}a`, 'one');
        const second = await store.put(`${p}a`, 'zwei ✓');
        expect(second.revision).toBeGreaterThan(first.revision);
        expect(await store.get(`${p}a`)).toEqual({
          key: `${p}a`,
          value: 'zwei ✓',
          createRevision: first.revision,
          modRevision: second.revision,
          version: 2,
        });
        expect((await store.get(`${p}a`, { revision: first.revision }))?.value).toBe('one');
      });

      it('given a key and one that begins like it, when one is deleted, then the other stays', async () => {
        await store.put(`${p}a`, '1');
        await store.put(`${p}ab`, '2');
        expect((await store.delete(`${p}a`)).deleted).toBe(1);
        expect((await store.delete(`${p}a`)).deleted).toBe(0);
        expect(await store.get(`${p}a`)).toBeUndefined();
        expect((await store.list(p)).entries.map((e) => e.key)).toEqual([`${p}ab`]);
      });

      it('given a deleted key, when it is put again, then it is born anew', async () => {
        await store.put(`${p}a`, '1');
        await store.delete(`${p}a`);
        const { revision } = await store.put(`${p}a`, '2');
        expect(await store.get(`${p}a`)).toMatchObject({ createRevision: revision, version: 1 });
      });

      it('given 5,000 keys, when they are listed in pages while one changes, then all come once, in order, of one revision', async () => {
        const keys = Array.from({ length: 5000 }, (_, i) => `${p}k${String(i).padStart(5, '0')}`);
        for (let i = 0; i < keys.length; i += 100) {
          await store.txn({
            compare: [],
            then: keys.slice(i, i + 100).map((key) => ({ op: 'put', key, value: 'x'.repeat(200) })),
          });
        }
        const listing = store.list(p, { pageSize: 500 });
        const changing = store.put(`${p}k04999`, 'changed');
        const { entries, revision } = await listing;
        await changing;
        expect(entries.map((e) => e.key)).toEqual(keys);
        expect(Math.max(...entries.map((e) => e.modRevision))).toBeLessThanOrEqual(revision);
        expect((await store.list(p, { limit: 7, keysOnly: true })).entries.map((e) => e.value)).toEqual(
          Array(7).fill(''),
        );
        const rest = await store.list(p, { after: keys[4990], revision });
        expect(rest.entries.map((e) => e.key)).toEqual(keys.slice(4991));
      });

      it('given a compaction, when an older revision is read, then the error says compacted', async () => {
        const { revision } = await store.put(`${p}a`, '1');
        const later = await store.put(`${p}a`, '2');
        await store.compact(later.revision);
        await expect(store.get(`${p}a`, { revision })).rejects.toMatchObject({ code: 'compacted' });
        await expect(store.list(p, { revision })).rejects.toMatchObject({ code: 'compacted' });
        expect((await store.get(`${p}a`))?.value).toBe('2');
      });
    });

    describe('transactions', () => {
      it('given every kind of compare, when it holds or not, then the right branch is carried out', async () => {
        const { revision } = await store.put(`${p}a`, 'v');
        const ask = async (compare: Txn['compare']): Promise<boolean> =>
          (await store.txn({ compare, then: [] })).succeeded;
        const a = `${p}a`;
        expect(await ask([{ key: a, target: 'create', op: '=', value: revision }])).toBe(true);
        expect(await ask([{ key: a, target: 'mod', op: '<', value: revision }])).toBe(false);
        expect(await ask([{ key: a, target: 'version', op: '>', value: 0 }])).toBe(true);
        expect(await ask([{ key: a, target: 'value', op: '!=', value: 'w' }])).toBe(true);
        expect(await ask([{ key: `${p}none`, target: 'create', op: '=', value: 0 }])).toBe(true);
        expect(await ask([{ key: `${p}none`, target: 'value', op: '!=', value: 'w' }])).toBe(false);
      });

      it('given nested transactions, when one child conflicts, then it alone fails and the outer answer says success', async () => {
        await store.put(`${p}h1/book`, 'b1');
        await store.put(`${p}h2/book`, 'b2');
        const child = (h: string, version: number): Txn => ({
          compare: [{ key: `${p}${h}/book`, target: 'version', op: '=', value: version }],
          then: [
            { op: 'put', key: `${p}${h}/book`, value: 'new' },
            { op: 'put', key: `${p}${h}/claim`, value: 'c' },
          ],
          else: [{ op: 'get', key: `${p}${h}/book` }],
        });
        const answer = await store.txn({
          compare: [],
          then: [
            { op: 'txn', txn: child('h1', 1) },
            { op: 'txn', txn: child('h2', 7) },
          ],
        });
        expect(answer.succeeded).toBe(true);
        const [one, two] = answer.results.map((r) => (r.op === 'txn' ? r.result : undefined));
        expect(one?.succeeded).toBe(true);
        expect(two?.succeeded).toBe(false);
        const book = two?.results[0];
        expect(book?.op === 'get' && book.entries[0]?.value).toBe('b2');
        expect(await store.get(`${p}h1/claim`)).toMatchObject({ modRevision: answer.revision });
        expect(await store.get(`${p}h2/claim`)).toBeUndefined();
      });

      it('given a range deletion and reads in one transaction, when carried out, then later operations see earlier ones', async () => {
        await store.put(`${p}x/1`, '1');
        await store.put(`${p}x/2`, '2');
        const { results, revision } = await store.txn({
          compare: [],
          then: [
            { op: 'get', key: `${p}x/`, prefix: true, limit: 1 },
            { op: 'delete', key: `${p}x/`, prefix: true },
            { op: 'get', key: `${p}x/`, prefix: true },
            { op: 'put', key: `${p}y`, value: '3' },
            { op: 'get', key: `${p}y` },
          ],
        });
        expect(results[0]).toMatchObject({ op: 'get', more: true, entries: [{ key: `${p}x/1` }] });
        expect(results[1]).toEqual({ op: 'delete', deleted: 2 });
        expect(results[2]).toMatchObject({ entries: [], more: false });
        expect(results[4]).toMatchObject({ entries: [{ value: '3', modRevision: revision }] });
      });

      it('given compares of a child on what a sibling writes, when carried out, then they see the state before', async () => {
        const { results } = await store.txn({
          compare: [],
          then: [
            { op: 'put', key: `${p}a`, value: '1' },
            {
              op: 'txn',
              txn: { compare: [{ key: `${p}a`, target: 'create', op: '=', value: 0 }], then: [] },
            },
          ],
        });
        expect(results[1]).toMatchObject({ op: 'txn', result: { succeeded: true } });
      });

      it('given one key written twice, or 129 operations, when asked for, then it is invalid and nothing is written', async () => {
        const put = { op: 'put', key: `${p}a`, value: '1' } as const;
        await expect(store.txn({ compare: [], then: [put, put] })).rejects.toMatchObject({ code: 'invalid' });
        const nested: Op = { op: 'txn', txn: { compare: [], then: [put] } };
        await expect(store.txn({ compare: [], then: [nested, put] })).rejects.toMatchObject({
          code: 'invalid',
        });
        const overlapping = { op: 'delete', key: p, prefix: true } as const;
        await expect(store.txn({ compare: [], then: [overlapping, put] })).rejects.toMatchObject({
          code: 'invalid',
        });
        const many = Array.from(
          { length: 129 },
          (_, i) => ({ op: 'put', key: `${p}${i}`, value: '' }) as const,
        );
        await expect(store.txn({ compare: [], then: many })).rejects.toMatchObject({ code: 'invalid' });
        expect((await store.list(p)).entries).toEqual([]);
        await store.txn({ compare: [], then: many.slice(1) });
        expect((await store.list(p)).entries).toHaveLength(128);
      });

      it('given a lease that does not exist, when a key is put on it, then not_found', async () => {
        await expect(store.put(`${p}a`, '1', { lease: '7fff' })).rejects.toMatchObject({ code: 'not_found' });
      });
    });

    describe('watches', () => {
      it('given a revision in the past, when watched from it, then everything since comes in order, and no other prefix', async () => {
        const { revision } = await store.put(`${p}a`, '1');
        await store.put(`other${p}`, 'x');
        await store.put(`${p}a`, '2');
        await store.delete(`${p}a`);
        const { seen, close } = record(store, p, revision);
        await store.put(`${p}b`, '3');
        await eventually(() => seen.events.length >= 4, 'four events');
        expect(
          seen.events.map((e) => (e.type === 'put' ? `${e.key}=${e.entry.value}` : `-${e.key}`)),
        ).toEqual([`${p}a=1`, `${p}a=2`, `-${p}a`, `${p}b=3`]);
        close();
        await eventually(() => seen.ends.length > 0, 'the end');
        expect(seen.ends).toEqual(['closed']);
        await store.put(`${p}c`, '4');
        expect(seen.events).toHaveLength(4);
      });

      it('given a transaction of many keys, when watched, then its revision comes in one batch', async () => {
        const { revision } = await store.put(`${p}start`, '');
        const { seen } = record(store, `${p}k`, revision + 1);
        const done = await store.txn({
          compare: [],
          then: Array.from({ length: 100 }, (_, i) => ({
            op: 'put',
            key: `${p}k${i}`,
            value: 'x'.repeat(5000),
          })),
        });
        await eventually(() => seen.events.length >= 100, 'all events');
        expect(seen.batches).toEqual([done.revision]);
      });

      it('given a compacted revision, when watched from before it, then the watch ends as compacted', async () => {
        const { revision } = await store.put(`${p}a`, '1');
        await store.put(`${p}a`, '2');
        await store.compact((await store.put(`${p}a`, '3')).revision);
        const { seen } = record(store, p, revision);
        await eventually(() => seen.ends.length > 0, 'the end');
        expect(seen.ends).toEqual(['compacted']);
        expect(seen.events).toEqual([]);
      });

      it('given a quiet watch, when a sign of life is asked for, then it comes', async () => {
        const watch = record(store, p, 1 + (await store.put(`${p}a`, '')).revision);
        await eventually(() => watch.seen.alive >= 1, 'the confirmation');
        const before = watch.seen.alive;
        watch.requestProgress();
        await eventually(() => watch.seen.alive > before, 'the sign of life');
      });

      it('given a watch, when the store is closed, then it ends as closed and calls fail as unreachable', async () => {
        const { seen } = record(sut.other, p, 1 + (await store.put(`${p}a`, '')).revision);
        await sut.other.close();
        await eventually(() => seen.ends.length > 0, 'the end');
        expect(seen.ends).toEqual(['closed']);
        await expect(sut.other.get(`${p}a`)).rejects.toMatchObject({ code: 'unreachable' });
      });
    });

    describe('leases', () => {
      it('given keys on a lease, when it is revoked, then they go, and a keepalive finds nothing', async () => {
        const lease = await store.grant(10);
        await store.put(`${p}a`, '1', { lease });
        await store.put(`${p}b`, '2');
        expect(await store.get(`${p}a`)).toMatchObject({ lease });
        expect(await store.keepAliveOnce(lease)).toBe(10);
        await store.revoke(lease);
        await store.revoke(lease);
        expect((await store.list(p)).entries.map((e) => e.key)).toEqual([`${p}b`]);
        await expect(store.keepAliveOnce(lease)).rejects.toMatchObject({ code: 'not_found' });
      });

      it('given a lease of 2 s, when it is not renewed, then its keys go and a watch sees it', async () => {
        const lease = await store.grant(2);
        const { revision } = await store.put(`${p}a`, '1', { lease });
        const { seen } = record(store, p, revision + 1);
        await eventually(() => seen.events.length > 0, 'the deletion');
        expect(seen.events[0]).toMatchObject({ type: 'delete', key: `${p}a` });
      });

      it('given a session, when longer than its TTL passes, then it is alive, and closing it lets its keys go', async () => {
        const session = await openSession({ store, clock, ttlSeconds: 2 });
        await store.put(`${p}a`, '1', { lease: session.leaseId });
        await clock.sleep(3000);
        expect(session.alive()).toBe(true);
        expect(await store.get(`${p}a`)).toBeDefined();
        await session.close();
        expect(session.ended).toBe('closed');
        expect(await store.get(`${p}a`)).toBeUndefined();
      });

      it('given a session, when its lease is revoked by another, then it is lost at the next keepalive', async () => {
        const session = await openSession({ store, clock, ttlSeconds: 2 });
        await sut.other.revoke(session.leaseId);
        await eventually(() => !session.alive(), 'the loss', 3000);
        expect(session.ended).toBe('gone');
      });
    });

    describe('elections', () => {
      const candidate = async (
        on: Store,
        value: string,
      ): Promise<{ won: Promise<Leadership>; leave(): Promise<void> }> => {
        const session = await openSession({ store: on, clock, ttlSeconds: 5 });
        const won = campaign({ store: on, session, clock, name: p.slice(0, -1), value });
        won.catch(() => undefined);
        return { won, leave: () => session.close() };
      };

      it('given two candidates, when the leader leaves, then the other leads with a higher epoch', async () => {
        const one = await candidate(store, 'one');
        const first = await one.won;
        const two = await candidate(sut.other, 'two');
        expect(first.isLeader()).toBe(true);
        const early = await Promise.race([
          two.won.then(() => 'both lead'),
          clock.sleep(300).then(() => 'one leads'),
        ]);
        expect(early).toBe('one leads');
        await one.leave();
        expect(first.isLeader()).toBe(false);
        const second = await two.won;
        expect(second.epoch).toBeGreaterThan(first.epoch);
        await two.leave();
      });

      it('given a leader whose lease was revoked behind its back, when both write, then only the new one passes', async () => {
        const one = await candidate(store, 'one');
        const first = await one.won;
        const two = await candidate(sut.other, 'two');
        const write = (l: Leadership, on: Store) =>
          fencedTxn(on, [l.guard()], {
            compare: [],
            then: [{ op: 'put', key: `${p}by`, value: String(l.epoch) }],
          });
        expect((await write(first, store)).succeeded).toBe(true);
        await sut.other.revoke(first.key.slice(first.key.lastIndexOf('/') + 1));
        const second = await two.won;
        await expect(write(first, store)).rejects.toMatchObject({ code: 'fenced' });
        expect((await write(second, sut.other)).succeeded).toBe(true);
        expect((await store.get(`${p}by`))?.value).toBe(String(second.epoch));
        await eventually(() => first.signal.aborted, 'the old leader hears of it');
        await two.leave();
      });

      it('given a leader, when the inner transaction conflicts, then that is no fencing', async () => {
        const one = await candidate(store, 'one');
        const leader = await one.won;
        const conflict: Txn = {
          compare: [{ key: `${p}none`, target: 'create', op: '>', value: 0 }],
          then: [],
          else: [{ op: 'get', key: `${p}none` }],
        };
        expect((await fencedTxn(store, [leader.guard()], conflict)).succeeded).toBe(false);
        await leader.resign();
        await expect(fencedTxn(store, [leader.guard()], conflict)).rejects.toMatchObject({ code: 'fenced' });
        await one.leave();
      });
    });

    describe('informers', () => {
      it('given keys, when an informer starts and they change, then it follows', async () => {
        await store.put(`${p}a`, '1');
        await store.put(`${p}bad`, 'nonsense');
        const parse = (_key: string, value: string): number | undefined =>
          /^\d+$/.test(value) ? Number(value) : undefined;
        const informer = createInformer({ store, prefix: p, parse, clock });
        const batches: string[][] = [];
        informer.onChange((keys) => batches.push([...keys]));
        expect(informer.stale()).toBe(Infinity);
        informer.start(signal());
        await informer.ready;
        expect(informer.get(`${p}a`)?.value).toBe(1);
        expect([...informer.unparsable()]).toEqual([`${p}bad`]);
        await store.put(`${p}bad`, '7');
        const { revision } = await store.delete(`${p}a`);
        await eventually(() => informer.revision >= revision, 'the deletion');
        expect([...informer.items()].map(([k, i]) => [k, i.value])).toEqual([[`${p}bad`, 7]]);
        expect(informer.unparsable().size).toBe(0);
        expect(batches.flat()).toEqual([`${p}a`, `${p}bad`, `${p}a`]);
        expect(informer.synced).toBe(true);
        expect(informer.stale()).toBeLessThan(5000);
      });
    });

    it('given the store, when its state is asked for, then there is a leader and a member', async () => {
      const status = await store.status();
      expect(status.leader).toBeTruthy();
      expect(status.alarms).toEqual([]);
      expect(status.revision).toBeGreaterThan(0);
      expect((await store.members()).map((m) => m.id)).toContain(status.memberId);
    });
  });
};

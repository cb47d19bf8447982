// Informers on a store that fails on demand and a clock that stands still.
import { afterEach, describe, expect, it } from 'vitest';
import { createInformer, type Informer, type InformerOptions } from '../../../src/lib/store/informer.js';
import { seededRng } from '../../../src/lib/util/rng.js';
import { fakeClock } from '../../fakes/clock.js';
import { fakeEtcd, type FakeStore } from '../../fakes/store.js';

const stops: AbortController[] = [];
afterEach(() => stops.splice(0).forEach((s) => s.abort(new Error('the test is over'))));

const setUp = (opts: Partial<InformerOptions<string>> = {}) => {
  const clock = fakeClock();
  const db = fakeEtcd(clock);
  const [writer, store] = [db.client(), db.client()] as [FakeStore, FakeStore];
  const make = (): Informer<string> => {
    const stop = new AbortController();
    stops.push(stop);
    const informer = createInformer<string>({
      store,
      prefix: 'j/',
      parse: (_key, value) => (value === 'bad' ? undefined : value),
      clock,
      rng: seededRng(1),
      ...opts,
    });
    informer.start(stop.signal);
    return informer;
  };
  return { clock, db, writer, store, make };
};
const state = (informer: Informer<string>): Record<string, string> =>
  Object.fromEntries([...informer.items()].map(([key, item]) => [key, item.value]));

describe('an informer', () => {
  it('given an unreachable store, when it starts, then it is not ready, and is once the store is back', async () => {
    const { clock, writer, store, make } = setUp();
    await writer.put('j/a', '1');
    store.cut();
    const informer = make();
    await clock.advance(10_000);
    expect(informer.synced).toBe(false);
    expect(informer.stale()).toBe(Infinity);
    store.heal();
    await clock.advance(4_000);
    await informer.ready;
    expect(state(informer)).toEqual({ 'j/a': '1' });
  });

  it('given items, when the store goes away, then they stay, stale grows, and the difference is told on return', async () => {
    const { clock, writer, store, make } = setUp();
    await writer.put('j/a', '1');
    await writer.put('j/b', '1');
    const informer = make();
    await clock.settle();
    const told: string[][] = [];
    informer.onChange((keys) => told.push([...keys]));
    store.cut();
    await writer.delete('j/a');
    await writer.put('j/b', '2');
    await writer.put('j/c', '1');
    await clock.advance(60_000);
    expect(state(informer)).toEqual({ 'j/a': '1', 'j/b': '1' });
    expect(informer.synced).toBe(false);
    expect(informer.stale()).toBeGreaterThanOrEqual(60_000);
    expect(told).toEqual([]);
    store.heal();
    await clock.advance(4_000);
    expect(state(informer)).toEqual({ 'j/b': '2', 'j/c': '1' });
    expect(told).toEqual([['j/a', 'j/b', 'j/c']]);
    expect(informer.synced).toBe(true);
  });

  it('given a watch that says nothing any more, when signs of life stay out, then it lists again', async () => {
    const { clock, writer, store, make } = setUp({ livenessMs: 1_000 });
    const informer = make();
    await clock.settle();
    store.cut('silent');
    await writer.put('j/a', '1');
    await clock.advance(5_000);
    expect(informer.synced).toBe(false);
    store.heal();
    await clock.advance(5_000);
    expect(state(informer)).toEqual({ 'j/a': '1' });
  });

  it('given a change right between list and watch, when the informer starts, then it is seen', async () => {
    const { clock, writer, store, make } = setUp();
    await writer.put('j/a', '1');
    const list = store.list.bind(store);
    store.list = async (...args) => {
      const answer = await list(...args);
      await writer.put('j/a', '2');
      return answer;
    };
    const informer = make();
    await clock.settle();
    expect(state(informer)).toEqual({ 'j/a': '2' });
    expect(informer.revision).toBe(3);
  });

  it('given compaction while the watch was down, when it returns, then deletions are found by listing', async () => {
    const { clock, db, writer, store, make } = setUp();
    await writer.put('j/a', '1');
    const informer = make();
    await clock.settle();
    store.cut();
    await writer.delete('j/a');
    await writer.put('j/b', '1');
    db.compact();
    store.heal();
    await clock.advance(4_000);
    expect(state(informer)).toEqual({ 'j/b': '1' });
  });

  it('given a watch that lost an event, when the resync comes, then the view is right again', async () => {
    const { clock, writer, store, make } = setUp({ resyncMs: 10_000 });
    let losing = false;
    const watch = store.watch.bind(store);
    store.watch = (prefix, from, handler) =>
      watch(prefix, from, { ...handler, onEvents: (e, r) => void (losing || handler.onEvents(e, r)) });
    const informer = make();
    await clock.settle();
    losing = true;
    await writer.put('j/a', '1');
    await clock.advance(5_000);
    expect(state(informer)).toEqual({});
    await clock.advance(10_000);
    expect(state(informer)).toEqual({ 'j/a': '1' });
    expect(informer.synced).toBe(true);
  });

  it('given a good value, when a bad one replaces it, then it is kept out, named, and told as a change', async () => {
    const { clock, writer, make } = setUp();
    await writer.put('j/a', '1');
    const informer = make();
    await clock.settle();
    const told: string[] = [];
    informer.onChange((keys) => told.push(...keys));
    await writer.put('j/a', 'bad');
    await writer.put('j/b', 'bad');
    await clock.settle();
    expect(state(informer)).toEqual({});
    expect([...informer.unparsable()]).toEqual(['j/a', 'j/b']);
    expect(told).toEqual(['j/a']);
    await writer.delete('j/b');
    await clock.settle();
    expect([...informer.unparsable()]).toEqual(['j/a']);
  });

  it('given several changes at once, when they come in one batch, then the listener is called once', async () => {
    const { clock, writer, make } = setUp();
    const informer = make();
    await clock.settle();
    const told: number[] = [];
    informer.onChange((keys) => told.push(keys.length));
    informer.onChange(() => {
      throw new Error('a bad listener');
    });
    await writer.txn({ compare: [], then: [1, 2, 3].map((n) => ({ op: 'put', key: `j/${n}`, value: '' })) });
    await clock.settle();
    expect(told).toEqual([3]);
    expect(informer.revision).toBe(2);
  });

  it('given a store that was emptied, when the informer lists it, then the step back is reported before it is taken over', async () => {
    const steps: { from: number; to: number; items: number }[] = [];
    const views: Informer<string>[] = [];
    const { clock, db, writer, make } = setUp({
      onRegress: (from, to) => steps.push({ from, to, items: views[0]?.items().size ?? 0 }),
    });
    await writer.put('j/a', '1');
    await writer.put('j/b', '1');
    const informer = make();
    views.push(informer);
    await clock.settle();
    db.wipe();
    await clock.advance(1_000);
    expect(steps).toEqual([{ from: 3, to: 1, items: 2 }]);
    expect(state(informer)).toEqual({});
  });

  it('given it was never ready, when it is stopped, then ready rejects and no timer is left', async () => {
    const { clock, store, make } = setUp();
    store.cut();
    const informer = make();
    await clock.advance(500);
    stops.at(-1)?.abort(new Error('stopped'));
    await expect(informer.ready).rejects.toThrow('stopped');
    await clock.settle();
    expect(clock.pending).toBe(0);
  });
});

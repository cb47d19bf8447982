// The router's loop with a backend, a store and a clock of the test's own: order, pace and what it never removes.
import { describe, expect, it } from 'vitest';
import type { Consumer } from '../../../src/lib/api/grid.js';
import { FlynnError } from '../../../src/lib/api/errors.js';
import { keys } from '../../../src/lib/api/keys.js';
import type { Applied, DrainState, RouterBackend } from '../../../src/lib/layer1/router/backend.js';
import { ConsumerRecord, type ConsumerState } from '../../../src/lib/layer1/router/consumer.js';
import type { SavedState } from '../../../src/lib/layer1/router/disk.js';
import { beginHold, settleMs, withHold } from '../../../src/lib/layer1/router/hold.js';
import { buildTable, type Desired, type Table } from '../../../src/lib/layer1/router/state.js';
import { Syncer, type View } from '../../../src/lib/layer1/router/syncer.js';
import { seededRng } from '../../../src/lib/util/rng.js';
import { silentLog } from '../../../src/lib/util/log.js';
import { fakeClock } from '../../fakes/clock.js';
import { fakeEtcd } from '../../fakes/store.js';

const tableOf = (...ids: string[]): Table =>
  buildTable(
    [{ domain: 'hello.test', service: 'w' }],
    ids.map((id) => ({ id, host: id[0] ?? '', service: 'w', address: '10.0.0.1', port: 20000 })),
  );
const idsOf = (table: Pick<Table, 'services'> | undefined): string[] =>
  [...(table?.services.values() ?? [])].flat().map((server) => server.id);

class FakeBackend implements RouterBackend {
  applied: Desired[] = [];
  failing = false;
  drained: DrainState = { draining: {}, lingering: 0 };
  died = (): void => undefined;
  apply(desired: Desired): Promise<Applied> {
    if (this.failing) return Promise.reject(new FlynnError({ code: 'failed', message: 'HAProxy is away' }));
    this.applied.push(desired);
    return Promise.resolve({ how: 'runtime', changes: 1 });
  }
  drain(): Promise<DrainState> {
    return this.failing ? Promise.reject(new Error('away')) : Promise.resolve(this.drained);
  }
  onDeath(callback: () => void): void {
    this.died = callback;
  }
  close(): void {}
}

const rig = (last?: SavedState) => {
  const clock = fakeClock();
  const backend = new FakeBackend();
  const store: { view: View | undefined } = { view: undefined };
  const published: (ConsumerState & { at: number })[] = [];
  const saved: { state: SavedState; durable: boolean }[] = [];
  const withdrawn = { count: 0 };
  const suspects = new Map<string, number>();
  const stop = new AbortController();
  const syncer = new Syncer({
    backend,
    view: () => store.view,
    revision: () => store.view?.revision ?? 0,
    suspects: () => suspects,
    publish: (state) => void published.push({ ...state, at: clock.mono() }),
    withdraw: () => void (withdrawn.count += 1),
    save: (state, durable) => {
      saved.push({ state, durable });
      return Promise.resolve();
    },
    last,
    clock,
    log: silentLog,
  });
  const see = (revision: number, ...ids: string[]): void => {
    store.view = {
      table: tableOf(...ids),
      revision,
      registered: new Set(ids.map((id) => id[0] ?? '')),
      hosts: [],
    };
    syncer.poke();
  };
  const done = syncer.run(stop.signal);
  return { clock, backend, store, published, saved, withdrawn, suspects, stop, syncer, see, done };
};

describe('Syncer', () => {
  it('given no view of the store, then the last state serves and nothing is published', async () => {
    const r = rig({ revision: 7, table: tableOf('a1', 'b1'), hosts: [{ name: 'a', address: '10.0.0.1' }] });
    await r.clock.advance(3000);
    expect(idsOf(r.backend.applied[0])).toEqual(['a1', 'b1']);
    expect(r.syncer.hosts()).toEqual([{ name: 'a', address: '10.0.0.1' }]);
    expect(r.published).toEqual([]);
    r.see(9, 'a1');
    await r.clock.advance(100);
    expect(idsOf(r.backend.applied.at(-1))).toEqual(['a1']);
    expect(r.published.at(-1)).toMatchObject({ applied: 9, draining: {} });
    r.stop.abort();
    await r.done;
  });

  it('given a burst of changes, then they are taken together, the state is saved first and the revision told after', async () => {
    const r = rig();
    r.see(1, 'a1');
    await r.clock.advance(200);
    const before = r.backend.applied.length;
    for (let n = 2; n <= 40; n++) {
      r.see(n, 'a1', `a${n}`);
      await r.clock.advance(1);
    }
    await r.clock.advance(100);
    expect(r.backend.applied.length - before).toBeLessThanOrEqual(4);
    expect(r.published.at(-1)?.applied).toBe(40);
    expect(idsOf(r.saved.at(-1)?.state.table)).toEqual(['a1', 'a40']);
    expect(r.saved.at(-1)?.durable).toBe(true);
    r.stop.abort();
    await r.done;
  });

  it('given open requests of a withdrawn instance, then they are told with the revision and followed to zero', async () => {
    const r = rig();
    r.see(1, 'a1', 'a2');
    await r.clock.advance(200);
    r.backend.drained = { draining: { a2: 3 }, lingering: 1 };
    r.see(2, 'a1');
    await r.clock.advance(150);
    expect(r.published.find((p) => p.applied === 2)?.draining).toEqual({ a2: 3 });
    r.backend.drained = { draining: {}, lingering: 1 };
    await r.clock.advance(150);
    expect(r.published.at(-1)).toMatchObject({ applied: 2, draining: {} });
    r.stop.abort();
    await r.done;
  });

  it('given a revision that moves without a change, then it is told within a second or so', async () => {
    const r = rig();
    r.see(1, 'a1');
    await r.clock.advance(200);
    if (r.store.view) r.store.view.revision = 5;
    await r.clock.advance(1200);
    expect(r.published.at(-1)?.applied).toBe(5);
    r.stop.abort();
    await r.done;
  });

  it('given a backend that does not follow, then it is tried again, and the record is withdrawn after 5 s', async () => {
    const r = rig();
    r.see(1, 'a1');
    await r.clock.advance(200);
    r.backend.failing = true;
    r.see(2, 'a1', 'a2');
    await r.clock.advance(4000);
    expect(r.withdrawn.count).toBe(0);
    expect(r.published.at(-1)?.applied).toBe(1);
    await r.clock.advance(8000);
    expect(r.withdrawn.count).toBeGreaterThan(0);
    r.backend.failing = false;
    r.backend.died();
    await r.clock.advance(100);
    expect(r.published.at(-1)?.applied).toBe(2);
    r.stop.abort();
    await r.done;
  });

  it('given a store that comes back older than the last state, then nothing is removed', async () => {
    const r = rig({ revision: 1000, table: tableOf('a1', 'b1'), hosts: [] });
    r.see(3);
    await r.clock.advance(20_000);
    expect(idsOf(r.backend.applied.at(-1))).toEqual(['a1', 'b1']);
    r.see(4, 'a9');
    await r.clock.advance(100);
    expect(idsOf(r.backend.applied.at(-1)).sort()).toEqual(['a1', 'a9', 'b1']);
    r.stop.abort();
    await r.done;
  });
});

describe('withHold', () => {
  it('given hosts that register again, then the held servers of each leave after it has settled', () => {
    const hold = beginHold(tableOf('a1', 'b1'));
    const empty = buildTable([], []);
    const first = withHold(hold, empty, [], 0);
    expect(idsOf(first.table)).toEqual(['a1', 'b1']);
    expect([...first.table.routes.keys()]).toEqual(['hello.test']);
    const second = withHold(first.hold ?? hold, tableOf('a2'), ['a'], 100);
    expect(idsOf(second.table).sort()).toEqual(['a1', 'a2', 'b1']);
    const third = withHold(second.hold ?? hold, tableOf('a2'), ['a'], 100 + settleMs);
    expect(idsOf(third.table).sort()).toEqual(['a2', 'b1']);
    const fourth = withHold(third.hold ?? hold, tableOf('a2', 'b2'), ['a', 'b'], 200 + settleMs);
    const fifth = withHold(fourth.hold ?? hold, tableOf('a2', 'b2'), ['a', 'b'], 200 + 2 * settleMs);
    expect(fifth.hold).toBeUndefined();
    expect(idsOf(fifth.table)).toEqual(['a2', 'b2']);
  });
});

describe('ConsumerRecord', () => {
  it('given many states, then at most 20 writes per second, the last one wins, under a lease that ends with us', async () => {
    const clock = fakeClock();
    const etcd = fakeEtcd(clock);
    const store = etcd.client();
    const stop = new AbortController();
    const record = new ConsumerRecord({ store, clock, log: silentLog, rng: seededRng(1), host: 'a' });
    const done = record.run(stop.signal);
    await clock.advance(10);
    expect(await store.get(keys.consumer('*', 'a'))).toBeUndefined();
    for (let n = 1; n <= 1000; n++) {
      record.publish({ applied: n, draining: {}, suspects: new Map() });
      await clock.advance(1);
    }
    await clock.advance(100);
    expect(store.calls['put']).toBeLessThanOrEqual(22);
    const entry = await store.get(keys.consumer('*', 'a'));
    expect(JSON.parse(entry?.value ?? '')).toEqual({ host: 'a', applied: 1000, draining: {}, suspects: {} });
    expect(entry?.lease).toBeDefined();
    await clock.advance(60_000);
    expect(await store.get(keys.consumer('*', 'a'))).toBeDefined();
    record.withdraw();
    await clock.advance(100);
    expect(await store.get(keys.consumer('*', 'a'))).toBeUndefined();
    record.publish({ applied: 1001, draining: { 'a-1': 2 }, suspects: new Map() });
    await clock.advance(100);
    expect(await store.get(keys.consumer('*', 'a'))).toBeDefined();
    stop.abort();
    await clock.advance(100);
    await done;
    expect(await store.get(keys.consumer('*', 'a'))).toBeUndefined();
  });

  it('given a silent host, then how long it had been silent is told once, counted to the moment of writing', async () => {
    const clock = fakeClock();
    const store = fakeEtcd(clock).client();
    const stop = new AbortController();
    const record = new ConsumerRecord({ store, clock, log: silentLog, rng: seededRng(1), host: 'a' });
    const done = record.run(stop.signal);
    await clock.advance(1_000);
    const publish = () =>
      record.publish({ applied: 1, draining: {}, suspects: new Map([['b', clock.mono() - 600]]) });
    store.cut('refused');
    publish();
    await clock.advance(500);
    store.heal();
    await clock.advance(5_000);
    const told = JSON.parse((await store.get(keys.consumer('*', 'a')))?.value ?? '{}') as Consumer;
    expect(told.suspects['b']).toBeGreaterThanOrEqual(1_000);
    const writes = store.calls['put'];
    publish();
    await clock.advance(5_000);
    expect(store.calls['put']).toBe(writes);
    stop.abort();
    await clock.advance(100);
    await done;
  });

  it('given a store that was away for longer than the lease, then the record comes back', async () => {
    const clock = fakeClock();
    const store = fakeEtcd(clock).client();
    const stop = new AbortController();
    const record = new ConsumerRecord({ store, clock, log: silentLog, rng: seededRng(1), host: 'a' });
    const done = record.run(stop.signal);
    record.publish({ applied: 1, draining: {}, suspects: new Map() });
    await clock.advance(100);
    store.cut('refused');
    await clock.advance(20_000);
    record.publish({ applied: 2, draining: {}, suspects: new Map() });
    store.heal();
    await clock.advance(10_000);
    expect(JSON.parse((await store.get(keys.consumer('*', 'a')))?.value ?? '{}')).toMatchObject({
      applied: 2,
    });
    stop.abort();
    await clock.advance(100);
    await done;
  });
});

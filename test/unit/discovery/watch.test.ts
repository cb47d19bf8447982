// Following a service: what is there, the marker, then changes; late readers are told what is, not what was.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ServiceEvent } from '../../../src/lib/api/discovery.js';
import { keys } from '../../../src/lib/api/keys.js';
import { Directory } from '../../../src/lib/layer0/discovery/directory.js';
import { watchService } from '../../../src/lib/layer0/discovery/watch.js';
import { silentLog } from '../../../src/lib/util/log.js';
import { seededRng } from '../../../src/lib/util/rng.js';
import { fakeClock, type FakeClock } from '../../fakes/clock.js';
import { fakeEtcd, type FakeStore } from '../../fakes/store.js';

let clock: FakeClock;
let store: FakeStore;
let directory: Directory;
let over: AbortController;
beforeEach(async () => {
  over = new AbortController();
  clock = fakeClock();
  store = fakeEtcd(clock).client();
  directory = new Directory({ store, clock, rng: seededRng(1), log: silentLog }, over.signal);
  await directory.ready;
});
afterEach(() => over.abort());

const put = (id: string, port: number) =>
  store.put(keys.instance('a', 'db', id), JSON.stringify({ address: '10.0.0.1', port, since: 1 }));
const gone = (id: string) => store.delete(keys.instance('a', 'db', id));
const short = (event: ServiceEvent): string =>
  event.type === 'up'
    ? `up ${event.instance.port}`
    : event.type === 'down'
      ? `down ${event.id}`
      : event.type === 'leader'
        ? `leader ${event.instance?.port ?? '-'}`
        : event.type;

/** Reads that many events. */
const take = async (events: AsyncGenerator<ServiceEvent>, count: number): Promise<string[]> => {
  const out: string[] = [];
  while (out.length < count) {
    const next = events.next();
    await clock.settle();
    const { value, done } = await next;
    if (done) break;
    out.push(short(value));
  }
  return out;
};

describe('following a service', () => {
  it('given instances, then they come first, the marker after them, and changes from then on', async () => {
    await put('x.1', 1);
    await put('x.2', 2);
    await clock.settle();
    const events = watchService(directory, 'db', over.signal);
    expect(await take(events, 4)).toEqual(['up 1', 'up 2', 'leader 1', 'current']);
    const later = take(events, 3);
    await put('x.3', 3);
    await clock.settle();
    await gone('x.1');
    expect(await later).toEqual(['up 3', 'down x.1', 'leader 2']);
  });

  it('given nobody, then there is no leader, and the marker says that this is all', async () => {
    expect(await take(watchService(directory, 'db', over.signal), 2)).toEqual(['leader -', 'current']);
  });

  it('given a slow reader, then what came and went meanwhile is never told, and nothing is kept for it', async () => {
    const events = watchService(directory, 'db', over.signal);
    await take(events, 2);
    const next = take(events, 2);
    await put('x.0', 9);
    await clock.settle();
    expect(await next).toEqual(['up 9', 'leader 9']);
    for (let i = 1; i < 500; i++) {
      await put(`x.${i}`, i);
      await gone(`x.${i}`);
    }
    await put('x.500', 500);
    await clock.settle();
    expect(await take(events, 1)).toEqual(['up 500']);
  });

  it('given the store is away, then nothing is told to be gone', async () => {
    await put('x.1', 1);
    await clock.settle();
    store.cut();
    await clock.advance(60_000);
    expect(directory.view('db').instances).toHaveLength(1);
  });
});

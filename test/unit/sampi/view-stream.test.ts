// The view as a stream: the whole first, then a marker, then what changes; a slow reader is cut off and told.
import { beforeEach, describe, expect, it } from 'vitest';
import { keys } from '../../../src/lib/api/keys.js';
import { ViewEvent, ViewStreamQuery } from '../../../src/lib/api/sampi.js';
import { silentLog } from '../../../src/lib/appliance/log.js';
import { sampiApi } from '../../../src/lib/layer0/sampi/api.js';
import { createHostBook, putTemplate, releaseClaim, transact } from '../../../src/lib/layer0/sampi/index.js';
import { viewStream } from '../../../src/lib/layer0/sampi/view-stream.js';
import { systemClock } from '../../../src/lib/util/clock.js';
import { cryptoRng } from '../../../src/lib/util/rng.js';
import { ulid } from '../../../src/lib/util/ulid.js';
import { fakeEtcd, type FakeStore } from '../../fakes/store.js';

const ports = { clock: systemClock, rng: cryptoRng };
let store: FakeStore;
let template: string;
let end: AbortController;

async function addHost(name: string): Promise<void> {
  await createHostBook(store, name, { m: 4096, c: 4000 }, ports);
  const info = { name, address: '10.0.0.1', publicAddress: '10.0.0.1', arch: 'amd64', wrapKey: '' };
  await store.put(
    keys.hostInfo(name),
    JSON.stringify({ ...info, cpuMillis: 1, memoryBytes: 1, joinedAt: 0 }),
  );
}

async function book(host: string, owner: string): Promise<string> {
  const job = `${host}-${ulid(Date.now(), cryptoRng)}`;
  const claims = [{ job, template, owner, resources: { memory: 64 << 20, cpu: 10 } }];
  await transact(store, { id: job, hosts: { [host]: { claims } } }, ports);
  return job;
}

const open = (query: object = {}) => viewStream(store, ViewStreamQuery.parse(query), end.signal);
const shown = (event: ViewEvent | undefined): string =>
  event === undefined
    ? 'end'
    : event.type === 'host'
      ? `${event.name} ${event.host.book.jobs}`
      : event.type === 'claim' || event.type === 'claim-gone'
        ? `${event.type} ${event.host}`
        : event.type;

async function take(stream: AsyncGenerator<ViewEvent>, count: number): Promise<string[]> {
  const events: string[] = [];
  while (events.length < count) {
    const { value, done } = await stream.next();
    if (done) break;
    events.push(shown(value as ViewEvent));
  }
  return events;
}

beforeEach(async () => {
  store = fakeEtcd().client();
  end = new AbortController();
  template = (await putTemplate(store, { kind: 'service', image: 'hello:1' })).hash;
  for (const name of ['a', 'b']) await addHost(name);
});

describe('a stream of the view', () => {
  it('tells the hosts, says that this is all, and then every change', async () => {
    const stream = open();
    expect(await take(stream, 3)).toEqual(['a 0', 'b 0', 'current']);
    await book('b', 'x');
    expect(await take(stream, 1)).toEqual(['b 1']);
    await addHost('c');
    expect(await take(stream, 1)).toEqual(['c 0']);
    await store.delete(keys.hostInfo('c'));
    expect(await take(stream, 1)).toEqual(['host-gone']);
    end.abort();
    expect(await take(stream, 1)).toEqual([]);
  });

  it('tells claims of all, of a host or of an owner, and their end', async () => {
    const [first] = [await book('a', 'web/1'), await book('b', 'db')];
    expect((await take(open({ claims: 'all' }), 5)).slice(2)).toEqual(['claim a', 'claim b', 'current']);
    expect((await take(open({ host: 'b' }), 4)).slice(2)).toEqual(['claim b', 'current']);
    const stream = open({ owner: 'web' });
    expect((await take(stream, 4)).slice(2)).toEqual(['claim a', 'current']);
    await book('b', 'db');
    await releaseClaim(store, 'a', first, ports);
    const rest = await take(stream, 3);
    expect(rest.sort()).toEqual(['a 0', 'b 2', 'claim-gone a']);
  });

  it('that begins while jobs are booked misses none', async () => {
    const stream = open({ host: 'a' });
    await stream.next();
    await book('a', 'x');
    const seen = await take(stream, 4);
    expect(seen.filter((event) => event === 'claim a').length).toBe(1);
  });

  it('whose reader is 10,000 changes behind is ended with words', async () => {
    const stream = open();
    await take(stream, 3);
    const value = (await store.get(keys.hostBook('a')))!.value;
    for (let i = 0; i < 101; i++) {
      const then = Array.from({ length: 100 }, (_, n) => ({
        op: 'put' as const,
        key: keys.hostBook(`x${n}`),
        value,
      }));
      await store.txn({ compare: [], then });
    }
    await new Promise((resolve) => setImmediate(resolve));
    await expect(stream.next()).rejects.toMatchObject({ code: 'compacted' });
  });

  it('whose store goes away is ended, not silent', async () => {
    const stream = open();
    await take(stream, 3);
    const next = stream.next();
    store.dropWatches();
    await expect(next).rejects.toMatchObject({ code: 'compacted' });
  });

  it('comes over HTTP as lines that fit the contract, and is refused for a bad question', async () => {
    const api = sampiApi(store, ports, silentLog, () => 'control', end.signal);
    const answer = await api.request('/v1/view/stream');
    expect(answer.headers.get('content-type')).toBe('application/x-ndjson');
    const reader = answer.body!.getReader();
    let text = '';
    while (!text.includes('"current"')) text += Buffer.from((await reader.read()).value!).toString();
    const events = text
      .trim()
      .split('\n')
      .map((line) => ViewEvent.parse(JSON.parse(line)));
    expect(events.map(({ type }) => type)).toEqual(['host', 'host', 'current']);
    await reader.cancel();
    expect((await api.request('/v1/view/stream?host=A_B')).status).toBe(400);
  });
});

// Sampi over HTTP: what it answers, whom it refuses, and that bad input changes nothing.
import { beforeEach, describe, expect, it } from 'vitest';
import type { Hono } from 'hono';
import { keys } from '../../../src/lib/api/keys.js';
import type { Claim } from '../../../src/lib/api/job.js';
import { ClaimsPage, GridView, type HostOutcome } from '../../../src/lib/api/sampi.js';
import { maxSampiBody } from '../../../src/lib/api/sampi-routes.js';
import { silentLog } from '../../../src/lib/appliance/log.js';
import { sampiApi } from '../../../src/lib/layer0/sampi/api.js';
import { createHostBook, putTemplate } from '../../../src/lib/layer0/sampi/index.js';
import { BookCache } from '../../../src/lib/layer0/sampi/load.js';
import { systemClock } from '../../../src/lib/util/clock.js';
import { cryptoRng } from '../../../src/lib/util/rng.js';
import { ulid } from '../../../src/lib/util/ulid.js';
import { fakeEtcd, type FakeStore } from '../../fakes/store.js';

const MiB = 1024 * 1024;
const ports = { clock: systemClock, rng: cryptoRng, books: new BookCache() };
let store: FakeStore;
let api: Hono;
let template: string;

interface Answer {
  status: number;
  body: Record<string, unknown>;
}

async function ask(method: string, path: string, body?: unknown, caller = 'control'): Promise<Answer> {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const answer = await api.request(path, {
    method,
    headers: { 'x-caller': caller },
    ...(body === undefined ? {} : { body: text }),
  });
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
}

const jobOn = (host: string) => `${host}-${ulid(Date.now(), cryptoRng)}`;
const claimOn = (host: string, more: object = {}) => ({
  job: jobOn(host),
  template,
  owner: 'app/hello/1/web',
  resources: { memory: 64 * MiB, cpu: 10 },
  ports: 1,
  ...more,
});
const book = (host: string, claims: object[], id = ulid(Date.now(), cryptoRng)) =>
  ask('POST', '/v1/transactions', { id, hosts: { [host]: { claims } } });
const outcome = ({ body }: Answer, host: string) => (body.hosts as Record<string, HostOutcome>)[host]!;
const everything = async () => (await store.list('')).entries.map(({ key, value }) => [key, value]);

beforeEach(async () => {
  store = fakeEtcd().client();
  ports.books = new BookCache();
  api = sampiApi(store, ports, silentLog, (c) => c.req.header('x-caller'));
  for (const name of ['a', 'b']) {
    await createHostBook(store, name, { m: 1024, c: 1000 }, ports);
    const info = { name, address: '10.0.0.1', publicAddress: '10.0.0.1', arch: 'amd64', wrapKey: '' };
    await store.put(
      keys.hostInfo(name),
      JSON.stringify({ ...info, cpuMillis: 1000, memoryBytes: 1024 * MiB, joinedAt: 0 }),
    );
  }
  template = (await putTemplate(store, { kind: 'service', image: 'hello:1' })).hash;
});

describe('claims', () => {
  it('come in pages of one revision, whatever is booked meanwhile', async () => {
    await book('a', [claimOn('a'), claimOn('a'), claimOn('a')]);
    const first = ClaimsPage.parse((await ask('GET', '/v1/claims?limit=2')).body);
    await book('a', [claimOn('a')]);
    const second = ClaimsPage.parse((await ask('GET', `/v1/claims?limit=2&page=${first.next}`)).body);
    expect([first.claims.length, second.claims.length, second.next]).toEqual([2, 1, undefined]);
    expect(second.revision).toBe(first.revision);
    const jobs = [...first.claims, ...second.claims].map(({ job }) => job);
    expect(jobs).toEqual([...new Set(jobs)].sort());
  });

  it('are found by host, and by owner up to a slash', async () => {
    const [web, db, other] = [claimOn('a'), claimOn('b', { owner: 'db' }), claimOn('b', { owner: 'db2/x' })];
    await book('a', [web]);
    await book('b', [db, other]);
    const jobs = async (query: string) =>
      ClaimsPage.parse((await ask('GET', `/v1/claims?${query}`)).body).claims.map(({ job }) => job);
    expect(await jobs('host=a')).toEqual([web.job]);
    expect(await jobs('owner=app/hello')).toEqual([web.job]);
    expect(await jobs('owner=db')).toEqual([db.job]);
    expect(await jobs('owner=db&host=a')).toEqual([]);
  });

  it('of a compacted revision and of a page that is none are refused in words', async () => {
    await book('a', [claimOn('a'), claimOn('a')]);
    const { next } = ClaimsPage.parse((await ask('GET', '/v1/claims?limit=1')).body);
    await book('a', [claimOn('a')]);
    await store.compact((await store.status()).revision);
    expect((await ask('GET', `/v1/claims?page=${next}`)).body.code).toBe('compacted');
    for (const page of ['x', Buffer.from('[1,"keys/x"]').toString('base64url')])
      expect((await ask('GET', `/v1/claims?page=${page}`)).body.code).toBe('invalid');
    expect((await ask('GET', `/v1/claims?host=b&page=${next}`)).body.code).toBe('invalid');
  });
});

describe('the operators’ changes of books', () => {
  it('cordon a host and take that back; the second time changes nothing', async () => {
    const cordon = (cordoned: boolean) => ask('PUT', '/v1/hosts/a/cordon', { cordoned });
    expect((await cordon(true)).body).toMatchObject({ changed: true, book: { cordoned: true } });
    expect((await cordon(true)).body).toMatchObject({ changed: false });
    expect(outcome(await book('a', [claimOn('a')]), 'a').rejection).toMatchObject({ code: 'cordoned' });
    await cordon(false);
    expect(outcome(await book('a', [claimOn('a')]), 'a').ok).toBe(true);
  });

  it('set tags and take them away, the others stay', async () => {
    await ask('PUT', '/v1/hosts/a/tags', { set: { zone: 'north', disk: 'ssd' } });
    const { body } = await ask('PUT', '/v1/hosts/a/tags', {
      set: { zone: 'south' },
      remove: ['disk', 'none'],
    });
    expect(body).toMatchObject({ changed: true, book: { tags: { zone: 'south' } } });
    const view = GridView.parse((await ask('GET', '/v1/view')).body);
    expect(view.hosts.a!.book.tags).toEqual({ zone: 'south' });
    const many = Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`t${i}`, '']));
    expect((await ask('PUT', '/v1/hosts/a/tags', { set: many })).body.code).toBe('too_large');
  });

  it('declare overcommit, and only that host takes more than its capacity', async () => {
    const big = (host: string) => claimOn(host, { resources: { memory: 1500 * MiB, cpu: 0 } });
    await ask('PUT', '/v1/hosts/a/overcommit', { m: 1.5, c: 1 });
    expect(outcome(await book('a', [big('a')]), 'a').ok).toBe(true);
    expect(outcome(await book('a', [claimOn('a')]), 'a').rejection).toMatchObject({
      constraint: 'memory',
      short: 28,
    });
    expect(outcome(await book('b', [big('b')]), 'b').rejection).toMatchObject({ short: 476 });
    const { body } = await ask('PUT', '/v1/hosts/a/overcommit', { m: 1, c: 1 });
    expect((body.book as object) && 'overcommit' in (body.book as object)).toBe(false);
  });
});

describe('a host’s own certificate', () => {
  it('reads, books on its own host, and is refused everywhere else', async () => {
    const as = (method: string, path: string, body?: unknown) => ask(method, path, body, 'host-a');
    const id = 'x';
    expect((await as('GET', '/v1/view')).status).toBe(200);
    expect(
      (await as('POST', '/v1/transactions', { id, hosts: { a: { claims: [claimOn('a')] } } })).status,
    ).toBe(200);
    const before = await everything();
    for (const refused of [
      await as('POST', '/v1/transactions', { id: 'y', hosts: { b: { claims: [claimOn('b')] } } }),
      await as('PUT', '/v1/hosts/a/cordon', { cordoned: true }),
      await as('PUT', '/v1/templates', { kind: 'service', image: 'x' }),
      await ask('GET', '/v1/view', undefined, 'router'),
    ])
      expect([refused.status, refused.body.code]).toEqual([403, 'forbidden']);
    expect(await everything()).toEqual(before);
  });
});

describe('bad input', () => {
  const bad: [what: string, method: string, path: string, body: () => unknown, code: string][] = [
    ['no JSON', 'POST', '/v1/transactions', () => '{', 'invalid'],
    ['no body', 'POST', '/v1/transactions', () => undefined, 'invalid'],
    ['a list', 'POST', '/v1/transactions', () => [], 'invalid'],
    ['deep nesting', 'POST', '/v1/transactions', () => '['.repeat(100_000), 'invalid'],
    ['a body too large', 'POST', '/v1/transactions', () => 'x'.repeat(maxSampiBody + 1), 'too_large'],
    [
      'negative memory',
      'POST',
      '/v1/transactions',
      () => claims({ resources: { memory: -1, cpu: 1 } }),
      'invalid',
    ],
    [
      'absurd memory',
      'POST',
      '/v1/transactions',
      () => claims({ resources: { memory: 2 ** 60, cpu: 1 } }),
      'invalid',
    ],
    [
      'half a millicore',
      'POST',
      '/v1/transactions',
      () => claims({ resources: { memory: 4 * MiB, cpu: 0.5 } }),
      'invalid',
    ],
    [
      'negative cpu',
      'POST',
      '/v1/transactions',
      () => claims({ resources: { memory: 4 * MiB, cpu: -1 } }),
      'invalid',
    ],
    ['a port twice', 'POST', '/v1/transactions', () => claims({ fixedPorts: [80, 80] }), 'invalid'],
    ['port 0', 'POST', '/v1/transactions', () => claims({ fixedPorts: [0] }), 'invalid'],
    ['too many ports', 'POST', '/v1/transactions', () => claims({ ports: 17 }), 'invalid'],
    ['an id that is none', 'POST', '/v1/transactions', () => claims({ job: 'a-1' }), 'invalid'],
    [
      'a template that is a path',
      'POST',
      '/v1/transactions',
      () => claims({ template: '../apps/x' }),
      'invalid',
    ],
    [
      'a host that is a path',
      'POST',
      '/v1/transactions',
      () => ({ id: 'x', hosts: { 'a/../b': {} } }),
      'invalid',
    ],
    ['a job twice', 'POST', '/v1/transactions', twice, 'invalid'],
    ['121 jobs on a host', 'POST', '/v1/transactions', () => many(1, 121), 'too_large'],
    ['1,001 hosts', 'POST', '/v1/transactions', () => many(1001, 0), 'too_large'],
    [
      '65 hosts, all or nothing',
      'POST',
      '/v1/transactions',
      () => many(65, 1, 'all-or-nothing'),
      'too_large',
    ],
    ['a template of nothing', 'PUT', '/v1/templates', () => ({}), 'invalid'],
    ['a template with absurd resources', 'PUT', '/v1/templates', absurdTemplate, 'invalid'],
    ['cordon of what is no host', 'PUT', '/v1/hosts/zz/cordon', () => ({ cordoned: true }), 'not_found'],
    ['cordon of what is no name', 'PUT', '/v1/hosts/A_B/cordon', () => ({ cordoned: true }), 'invalid'],
    ['cordon maybe', 'PUT', '/v1/hosts/a/cordon', () => ({ cordoned: 'maybe' }), 'invalid'],
    ['a tag with a slash', 'PUT', '/v1/hosts/a/tags', () => ({ set: { 'a/b': 'x' } }), 'invalid'],
    ['overcommit below 1', 'PUT', '/v1/hosts/a/overcommit', () => ({ m: 0.5, c: 1 }), 'invalid'],
    ['overcommit of 100', 'PUT', '/v1/hosts/a/overcommit', () => ({ m: 100, c: 1 }), 'invalid'],
    ['a limit of 0', 'GET', '/v1/claims?limit=0', () => undefined, 'invalid'],
    ['a template that is not there', 'GET', '/v1/templates/none', () => undefined, 'not_found'],
    ['no route', 'GET', '/v1/none', () => undefined, 'not_found'],
  ];

  function claims(more: object) {
    return { id: 'x', hosts: { a: { claims: [claimOn('a', more)] } } };
  }
  function twice() {
    const claim = claimOn('a');
    return { id: 'x', hosts: { a: { claims: [claim, claim] } } };
  }
  function absurdTemplate() {
    return { kind: 'service', image: 'x', resources: { memory: 1e30, cpu: 0 } };
  }
  function many(hosts: number, jobs: number, mode = 'incremental') {
    const names = Array.from({ length: hosts }, (_, i) => (hosts === 1 ? 'a' : `h${i}`));
    const of = (host: string) => ({ claims: Array.from({ length: jobs }, () => claimOn(host)) });
    return { id: 'x', mode, hosts: Object.fromEntries(names.map((name) => [name, of(name)])) };
  }

  it.each(bad)('%s: a coded error, and nothing is changed', async (_what, method, path, body, code) => {
    const before = await everything();
    const answer = await ask(method, path, body());
    expect(answer.body).toMatchObject({ code, message: expect.any(String) as string });
    expect(answer.status).toBeGreaterThanOrEqual(400);
    expect(answer.status).toBeLessThan(500);
    expect(await everything()).toEqual(before);
  });

  it('for hosts, templates and ids that do not fit: a rejection each, and nothing is changed', async () => {
    const there = claimOn('a');
    await book('a', [there]);
    const before = await everything();
    const rejections = [
      outcome(await book('nowhere', [claimOn('nowhere')]), 'nowhere').rejection,
      outcome(await book('a', [claimOn('a', { template: 'none' })]), 'a').rejection,
      outcome(await book('a', [claimOn('b')]), 'a').rejection,
      outcome(await book('a', [{ ...there }]), 'a').rejection,
      outcome(await book('a', [claimOn('a', { fixedPorts: [20000] })]), 'a').rejection,
    ];
    expect(rejections.map((rejection) => [rejection?.code, rejection?.constraint])).toEqual([
      ['not_found', 'host'],
      ['not_found', 'template'],
      ['not_found', 'job'],
      ['exists', 'job'],
      ['no_capacity', 'port'],
    ]);
    expect(await everything()).toEqual(before);
  });
});

describe('remembered books', () => {
  const reads = () => store.calls.txn ?? 0;
  const claimsAt = async (host: string) =>
    (await store.list(keys.claimsAt(host))).entries.map(({ value }) => JSON.parse(value) as Claim);

  it('save the read before the write', async () => {
    await book('a', [claimOn('a')]);
    const before = reads();
    await book('a', [claimOn('a')]);
    expect(reads() - before).toBe(1);
  });

  it('that are out of date are judged again: nothing is overbooked, nothing refused that fits', async () => {
    const half = (host: string) => claimOn(host, { resources: { memory: 512 * MiB, cpu: 0 } });
    await book('a', [half('a')]);
    const other = sampiApi(store, { clock: systemClock, rng: cryptoRng }, silentLog, () => 'control');
    const elsewhere = (body: object) =>
      other.request('/v1/transactions', { method: 'POST', body: JSON.stringify(body) });
    await elsewhere({ id: 'o1', hosts: { a: { claims: [half('a')] } } });
    expect(outcome(await book('a', [half('a')]), 'a').rejection).toMatchObject({ short: 512 });
    await createHostBook(store, 'a', { m: 2048, c: 1000 }, { clock: systemClock, rng: cryptoRng });
    expect(outcome(await book('a', [half('a')]), 'a').ok).toBe(true);
    expect((await claimsAt('a')).length).toBe(3);
  });

  it('do not book a job twice whose first answer was lost and whose copy knows the newest book', async () => {
    const claim = claimOn('a');
    await book('a', [claim], 't1');
    const again = outcome(await book('a', [claim], 't1'), 'a');
    expect(again).toMatchObject({ ok: true, book: { jobs: 1 } });
    expect((await claimsAt('a')).length).toBe(1);
  });
});

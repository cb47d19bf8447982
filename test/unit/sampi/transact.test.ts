// Sampi's promise: whoever races, no host is ever booked over its capacity and no claim is placed twice.
import { beforeEach, describe, expect, it } from 'vitest';
import { FlynnError } from '../../../src/lib/api/errors.js';
import { keys } from '../../../src/lib/api/keys.js';
import { HostBook } from '../../../src/lib/api/grid.js';
import { Claim } from '../../../src/lib/api/job.js';
import type { ClaimRequestInput } from '../../../src/lib/api/sampi.js';
import {
  createHostBook,
  putTemplate,
  releaseClaim,
  setCordon,
  setDisk,
  transact,
} from '../../../src/lib/layer0/sampi/index.js';
import type { Store, Txn } from '../../../src/lib/store/port.js';
import { systemClock } from '../../../src/lib/util/clock.js';
import { cryptoRng, seededRng } from '../../../src/lib/util/rng.js';
import { ulid } from '../../../src/lib/util/ulid.js';
import { fakeEtcd, type FakeEtcd, type FakeStore } from '../../fakes/store.js';

const MiB = 1024 * 1024;
const ports = { clock: systemClock, rng: cryptoRng };
let etcd: FakeEtcd;
let store: FakeStore;
let template: string;

const jobOn = (host: string) => `${host}-${ulid(Date.now(), cryptoRng)}`;
const claimOn = (host: string, memory = 512, more: Partial<ClaimRequestInput> = {}): ClaimRequestInput => ({
  job: jobOn(host),
  template,
  owner: 'app/hello/1/web',
  resources: { memory: memory * MiB, cpu: 100 },
  ports: 1,
  ...more,
});
const bookOf = async (host: string) =>
  HostBook.parse(JSON.parse((await store.get(keys.hostBook(host)))!.value));
const claimsOf = async (host: string) =>
  (await store.list(keys.claimsAt(host))).entries.map((entry) => Claim.parse(JSON.parse(entry.value)));

/** The same store, whose first transaction that writes is applied and its answer lost. */
const losingFirstCommit = (inner: Store): Store => {
  let lost = false;
  return new Proxy(inner, {
    get: (target, name) => {
      const member = target[name as keyof Store] as (...args: unknown[]) => unknown;
      if (name !== 'txn') return member.bind(target);
      return async (txn: Txn) => {
        const result = await target.txn(txn);
        if (lost || !JSON.stringify(txn).includes('"put"')) return result;
        lost = true;
        throw new FlynnError({ code: 'ambiguous', message: 'the answer was lost' });
      };
    },
  });
};

beforeEach(async () => {
  etcd = fakeEtcd();
  store = etcd.client();
  for (const host of ['a', 'b', 'c']) await createHostBook(store, host, { m: 2048, c: 2000 }, ports);
  template = (
    await putTemplate(store, {
      kind: 'service',
      image: 'hello:1',
      ports: [{ name: 'http', container: 8080 }],
    })
  ).hash;
});

describe('an incremental transaction', () => {
  it('books what fits and says of the rest which constraint failed, and by how much', async () => {
    const fits = claimOn('a');
    const answer = await transact(
      store,
      {
        id: 't1',
        hosts: {
          a: { claims: [fits] },
          b: { claims: [claimOn('b', 4096)] },
          nowhere: { claims: [claimOn('nowhere')] },
        },
      },
      ports,
    );
    expect(answer.hosts.a).toMatchObject({
      ok: true,
      book: { used: { m: 512, c: 100 }, ports: [20000], jobs: 1 },
    });
    expect(answer.hosts.a!.claims[fits.job]).toMatchObject({ p: [20000], w: 'run', x: 't1' });
    expect(answer.hosts.b!.rejection).toMatchObject({
      code: 'no_capacity',
      constraint: 'memory',
      short: 2048,
    });
    expect(answer.hosts.nowhere!.rejection).toMatchObject({ code: 'not_found', constraint: 'host' });
    expect(await claimsOf('b')).toEqual([]);
  });

  it('refuses cpu, taken ports, cordoned hosts, unknown templates, foreign ids and ids that exist', async () => {
    const first = claimOn('a', 64, { fixedPorts: [80] });
    await transact(store, { id: 't1', hosts: { a: { claims: [first] } } }, ports);
    const tryOn = async (host: string, claim: ClaimRequestInput) =>
      (await transact(store, { id: 't2', hosts: { [host]: { claims: [claim] } } }, ports)).hosts[host]!
        .rejection;
    expect(await tryOn('a', claimOn('a', 64, { resources: { memory: 64 * MiB, cpu: 5000 } }))).toMatchObject({
      constraint: 'cpu',
      short: 3100,
    });
    expect(await tryOn('a', claimOn('a', 64, { fixedPorts: [80] }))).toMatchObject({ constraint: 'port' });
    expect(await tryOn('a', claimOn('a', 64, { template: 'missing' }))).toMatchObject({
      constraint: 'template',
    });
    expect(await tryOn('a', claimOn('b', 64))).toMatchObject({ code: 'not_found', constraint: 'job' });
    expect(await tryOn('a', first)).toMatchObject({ code: 'exists' });
    await setCordon(store, 'b', true, ports);
    expect(await tryOn('b', claimOn('b'))).toMatchObject({ code: 'cordoned' });
    expect(await tryOn('b', claimOn('b', 64, { owner: 'omni/router' }))).toBeUndefined();
  });

  it('refuses a host whose disk takes nothing more, says why, and takes jobs again when it is opened', async () => {
    expect(await setDisk(store, 'a', 'its disk has 3 % free', ports)).toBe(true);
    expect(await setDisk(store, 'a', 'its disk has 3 % free', ports)).toBe(false);
    const ask = () =>
      transact(store, { id: ulid(Date.now(), cryptoRng), hosts: { a: { claims: [claimOn('a')] } } }, ports);
    expect((await ask()).hosts.a?.rejection).toMatchObject({
      code: 'no_capacity',
      constraint: 'disk',
      message: 'host a: its disk has 3 % free',
    });
    expect(await setDisk(store, 'a', undefined, ports)).toBe(true);
    expect((await bookOf('a')).disk).toBeUndefined();
    expect((await ask()).hosts.a?.ok).toBe(true);
  });

  it('done twice with the same id changes nothing', async () => {
    const request = { id: 't1', hosts: { a: { claims: [claimOn('a')] } } };
    const first = await transact(store, request, ports);
    const again = await transact(store, request, ports);
    expect(again.hosts.a).toMatchObject({ ok: true, claims: first.hosts.a!.claims });
    expect((await bookOf('a')).jobs).toBe(1);
  });

  it('whose answer is lost is found by its id, not placed twice', async () => {
    const answer = await transact(
      losingFirstCommit(store),
      { id: 't1', hosts: { a: { claims: [claimOn('a')] }, b: { claims: [claimOn('b')] } } },
      ports,
    );
    expect([answer.hosts.a!.ok, answer.hosts.b!.ok]).toEqual([true, true]);
    expect((await bookOf('a')).jobs).toBe(1);
    expect((await claimsOf('a')).length).toBe(1);
  });

  it('of a leader whose key is gone is fenced and does nothing', async () => {
    await store.put('elections/controller/x', 'me');
    const key = (await store.get('elections/controller/x'))!;
    const guards = [{ key: key.key, createRevision: key.createRevision }];
    expect(
      (await transact(store, { id: 't1', guards, hosts: { a: { claims: [claimOn('a')] } } }, ports)).fenced,
    ).toBe(false);
    await store.delete(key.key);
    await store.put(key.key, 'somebody else');
    for (const mode of ['incremental', 'all-or-nothing'] as const) {
      const answer = await transact(
        store,
        { id: `t2-${mode}`, mode, guards, hosts: { a: { claims: [claimOn('a')] } } },
        ports,
      );
      expect(answer.fenced).toBe(true);
    }
    expect((await claimsOf('a')).length).toBe(1);
  });
});

describe('an all-or-nothing transaction', () => {
  it('does nothing anywhere when one host refuses', async () => {
    const answer = await transact(
      store,
      {
        id: 't1',
        mode: 'all-or-nothing',
        hosts: { a: { claims: [claimOn('a')] }, b: { claims: [claimOn('b', 4096)] } },
      },
      ports,
    );
    expect([answer.hosts.a!.ok, answer.hosts.b!.ok]).toEqual([false, false]);
    expect(await claimsOf('a')).toEqual([]);
  });

  it('commits on every host when all of it fits', async () => {
    const hosts = {
      a: { claims: [claimOn('a')] },
      b: { claims: [claimOn('b')] },
      c: { claims: [claimOn('c')] },
    };
    const answer = await transact(store, { id: 't1', mode: 'all-or-nothing', hosts }, ports);
    expect(Object.values(answer.hosts).every((host) => host.ok)).toBe(true);
  });

  it('is refused with a coded error above what etcd takes', async () => {
    const claims = Array.from({ length: 64 }, () => claimOn('a', 4));
    await expect(
      transact(store, { id: 't1', mode: 'all-or-nothing', hosts: { a: { claims } } }, ports),
    ).rejects.toMatchObject({ code: 'too_large' });
  });
});

describe('racing schedulers', () => {
  it('never overcommit a host, share a port or lose a claim', async () => {
    const clients = [1, 2, 3, 4].map(() => etcd.client());
    const rng = seededRng(7);
    let placed = 0;
    let turned = 0;
    await Promise.all(
      clients.map(async (client, scheduler) => {
        for (let round = 0; round < 12; round++) {
          if (round === 5) client.loseAnswers(1);
          const host = ['a', 'b', 'c'][Math.floor(rng.next() * 3)]!;
          const claims = [claimOn(host, 100), claimOn(host, 100)];
          const answer = await transact(
            client,
            { id: `s${scheduler}-${round}`, hosts: { [host]: { claims } } },
            { clock: systemClock, rng },
          );
          if (answer.hosts[host]!.ok) placed += 2;
          else turned += 1;
        }
      }),
    );
    let total = 0;
    for (const host of ['a', 'b', 'c']) {
      const [book, claims] = [await bookOf(host), await claimsOf(host)];
      const used = claims.reduce((sum, claim) => sum + claim.m, 0);
      expect(book.used.m).toBe(used);
      expect(used).toBeLessThanOrEqual(2048);
      const taken = claims.flatMap((claim) => claim.p);
      expect(new Set(taken).size).toBe(taken.length);
      expect(book.ports).toEqual([...taken].sort((x, y) => x - y));
      total += claims.length;
    }
    expect(total).toBe(placed);
    expect(turned).toBeGreaterThan(0);
  });
});

describe('the life of a claim', () => {
  it('keeps its resources while it stops and gives them back once, when the agent releases it', async () => {
    const claim = claimOn('a');
    await transact(store, { id: 't1', hosts: { a: { claims: [claim] } } }, ports);
    await transact(store, { id: 't2', hosts: { a: { want: [{ job: claim.job, want: 'stop' }] } } }, ports);
    expect(await bookOf('a')).toMatchObject({ used: { m: 512 }, jobs: 1 });
    store.loseAnswers(1);
    expect(await releaseClaim(store, 'a', claim.job, ports)).toBe('gone');
    expect(await releaseClaim(store, 'a', claim.job, ports)).toBe('gone');
    expect(await bookOf('a')).toMatchObject({ used: { m: 0, c: 0 }, ports: [], jobs: 0 });
  });

  it('a stop is final', async () => {
    const claim = claimOn('a');
    const want = (intention: 'run' | 'stop' | 'lost') => ({
      hosts: { a: { want: [{ job: claim.job, want: intention }] } },
    });
    await transact(store, { id: 't1', hosts: { a: { claims: [claim] } } }, ports);
    await transact(store, { id: 't2', ...want('lost') }, ports);
    await transact(store, { id: 't3', ...want('run') }, ports);
    expect((await claimsOf('a'))[0]!.w).toBe('run');
    await transact(store, { id: 't4', ...want('stop') }, ports);
    await transact(store, { id: 't5', ...want('run') }, ports);
    expect((await claimsOf('a'))[0]!.w).toBe('stop');
  });

  it('hands out the port that was used least recently, and none within an hour of its release', async () => {
    let now = 1_000_000;
    const at = { clock: { ...systemClock, now: () => now }, rng: cryptoRng };
    const entry = (await store.get(keys.hostBook('a')))!;
    await store.put(keys.hostBook('a'), JSON.stringify({ ...JSON.parse(entry.value), nextPort: 29999 }));
    const first = claimOn('a', 64);
    const claimed = await transact(store, { id: 't1', hosts: { a: { claims: [first] } } }, at);
    expect(claimed.hosts.a!.claims[first.job]!.p).toEqual([29999]);
    await releaseClaim(store, 'a', first.job, at);
    const back = (await store.get(keys.hostBook('a')))!;
    await store.put(keys.hostBook('a'), JSON.stringify({ ...JSON.parse(back.value), nextPort: 29999 }));
    const second = claimOn('a', 64);
    const soon = await transact(store, { id: 't2', hosts: { a: { claims: [second] } } }, at);
    expect(soon.hosts.a!.claims[second.job]!.p).toEqual([20000]);
    now += 3_600_001;
    const book = (await store.get(keys.hostBook('a')))!;
    await store.put(keys.hostBook('a'), JSON.stringify({ ...JSON.parse(book.value), nextPort: 29999 }));
    const third = claimOn('a', 64);
    const later = await transact(store, { id: 't3', hosts: { a: { claims: [third] } } }, at);
    expect(later.hosts.a!.claims[third.job]!.p).toEqual([29999]);
  });

  it('fits in 300 bytes, wrapped key and all', async () => {
    const claim = claimOn('a', 512, {
      wrappedKey: 'k'.repeat(107),
      owner: 'app/a-name-of-thirty-characters-x/12/web',
    });
    const answer = await transact(
      store,
      { id: ulid(Date.now(), cryptoRng), hosts: { a: { claims: [claim] } } },
      ports,
    );
    expect(JSON.stringify(answer.hosts.a!.claims[claim.job]).length).toBeLessThanOrEqual(300);
  });
});

// Sampi on real etcd: three schedulers race, one of them a shell script, and certificates give each caller its own.
import { execFile } from 'node:child_process';
import type { AddressInfo } from 'node:net';
import type { Server } from 'node:http';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Etcd3 } from 'etcd3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bookable, HostBook } from '../../src/lib/api/grid.js';
import { Claim } from '../../src/lib/api/job.js';
import { keys, partsAfter } from '../../src/lib/api/keys.js';
import { GridView } from '../../src/lib/api/sampi.js';
import { ApplianceClients } from '../../src/lib/appliance/client.js';
import { silentLog } from '../../src/lib/appliance/log.js';
import { serve } from '../../src/lib/appliance/server.js';
import { packageRoot } from '../../src/lib/lab/index.js';
import { place, Pool, seatOf } from '../../src/lib/layer0/placement/index.js';
import { sampiApi } from '../../src/lib/layer0/sampi/api.js';
import {
  createHostBook,
  putTemplate,
  releaseClaim,
  SampiClient,
  transact,
} from '../../src/lib/layer0/sampi/index.js';
import { BookCache } from '../../src/lib/layer0/sampi/load.js';
import { rolesOf, usersOf } from '../../src/lib/operator/etcd.js';
import { EtcdStore } from '../../src/lib/store/etcd.js';
import { systemClock } from '../../src/lib/util/clock.js';
import { cryptoRng } from '../../src/lib/util/rng.js';
import { ulid } from '../../src/lib/util/ulid.js';
import { startEtcd, type EtcdServer, type EtcdServerTls } from '../fakes/etcd-server.js';
import { makeAuthority, type TestAuthority } from '../fakes/test-certs.js';

const MiB = 1024 * 1024;
const names = ['a', 'b', 'c', 'd'];
const people = ['root', 'control', 'router', 'host-a', 'host-b', 'server'] as const;
const ports = { clock: systemClock, rng: cryptoRng };
let authority: TestAuthority;
let certs: Record<(typeof people)[number], EtcdServerTls>;
let etcd: EtcdServer;
let store: EtcdStore;
let sampi: Server;
let template: string;

const as = (who: (typeof people)[number]): EtcdStore =>
  new EtcdStore({ endpoints: [etcd.url], tls: { ...certs[who], serverName: 'etcd.test' } });
const portOf = () => (sampi.address() as AddressInfo).port;
const clientOf = (identity: EtcdServerTls) => new ApplianceClients(identity).at('127.0.0.1', portOf());
const jobOn = (host: string) => `${host}-${ulid(Date.now(), cryptoRng)}`;
const claimOn = (host: string) => ({
  job: jobOn(host),
  template,
  owner: 'test/web',
  resources: { memory: 64 * MiB, cpu: 10 },
  ports: 1,
});

/** The roles of the grid, given to this member through its own API, and authentication switched on. */
async function enableAuth(): Promise<void> {
  const { ca, cert, key } = certs.root;
  const client = new Etcd3({
    hosts: etcd.url,
    credentials: {
      rootCertificate: Buffer.from(ca),
      certChain: Buffer.from(cert),
      privateKey: Buffer.from(key),
    },
  });
  const hosts = names.map((name) => ({ name }));
  try {
    for (const [name, grants] of rolesOf(hosts)) {
      const role = await client.role(name).create();
      for (const { kind, key: start, to } of grants) {
        const permission = kind === 'read' ? 'Read' : 'Readwrite';
        const end =
          to ?? `${start.slice(0, -1)}${String.fromCharCode(start.charCodeAt(start.length - 1) + 1)}`;
        await role.grant({
          permission,
          range: { start: Buffer.from(start), end: Buffer.from(end) },
        } as never);
      }
    }
    await client.role('root').create();
    for (const [name, roles] of usersOf(hosts)) {
      const user = await client.user(name).create(ulid(Date.now(), cryptoRng));
      for (const role of roles) await user.addRole(role);
    }
    await client.auth.authEnable();
  } finally {
    client.close();
  }
}

beforeAll(async () => {
  authority = await makeAuthority();
  const issued = await Promise.all(people.map(async (name) => [name, await authority.issue(name)] as const));
  certs = Object.fromEntries(issued) as typeof certs;
  etcd = await startEtcd({ server: certs.server, client: certs.root });
  await enableAuth();
  store = as('control');
  for (const name of names) {
    await createHostBook(store, name, { m: 1024, c: 1000 }, ports);
    const info = { name, address: '10.0.0.1', publicAddress: '10.0.0.1', arch: 'amd64', wrapKey: '' };
    const size = { cpuMillis: 1000, memoryBytes: 1024 * MiB, joinedAt: 0 };
    await store.put(keys.hostInfo(name), JSON.stringify({ ...info, ...size }));
  }
  template = (await putTemplate(store, { kind: 'service', image: 'hello:1' })).hash;
  const app = sampiApi(store, { ...ports, books: new BookCache() }, silentLog);
  sampi = await serve({ app, host: '127.0.0.1', port: 0, identity: certs.server });
});
afterAll(async () => {
  sampi?.close();
  await store?.close();
  await etcd?.stop();
  await authority?.remove();
});

/** Our own scheduler: looks at the view, decides, books; until it is refused everywhere. Returns the jobs that it got. */
async function schedule(via: Pick<SampiClient, 'transact' | 'view'>, owner: string): Promise<string[]> {
  const got: string[] = [];
  for (let round = 0; round < 40; round++) {
    const view = await via.view();
    const pool = new Pool(Object.entries(view.hosts).map(([name, { book }]) => seatOf(name, book)));
    const need = { m: 64, c: 10, ports: 1, fixed: [] };
    const placement = place(pool, { exact: owner, loose: owner }, need, cryptoRng);
    if (!('host' in placement)) break;
    const { host } = placement;
    const claims = [{ ...claimOn(host), owner }];
    const answer = await via.transact({ id: ulid(Date.now(), cryptoRng), hosts: { [host]: { claims } } });
    if (answer.hosts[host]?.ok) got.push(...Object.keys(answer.hosts[host].claims));
  }
  return got;
}

/** Everything that is wrong with books and claims, as etcd has them. */
async function recount(): Promise<{ faults: string[]; jobs: string[] }> {
  const { entries, revision } = await store.list(keys.claims);
  const faults: string[] = [];
  for (const host of names) {
    const claims = entries
      .filter(({ key }) => key.startsWith(keys.claimsAt(host)))
      .map(({ value }) => Claim.parse(JSON.parse(value)));
    const book = HostBook.parse(JSON.parse((await store.get(keys.hostBook(host), { revision }))!.value));
    const used = {
      m: claims.reduce((sum, { m }) => sum + m, 0),
      c: claims.reduce((sum, { c }) => sum + c, 0),
    };
    const taken = claims.flatMap(({ p }) => p).sort((x, y) => x - y);
    const limit = bookable(book);
    if (used.m > limit.m || used.c > limit.c) faults.push(`${host} is overbooked`);
    if (new Set(taken).size < taken.length) faults.push(`${host} has a port twice`);
    if (book.used.m !== used.m || book.used.c !== used.c || book.jobs !== claims.length)
      faults.push(`${host}: the book is not the sum of its claims`);
    if (book.ports.join() !== taken.join()) faults.push(`${host}: the book has other ports than its claims`);
  }
  return { faults, jobs: entries.map(({ key }) => partsAfter(keys.claims, key)[1] ?? '') };
}

describe('three schedulers, one of them a shell script with curl', () => {
  it('race for the same hosts while jobs end, and no constraint is broken', async () => {
    const overHttp = new SampiClient(
      new ApplianceClients(certs.control),
      () => ['127.0.0.1'],
      10_000,
      portOf(),
    );
    const own = as('control');
    const asFunction = {
      transact: (request: Parameters<SampiClient['transact']>[0]) => transact(own, request, ports),
      view: () => overHttp.view(),
    };
    const script = join(packageRoot(), 'test/contract/scheduler.sh');
    const shell = promisify(execFile)(script, [
      `https://127.0.0.1:${portOf()}`,
      authority.dir,
      template,
      '40',
    ]);
    const ours = await Promise.all([
      schedule(overHttp, 'first/web'),
      schedule(asFunction, 'second/web'),
      endSome(),
    ]);
    const shells = (await shell).stdout.trim().split('\n');
    await own.close();
    const { faults, jobs } = await recount();
    expect(faults).toEqual([]);
    const ended = new Set(ours[2]);
    const got = [...ours[0], ...ours[1], ...shells].filter((job) => !ended.has(job));
    expect(jobs.sort()).toEqual(got.sort());
    expect(Math.min(ours[0].length, ours[1].length, shells.length)).toBeGreaterThan(0);
  });

  /** The agents' part: a few jobs end meanwhile, and their hosts get back what they took. */
  async function endSome(): Promise<string[]> {
    const ended: string[] = [];
    for (let round = 0; round < 10; round++) {
      const { entries } = await store.list(keys.claims, { limit: 5 });
      const key = entries.at(-1)?.key;
      if (key === undefined) continue;
      const [host = '', job = ''] = partsAfter(keys.claims, key);
      if ((await releaseClaim(store, host, job, ports)) === 'released') ended.push(job);
    }
    return ended;
  }
});

describe('an all-or-nothing transaction', () => {
  it('of 64 hosts and 63 claims on each, keys and all, is one that etcd takes; one host more is refused with a code', async () => {
    const many = Array.from({ length: 65 }, (_, i) => `many-${i}`);
    for (const name of many) await createHostBook(store, name, { m: 4096, c: 1000 }, ports);
    const claims = (host: string) =>
      Array.from({ length: 63 }, () => ({ ...claimOn(host), wrappedKey: 'k'.repeat(107) }));
    const request = (hosts: string[]) => ({
      id: ulid(Date.now(), cryptoRng),
      mode: 'all-or-nothing' as const,
      hosts: Object.fromEntries(hosts.map((host) => [host, { claims: claims(host) }])),
    });
    await expect(transact(store, request(many), ports)).rejects.toMatchObject({ code: 'too_large' });
    const answer = await transact(store, request(many.slice(0, 64)), ports);
    expect(Object.values(answer.hosts).filter(({ ok }) => ok).length).toBe(64);
    // The 65th took nothing, and neither does any other of a transaction that it cannot be part of.
    await createHostBook(store, many[64]!, { m: 10, c: 10 }, ports);
    const refused = await transact(store, request(many.slice(63)), ports);
    expect(Object.values(refused.hosts).some(({ ok }) => ok)).toBe(false);
    expect((await store.list(keys.claimsAt(many[64]!))).entries).toEqual([]);
  });
});

const everything = async () =>
  (await Promise.all([keys.hosts, keys.claims, keys.templates].map((prefix) => store.list(prefix)))).flatMap(
    ({ entries }) => entries,
  );

describe('certificates', () => {
  it('of another host put no claim into etcd by hand, change no book and no template; the own host’s may', async () => {
    const other = as('host-b');
    const claim = JSON.stringify({ t: template, o: 'x', m: 1, c: 0, p: [], w: 'run', x: 'x' });
    const tries: [string, () => Promise<unknown>][] = [
      ['a claim', () => other.put(keys.claim('a', jobOn('a')), claim)],
      ['a book', () => other.put(keys.hostBook('a'), '{}')],
      ['a deletion', () => other.delete(keys.hostBook('a'))],
      ['a template', () => other.put(keys.template('mine'), '{}')],
      [
        'a claim beside one of its own, in one transaction',
        () =>
          other.txn({
            compare: [],
            then: ['b', 'a'].map((host) => ({ op: 'put', key: keys.claim(host, jobOn(host)), value: claim })),
          }),
      ],
    ];
    const before = await everything();
    for (const [what, attempt] of tries)
      await expect(attempt(), what).rejects.toMatchObject({ code: 'forbidden' });
    expect(await everything()).toEqual(before);
    const booked = await transact(
      other,
      { id: 'own', hosts: { b: { claims: [{ ...claimOn('b'), owner: 'omni/x' }] } } },
      ports,
    );
    const outcome = booked.hosts.b!;
    expect(outcome.ok || outcome.rejection?.code === 'no_capacity').toBe(true);
    await other.close();
  });

  it('of another host book nothing through Sampi either, and a router’s not even look', async () => {
    const hosts = { a: { claims: [claimOn('a')] } };
    const body = { id: 'x', hosts };
    const hostB = clientOf(certs['host-b']);
    await expect(hostB.call('POST', '/v1/transactions', GridView, { body })).rejects.toMatchObject({
      code: 'forbidden',
    });
    await expect(
      hostB.call('PUT', '/v1/hosts/a/cordon', GridView, { body: { cordoned: true } }),
    ).rejects.toMatchObject({ code: 'forbidden' });
    expect(Object.keys((await hostB.call('GET', '/v1/view', GridView)).hosts)).toEqual(names);
    await expect(clientOf(certs.router).call('GET', '/v1/view', GridView)).rejects.toMatchObject({
      code: 'forbidden',
    });
  });

  it('that are expired, of another authority, or not there at all get no connection', async () => {
    const foreign = await makeAuthority();
    const stranger = await foreign.issue('control');
    await foreign.remove();
    const expired = await authority.issue('control-old', -1);
    for (const identity of [{ ...stranger, ca: certs.control.ca }, expired])
      await expect(clientOf(identity).call('GET', '/v1/view', GridView)).rejects.toMatchObject({
        code: 'unreachable',
      });
    const none = promisify(execFile)('curl', [
      ...['-sS', '-m', '5', '--cacert', join(authority.dir, 'ca.pem')],
      `https://127.0.0.1:${portOf()}/v1/view`,
    ]);
    await expect(none).rejects.toThrow();
  });
});

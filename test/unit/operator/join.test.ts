// Hosts that join a cluster: who they may be, what is planned for them, and what the grid's records get.
import { beforeAll, describe, expect, it } from 'vitest';
import { keys } from '../../../src/lib/api/keys.js';
import { rolesAt } from '../../../src/lib/operator/roles.js';
import { seedHostOf, seedOf } from '../../../src/lib/operator/first-records.js';
import { checkNames, concerning, rolesStay, type Candidate } from '../../../src/lib/operator/join.js';
import { judge } from '../../../src/lib/operator/judge.js';
import { hostSecrets, newSecrets, type ClusterSecrets } from '../../../src/lib/operator/journal.js';
import { planJoin } from '../../../src/lib/operator/plan.js';
import { readiness } from '../../../src/lib/seed/readiness.js';
import { SeedGrid } from '../../../src/lib/seed/protocol.js';
import { joinHosts, seedGrid } from '../../../src/lib/seed/records.js';
import { systemClock } from '../../../src/lib/util/clock.js';
import { seededRng } from '../../../src/lib/util/rng.js';
import { fakeEtcd } from '../../fakes/store.js';
import { encoded, facts, journalOf } from './sample.js';

const images = { host: 'flynn/host:1', etcd: 'flynn/etcd:1' };
const ports = { clock: systemClock, rng: seededRng(1) };
const before = journalOf('a', 'b', 'c');
/** The journal with the worker d. */
const journal = { ...journalOf('a', 'b', 'c', 'd') };
let secrets: ClusterSecrets;
beforeAll(async () => {
  ({ secrets } = await newSecrets('test', before.hosts, 1));
  secrets.hosts.d = await hostSecrets(secrets.authority, journal.hosts[3]!, 1);
});

const keyOf = (name: string): string => `SHA256:${name.repeat(43).slice(0, 43)}`;
const candidate = (
  name: string,
  key: string,
  host = name,
  extra: string[] = [],
  drop: string[] = [],
): Candidate => ({
  named: { target: { host, port: 22, user: 'root' }, address: host },
  report: { name, facts: facts(extra, drop), skewMs: 0 },
  conn: { hostKey: { fingerprint: key } },
});
const memberOf = (id: string, host: string): string =>
  `member=${encoded(JSON.stringify({ cluster: { id, name: 'test' }, host }))}`;

describe('checkNames', () => {
  it.each<[string, Candidate, string | undefined]>([
    ['a new host with a new name', candidate('d', keyOf('d')), undefined],
    ['a new host with the name of another', candidate('b', keyOf('d'), 'elsewhere'), 'exists'],
    ['the same host again', candidate('b', keyOf('b')), undefined],
    ['a host of the cluster under another name', candidate('x', keyOf('b'), 'b'), 'conflict'],
    [
      'the same host by another way, known by its file',
      candidate('b', keyOf('b'), '203.0.113.2', [memberOf(before.id, 'b')]),
      undefined,
    ],
    [
      'the same host by another way, known by its address',
      candidate('b', keyOf('b'), '203.0.113.2', ['address=eth0 10.0.0.2/24']),
      undefined,
    ],
    ['a copy of a host, with its host key', candidate('b', keyOf('b'), '203.0.113.9'), 'conflict'],
  ])('%s', (_name, host, code) => {
    const check = (): void => checkNames(before, [host]);
    if (code === undefined) expect(check).not.toThrow();
    else expect(check).toThrow(expect.objectContaining({ code }));
  });
});

describe('the verdict on hosts that join', () => {
  const context = {
    cluster: { name: 'test', id: before.id },
    ports: { http: 80, https: 443, gateway: 2222 },
    choices: [],
    allowPublicPlaintext: false,
    roles: new Map([['d', []]]),
    joining: true,
  };
  const codes = (extra: string[], drop: string[] = []): string[] =>
    judge([{ name: 'd', facts: facts(extra, drop), skewMs: 0 }], context).map((f) => f.code);

  it('asks a worker for the memory of a worker', () => {
    const small = ['memory=655360'];
    expect(codes(small, ['memory'])).not.toContain('memory');
    expect(
      judge([{ name: 'd', facts: facts(small, ['memory']), skewMs: 0 }], {
        ...context,
        roles: new Map([['d', rolesAt(0, 3)]]),
      }).map((f) => f.code),
    ).toContain('memory');
  });

  it('refuses a host that is another one of the same cluster, and takes one that goes on', () => {
    expect(codes([memberOf(before.id, 'c')])).toContain('member');
    expect(codes([memberOf(before.id, 'd')])).not.toContain('member');
    expect(codes([memberOf('other', 'd')])).toContain('member');
  });

  it('takes public addresses of a single new host as seriously as those of many', () => {
    const choices = [{ host: 'd', address: '203.0.113.4', why: '', unreachedFrom: [] }];
    const found = judge([{ name: 'd', facts: facts(), skewMs: 0 }], { ...context, choices });
    expect(found.find((f) => f.code === 'public_plaintext')?.level).toBe('error');
  });

  it('leaves out what the others cannot reach among themselves', () => {
    const choice = { host: 'a', address: '10.0.0.1', why: '', unreachedFrom: ['b', 'd'] };
    expect(concerning([choice], new Set(['d']))[0]?.unreachedFrom).toEqual(['d']);
  });

  it('says that roles stay as they are, unless three hosts carry them or nothing is new', () => {
    const two = journalOf('a', 'b');
    expect(rolesStay(two, new Set(['d']))[0]?.message).toContain('etcd stays on a');
    expect(rolesStay(two, new Set(['b']))).toEqual([]);
    expect(rolesStay(before, new Set(['d']))).toEqual([]);
  });
});

describe('planJoin', () => {
  const plan = (fetchFrom?: string) =>
    planJoin({
      ...{ journal, secrets, images, joining: ['d'], facts: new Map([['d', facts()]]) },
      ...(fetchFrom ? { fetchFrom } : {}),
    });

  it('touches the new host and the records of the cluster, nothing else', () => {
    expect(plan().map((o) => o.id)).toEqual([
      'etcd.wait',
      'docker.configure@d',
      'files.write@d',
      'images.load@d',
      'etcd.auth',
      'grid.join',
      'grid.admit@d',
      'agent.start@d',
      'grid.wait',
      'local.remember',
    ]);
  });

  it('puts the host on record only when all that its agent needs is there', () => {
    const join = plan().find((o) => o.id === 'grid.join');
    expect(join?.after).toEqual(['etcd.auth', 'docker.configure@d', 'files.write@d', 'images.load@d']);
  });

  it('says where missing images come from', () => {
    const detail = (from?: string) =>
      plan(from)
        .find((o) => o.id === 'images.load@d')
        ?.detail.join(' ');
    expect(detail('a')).toContain('fetched from a');
    expect(detail()).not.toContain('fetched');
  });
});

describe('joinHosts', () => {
  const hosts = () => SeedGrid.shape.hosts.parse([seedHostOf(journal, secrets, journal.hosts[3]!)]);
  const cluster = async () => {
    const store = fakeEtcd().client();
    await seedGrid(store, SeedGrid.parse(seedOf(before, secrets, images, [])), ports);
    return store;
  };

  it('writes the new host and its book and leaves all else alone; again: nothing', async () => {
    const store = await cluster();
    const was = (await store.list('')).entries.map((e) => `${e.key} ${e.modRevision}`);
    expect(await joinHosts(store, journal.id, hosts(), ports)).toBe(1);
    const is = (await store.list('')).entries;
    expect(is.filter((e) => !was.includes(`${e.key} ${e.modRevision}`)).map((e) => e.key)).toEqual([
      'hosts/d/book',
      'hosts/d/info',
    ]);
    const { revision } = await store.status();
    expect(await joinHosts(store, journal.id, hosts(), ports)).toBe(0);
    expect((await store.status()).revision).toBe(revision);
  });

  it('given the etcd of another cluster, refuses', async () => {
    const store = await cluster();
    await expect(joinHosts(store, 'other', hosts(), ports)).rejects.toMatchObject({ code: 'conflict' });
    expect(await store.get(keys.hostInfo('d'))).toBeUndefined();
  });

  it('is waited for alone: what is missing on other hosts does not count', async () => {
    const store = await cluster();
    await joinHosts(store, journal.id, hosts(), ports);
    const list = async (prefix: string) => (await store.list(prefix)).entries;
    const entries = {
      hosts: await list(keys.hosts),
      omnis: await list(keys.omnis),
      claims: [],
      statuses: [],
    };
    const { pending, of } = readiness(entries, ['d']);
    expect({ of, pending: pending.map((p) => `${p.host}/${p.job}`) }).toEqual({
      of: 3,
      pending: ['d/agent', 'd/dns', 'd/router'],
    });
  });
});

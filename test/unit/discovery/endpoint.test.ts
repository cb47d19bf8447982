// The endpoint of programs: each job its own registrations by its own token, leases that run out, elections, bad input.
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Claim, JobTemplate } from '../../../src/lib/api/job.js';
import type { Election, Registration, ServiceView } from '../../../src/lib/api/discovery.js';
import { FlynnError } from '../../../src/lib/api/errors.js';
import { keys } from '../../../src/lib/api/keys.js';
import { endpointApi } from '../../../src/lib/layer0/discovery/api.js';
import { Directory } from '../../../src/lib/layer0/discovery/directory.js';
import type { Caller } from '../../../src/lib/layer0/discovery/policy.js';
import { Registrar } from '../../../src/lib/layer0/discovery/registrar.js';
import { jobTokens } from '../../../src/lib/layer0/discovery/token.js';
import { parseInstance } from '../../../src/lib/layer1/router/state.js';
import { silentLog as noLog } from '../../../src/lib/appliance/log.js';
import { seededRng } from '../../../src/lib/util/rng.js';
import { fakeClock, type FakeClock } from '../../fakes/clock.js';
import { fakeEtcd, type FakeStore } from '../../fakes/store.js';
import { jobId } from '../host/world.js';

const host = { name: 'a', address: '10.0.0.1' };
const tokens = jobTokens(Buffer.alloc(32, 7));
const foreign = jobTokens(Buffer.alloc(32, 8));
const [one, two, other] = [jobId(1), jobId(2), jobId(3)];
const template = JobTemplate.parse({
  kind: 'service',
  image: 'app:1',
  ports: [
    { name: 'main', container: 6379 },
    { name: 'udp', container: 53, proto: 'udp' },
  ],
});
const claimOf = (owner: string, port: number): Claim =>
  Claim.parse({ t: 'x', o: owner, m: 64, c: 100, p: [port, port + 1000], w: 'run', x: 't' });
const claims = new Map<string, Claim>();

let clock: FakeClock;
let store: FakeStore;
let over: AbortController;
let directory: Directory;
let api: ReturnType<typeof endpointApi>;

const open = (asRoot = false): void => {
  api = endpointApi({
    ...{ directory, store, host, clock, log: noLog },
    registrar: new Registrar({ store, log: noLog }),
    caller: (authorization): Caller => {
      if (asRoot) return { kind: 'host' };
      const job = tokens.jobOf(authorization);
      const claim = claims.get(job);
      if (!claim) throw new FlynnError({ code: 'refused', message: 'gone' });
      return { kind: 'job', job, claim, template };
    },
    drained: () => Promise.resolve(),
  });
};

beforeEach(async () => {
  claims.clear();
  claims.set(one, claimOf('app/db/1/main', 20001));
  claims.set(two, claimOf('app/db/1/main', 20002));
  claims.set(other, claimOf('app/evil/1/web', 20003));
  clock = fakeClock();
  store = fakeEtcd(clock).client();
  over = new AbortController();
  directory = new Directory({ store, clock, rng: seededRng(1), log: noLog }, over.signal);
  await clock.settle();
  await directory.ready;
  open();
});
afterEach(() => over.abort());

const ask = async <T>(
  method: string,
  path: string,
  token: string | undefined,
  body?: unknown,
): Promise<{ status: number; body: T & { code?: string; message?: string } }> => {
  const answer = await api.request(path, {
    method,
    headers: { ...(token ? { authorization: `Bearer ${token}` } : {}), 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  await clock.settle();
  return { status: answer.status, body: (await answer.json()) as T & { code?: string } };
};
const register = (job: string, service = 'db', port = 6379) =>
  ask<Registration>('PUT', `/v1/services/${service}/registration`, tokens.of(job), { port });
const view = async (service = 'db') =>
  (await ask<ServiceView>('GET', `/v1/services/${service}`, tokens.of(one))).body;

describe('registering', () => {
  it('given a job, then it is found at its host and the host port of its claim, and by routers as a server', async () => {
    expect((await register(one)).body).toEqual({
      ...{ service: 'db', id: `${one}.6379`, address: '10.0.0.1', port: 20001, ttlMs: 10_000 },
    });
    expect((await view()).instances).toMatchObject([{ host: 'a', address: '10.0.0.1', port: 20001 }]);
    const entry = await store.get(keys.instance('a', 'db', `${one}.6379`));
    expect(parseInstance(entry!.key, entry!.value)).toMatchObject({ service: 'db', port: 20001 });
  });

  it('given news every five seconds, then it stays, its record unchanged; without news it is gone after ten', async () => {
    await register(one);
    const first = (await view()).instances[0];
    for (let i = 0; i < 5; i++) {
      await clock.advance(5_000);
      await register(one);
    }
    expect((await view()).instances).toEqual([first]);
    await clock.advance(10_500);
    expect((await view()).instances).toEqual([]);
  });

  it('given an agent that began anew, then the registration goes on without a gap and without a change', async () => {
    await register(one);
    const before = await store.get(keys.instance('a', 'db', `${one}.6379`));
    await clock.advance(5_000);
    open();
    await register(one);
    await clock.advance(7_000);
    expect(await store.get(keys.instance('a', 'db', `${one}.6379`))).toEqual(before);
  });

  it('given a key that a leader deleted, then the next news writes it again', async () => {
    await register(one);
    await store.delete(keys.instance('a', 'db', `${one}.6379`));
    await register(one);
    expect((await view()).instances).toHaveLength(1);
  });

  it('given it is withdrawn, then it is gone at once, and withdrawing again is no error', async () => {
    await register(one);
    const gone = () => ask('DELETE', '/v1/services/db/registration/6379', tokens.of(one));
    expect((await gone()).status).toBe(200);
    expect((await view()).instances).toEqual([]);
    expect((await gone()).status).toBe(200);
  });

  it('given a job that is being stopped, then it may withdraw and register nothing more', async () => {
    await register(one);
    claims.set(one, { ...claims.get(one)!, w: 'stop' });
    expect(await register(one)).toMatchObject({ status: 409, body: { code: 'conflict' } });
    expect((await ask('DELETE', '/v1/services/db/registration/6379', tokens.of(one))).status).toBe(200);
  });
});

describe('a job may do nothing but that', () => {
  it.each([
    ['no token', undefined],
    ['garbage', 'x'],
    ["another host's token", foreign.of(one)],
    ["a token with another job's name", tokens.of(one).replace(one, two)],
    ['the token of a job that is gone', tokens.of(jobId(9))],
  ])('%s is refused', async (_what, token) => {
    expect(await ask('GET', '/v1/services', token)).toMatchObject({ status: 401, body: { code: 'refused' } });
    const put = await ask('PUT', '/v1/services/db/registration', token, { port: 6379 });
    expect(put).toMatchObject({ status: 401, body: { code: 'refused' } });
  });

  it.each([
    ['a port that it has not', () => register(one, 'db', 22), 403, 'forbidden'],
    ['a port that is UDP', () => register(one, 'db', 53), 403, 'forbidden'],
    ['the name of an appliance', () => register(one, 'registry'), 403, 'forbidden'],
    ['a leader', () => register(one, 'leader.db'), 403, 'forbidden'],
    ["another app's name, though nobody has it now", () => register(one, 'web.hello'), 403, 'forbidden'],
    ['a name that is none', () => register(one, 'A_b'), 400, 'invalid'],
    ['a port that is none', () => register(one, 'db', 70_000), 400, 'invalid'],
  ])('it may not register %s', async (_what, attempt, status, code) => {
    expect(await attempt()).toMatchObject({ status, body: { code } });
    expect((await store.list(keys.instances)).entries).toEqual([]);
  });

  it('it may register names of its own app, and no name that others have', async () => {
    expect((await register(one, 'cache.db')).status).toBe(200);
    expect((await register(one)).status).toBe(200);
    expect((await register(two)).status).toBe(200);
    expect(await register(other)).toMatchObject({ status: 409, body: { code: 'conflict' } });
    await store.put(
      keys.instance('b', 'web', jobId(4)),
      JSON.stringify({ address: '10.0.0.2', port: 20009, since: 1 }),
    );
    await clock.settle();
    expect(await register(other, 'web')).toMatchObject({ status: 409, body: { code: 'conflict' } });
  });

  it('it withdraws its own alone', async () => {
    await register(one);
    await ask('DELETE', '/v1/services/db/registration/6379', tokens.of(two));
    expect((await view()).instances).toHaveLength(1);
  });

  it('it holds a bounded number of registrations', async () => {
    for (let i = 0; i < 64; i++) expect((await register(one, `s${i}`)).status).toBe(200);
    expect(await register(one, 's64')).toMatchObject({ status: 503, body: { code: 'no_capacity' } });
    expect((await register(two, 's65')).status).toBe(200);
  });

  it('root on the host registers any port of the host', async () => {
    open(true);
    const done = await ask<Registration>('PUT', '/v1/services/db/registration', undefined, { port: 5432 });
    expect(done.body).toMatchObject({ id: 'host.5432', address: '10.0.0.1', port: 5432 });
    expect(await ask('PUT', '/v1/services/sampi/registration', undefined, { port: 1 })).toMatchObject({
      status: 403,
    });
  });
});

describe('elections', () => {
  const stand = (job: string, port?: number) =>
    ask<Election>('PUT', '/v1/elections/db', tokens.of(job), { port });

  it('given two that stand, then the first leads until it is silent for ten seconds, and the next has a higher epoch', async () => {
    await register(one);
    await register(two);
    const second = (await stand(two, 6379)).body;
    expect(second).toMatchObject({ elected: true, leader: two });
    expect((await stand(one, 6379)).body).toMatchObject({ elected: false, leader: two, epoch: second.epoch });
    expect((await view()).leader).toMatchObject({ id: `${two}.6379`, port: 20002 });
    for (let i = 0; i < 3; i++) {
      await clock.advance(4_000);
      await stand(one, 6379);
      await register(one);
    }
    const first = (await stand(one, 6379)).body;
    expect(first).toMatchObject({ elected: true, leader: one });
    expect(first.epoch).toBeGreaterThan(second.epoch!);
    expect((await view()).leader).toMatchObject({ id: `${one}.6379` });
  });

  it('given nobody stands, then the oldest instance leads', async () => {
    await register(two);
    await register(one);
    expect((await view()).leader).toMatchObject({ id: `${two}.6379` });
  });

  it('given the leader resigns, then the next one leads at once', async () => {
    await stand(one);
    await stand(two);
    const left = await ask<Election>('DELETE', '/v1/elections/db', tokens.of(one));
    expect(left.body).toMatchObject({ leader: two, elected: false });
  });

  it("given another app's job, then it cannot stand under a dotted name of that app", async () => {
    expect(await ask('PUT', '/v1/elections/main.db', tokens.of(other), {})).toMatchObject({ status: 403 });
  });
});

describe('bad input', () => {
  it('given a body that is too large, of any length it says it has, then too_large', async () => {
    const large = JSON.stringify({ port: 6379, meta: { a: 'x'.repeat(20_000) } });
    const put = await ask('PUT', '/v1/services/db/registration', tokens.of(one), large);
    expect(put).toMatchObject({ status: 413, body: { code: 'too_large' } });
  });

  it('given any body at all, then it is registered or a coded error', async () => {
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.string(), fc.json()), async (body) => {
        const { status, body: answer } = await ask(
          'PUT',
          '/v1/services/db/registration',
          tokens.of(one),
          body,
        );
        expect(status === 200 || answer.code === 'invalid' || answer.code === 'forbidden').toBe(true);
      }),
      { numRuns: 200 },
    );
  });

  it('given any authorization at all, then refused', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(() => tokens.jobOf(text)).toThrow(FlynnError);
        expect(() => tokens.jobOf(`Bearer ${one}.${text}`)).toThrow(FlynnError);
      }),
    );
  });

  it('given a store that was never reached, then unreachable, not an empty list', async () => {
    const away = fakeEtcd(clock).client();
    away.cut();
    directory = new Directory({ store: away, clock, rng: seededRng(1), log: noLog }, over.signal);
    open();
    expect(await ask('GET', '/v1/services', tokens.of(one))).toMatchObject({
      status: 503,
      body: { code: 'unreachable' },
    });
  });
});

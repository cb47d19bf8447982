// The rest of the API: apps, names, routes, keys, roles, events, status, watching, logs.
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { AppName } from '../../../src/lib/api/names.js';
import { FlynnError } from '../../../src/lib/api/errors.js';
import { jsonLines } from '../../../src/lib/api/http.js';
import { keys } from '../../../src/lib/api/keys.js';
import type { AgentLine } from '../../../src/lib/layer1/controller/logs.js';
import { Grid, headersOf } from './grid.js';

let grid: Grid;
afterEach(() => grid?.stop());

/** Reads lines of a stream until enough came or the time is over; then lets go of it. */
async function lines(path: string, count: number, meanwhile: () => Promise<unknown> = async () => undefined) {
  const copy = grid.copies[0];
  if (!copy) throw new Error('no copy');
  const response = await grid.during(Promise.resolve(copy.api.request(path, { headers: headersOf({}) })));
  const found: Record<string, unknown>[] = [];
  const reading = (async () => {
    for await (const line of jsonLines(buffersOf(response))) {
      found.push(line as Record<string, unknown>);
      if (found.length >= count) return;
    }
  })();
  reading.catch(() => undefined);
  await grid.clock.advance(100);
  await meanwhile();
  await grid.during(reading);
  return found;
}

async function* buffersOf(response: Response): AsyncGenerator<Buffer> {
  const body = response.body as unknown as AsyncIterable<Uint8Array>;
  for await (const chunk of body) yield Buffer.from(chunk);
}

describe('apps', () => {
  it('given a name that is taken, then exists; with ifMissing it is returned; two at once make one', async () => {
    grid = await new Grid().start(['a'], undefined, 2);
    const both = await Promise.all([
      grid.ask('POST', '/v1/apps', { name: 'hello' }, {}, 0),
      grid.ask('POST', '/v1/apps', { name: 'hello' }, {}, 1),
    ]);
    expect(both.map(({ status }) => status).sort()).toEqual([200, 409]);
    expect(await grid.ask('POST', '/v1/apps', { name: 'hello' })).toMatchObject({ body: { code: 'exists' } });
    expect(await grid.must('POST', '/v1/apps', { name: 'hello', ifMissing: true })).toMatchObject({
      created: false,
    });
    expect(await grid.ask('POST', '/v1/apps', { name: 'No Good' })).toMatchObject({ status: 400 });
    expect(await grid.ask('POST', '/v1/apps', { name: 'router' })).toMatchObject({
      body: { code: 'invalid' },
    });
  });

  it('given no name, then a pleasant one is found', async () => {
    grid = await new Grid().start(['a']);
    const { app } = (await grid.must('POST', '/v1/apps', {})) as { app: { name: string } };
    expect(app.name).toMatch(/^[a-z]+-[a-z]+-\d{4}$/);
    expect(AppName.safeParse(app.name).success).toBe(true);
  });

  it('when an unknown type is scaled, then the types there are are named; nothing changes for the equal', async () => {
    grid = await new Grid().start(['a']);
    await grid.must('POST', '/v1/apps', { name: 'hello' });
    const early = await grid.ask('POST', '/v1/apps/hello/scale', { processes: { web: 2 } });
    expect(early.body).toMatchObject({ code: 'invalid', hint: 'flynn deploy --image IMAGE -a hello' });
    await grid.must('POST', '/v1/apps/hello/deploy', { image: 'x', processes: { web: {}, worker: {} } });
    await grid.until('hello', (s) => s.converged);
    const wrong = await grid.ask('POST', '/v1/apps/hello/scale', { processes: { wrok: 2 } });
    expect(wrong.body.message).toBe('app hello has no process type wrok; it has: web, worker');
    expect(await grid.must('POST', '/v1/apps/hello/scale', { processes: { web: 1 } })).toMatchObject({
      changed: false,
    });
    expect((await grid.ask('POST', '/v1/apps/hello/scale', { processes: { web: -1 } })).status).toBe(400);
    await grid.must('POST', '/v1/apps/hello/scale', { processes: { worker: 2 } });
    const state = await grid.until('hello', (s) => s.converged);
    expect(state.jobs.map(({ name, state: s }) => [name, s])).toEqual([
      ['web.1', 'serving'],
      ['worker.1', 'up'],
      ['worker.2', 'up'],
    ]);
  });

  it('when an app is destroyed, then routes go first, jobs stop, and nothing of it is left; its name is free again', async () => {
    grid = await new Grid().start(['a', 'b']);
    await grid.runApp('hello', 2);
    expect(await grid.must('DELETE', '/v1/apps/hello')).toEqual({ destroyed: true });
    expect((await grid.store.list(keys.routes)).entries).toEqual([]);
    expect((await grid.ask('GET', '/v1/apps/hello')).status).toBe(404);
    const name = await grid.ask('POST', '/v1/apps', { name: 'hello' });
    expect(name.body).toMatchObject({ code: 'conflict' });
    expect((await grid.must('GET', '/v1/apps')).apps).toEqual([]);
    await grid.clock.advance(5_000);
    const { entries } = await grid.store.list('');
    const left = entries
      .map(({ key }) => key)
      .filter((key) => key.includes('hello') || key.startsWith('claims/'));
    expect(left).toEqual([]);
    expect((await grid.store.list(keys.templates)).entries).toEqual([]);
    expect((await grid.ask('DELETE', '/v1/apps/hello')).status).toBe(404);
    await grid.runApp('hello', 1);
  });

  it('given claims of an app that nobody knows, then they are left alone', async () => {
    grid = await new Grid().start(['a']);
    await grid.runApp('hello', 1);
    await grid.store.delete(keys.app('hello'));
    await grid.clock.advance(10_000);
    const { entries } = await grid.store.list(keys.claims);
    expect(entries.map(({ value }) => (JSON.parse(value) as { w: string }).w)).toEqual(['run']);
  });
});

describe('routes', () => {
  it('given a domain of another app, then exists, naming it; adding twice is fine; removing gives it back', async () => {
    grid = await new Grid().start(['a']);
    await grid.must('POST', '/v1/apps', { name: 'one' });
    await grid.must('POST', '/v1/apps', { name: 'two' });
    const route = await grid.must('POST', '/v1/apps/one/routes', { domain: 'www.shop.test' });
    expect(route).toMatchObject({ app: 'one', service: 'web.one', auto: false });
    expect(await grid.must('POST', '/v1/apps/one/routes', { domain: 'www.shop.test' })).toEqual(route);
    const taken = await grid.ask('POST', '/v1/apps/two/routes', { domain: 'www.shop.test' });
    expect(taken.body).toMatchObject({
      code: 'exists',
      message: 'domain www.shop.test is in use by app one',
    });
    const { routes } = await grid.must('GET', '/v1/routes?app=one');
    expect(routes).toMatchObject([{ domain: 'one.example.com', auto: true }, { domain: 'www.shop.test' }]);
    expect((await grid.ask('DELETE', '/v1/apps/two/routes/www.shop.test')).status).toBe(404);
    await grid.must('DELETE', '/v1/apps/one/routes/www.shop.test');
    await grid.must('POST', '/v1/apps/two/routes', { domain: 'www.shop.test' });
    await grid.must('POST', '/v1/apps/two/routes', { domain: 'three.example.com' });
    const auto = await grid.ask('POST', '/v1/apps', { name: 'three' });
    expect(auto.body).toMatchObject({
      code: 'exists',
      message: 'domain three.example.com is in use by app two',
    });
  });
});

const publicKey =
  'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl ann@laptop';
const otherKey = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f bob@ci';
const fingerprint = 'SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU';

describe('keys', () => {
  it('when a key is added, then its fingerprint is that of ssh-keygen; twice is fine; another role is refused', async () => {
    grid = await new Grid().start(['a']);
    const added = await grid.must('POST', '/v1/keys', { publicKey });
    expect(added).toMatchObject({ fingerprint, name: 'ann@laptop', role: 'admin', type: 'ssh-ed25519' });
    expect(await grid.must('POST', '/v1/keys', { publicKey })).toEqual(added);
    expect(await grid.ask('POST', '/v1/keys', { publicKey, role: 'developer' })).toMatchObject({
      body: { code: 'exists' },
    });
    expect((await grid.must('GET', '/v1/keys')).keys).toEqual([added]);
    for (const bad of [
      'nonsense',
      '-----BEGIN OPENSSH PRIVATE KEY-----',
      'ssh-ed25519 AAAA',
      publicKey.replace('5AAAA', '5AAAB'),
    ])
      expect(await grid.ask('POST', '/v1/keys', { publicKey: bad })).toMatchObject({
        body: { code: 'invalid' },
      });
    const deploy = await grid.ask('POST', '/v1/keys', { publicKey: otherKey, role: 'deploy' });
    expect(deploy.body.message).toBe('a deploy key is for exactly one app');
  });

  it('when the last admin key is removed, then that is refused', async () => {
    grid = await new Grid().start(['a']);
    await grid.must('POST', '/v1/keys', { publicKey });
    await grid.must('POST', '/v1/keys', { publicKey: otherKey, role: 'developer' });
    const path = `/v1/keys/${encodeURIComponent(fingerprint)}`;
    expect(await grid.ask('DELETE', path)).toMatchObject({ status: 409, body: { code: 'conflict' } });
    const { keys: all } = (await grid.must('GET', '/v1/keys')) as {
      keys: { fingerprint: string; role: string }[];
    };
    const other = all.find(({ role }) => role === 'developer')?.fingerprint ?? '';
    await grid.must('DELETE', `/v1/keys/${encodeURIComponent(other)}`);
    await grid.must('POST', '/v1/keys', { publicKey: otherKey });
    await grid.must('DELETE', path);
    expect((await grid.ask('DELETE', path)).status).toBe(404);
  });
});

describe('roles', () => {
  let shared: Grid;
  beforeAll(async () => {
    shared = await new Grid().start(['a']);
    await shared.runApp('hello', 1);
    return () => shared.stop();
  });

  it.each([
    ['developer', '', 'POST', '/v1/apps/hello/scale', 200],
    ['developer', 'hello', 'POST', '/v1/apps/hello/scale', 200],
    ['developer', 'other', 'POST', '/v1/apps/hello/scale', 403],
    ['developer', 'other', 'GET', '/v1/apps/hello', 403],
    ['developer', '', 'POST', '/v1/keys', 403],
    ['developer', '', 'DELETE', '/v1/keys/x', 403],
    ['deploy', 'hello', 'GET', '/v1/apps/hello', 200],
    ['deploy', 'hello', 'GET', '/v1/apps/hello/env', 200],
    ['deploy', 'hello', 'POST', '/v1/apps/hello/deploy', 200],
    ['deploy', 'hello', 'POST', '/v1/apps/hello/scale', 403],
    ['deploy', 'hello', 'POST', '/v1/apps/hello/env', 403],
    ['deploy', 'hello', 'DELETE', '/v1/apps/hello', 403],
    ['deploy', 'hello', 'POST', '/v1/apps', 403],
    ['deploy', 'other', 'POST', '/v1/apps/hello/deploy', 403],
    ['nobody', '', 'GET', '/v1/apps', 403],
  ])('a %s key of [%s]: %s %s gives %i', async (role, apps, method, path, status) => {
    const body =
      method === 'GET' ? undefined : { image: 'hello:1', processes: { web: {} }, set: {}, publicKey };
    const scale = path.endsWith('scale') ? { processes: { web: 1 } } : body;
    const answer = await shared.ask(method, path, scale, { role, apps });
    expect(answer.status).toBe(status);
    if (status === 403) expect(answer.body).toMatchObject({ code: 'forbidden' });
  });

  it('a limited key sees its own apps, and events of them only', async () => {
    grid = await new Grid().start(['a']);
    await grid.must('POST', '/v1/apps', { name: 'one' });
    await grid.must('POST', '/v1/apps', { name: 'two' });
    const { apps } = await grid.must('GET', '/v1/apps', undefined, { role: 'developer', apps: 'two' });
    expect(apps).toMatchObject([{ name: 'two' }]);
    const { routes } = await grid.must('GET', '/v1/routes', undefined, { role: 'deploy', apps: 'one' });
    expect(routes).toMatchObject([{ app: 'one' }]);
  });
});

describe('streams', () => {
  it('a watcher hears the state at once and after changes, until the app is gone', async () => {
    grid = await new Grid().start(['a']);
    await grid.runApp('hello', 1);
    const heard = await lines('/v1/apps/hello/watch', 1000, async () => {
      await grid.must('POST', '/v1/apps/hello/scale', { processes: { web: 2 } });
      await grid.until('hello', (s) => s.converged);
      await grid.clock.advance(500);
      await grid.must('DELETE', '/v1/apps/hello');
    });
    expect(heard[0]).toMatchObject({ converged: true, formation: { web: 1 } });
    expect(
      heard.some(
        ({ converged, formation }) => converged === true && (formation as { web: number }).web === 2,
      ),
    ).toBe(true);
    expect(heard.at(-1)).toMatchObject({ error: { code: 'not_found' } });
  });

  it('events come by app and since, and follow', async () => {
    grid = await new Grid().start(['a']);
    await grid.must('POST', '/v1/apps', { name: 'one' });
    const heard = await lines('/v1/events?app=one&follow=1', 2, () =>
      grid.must('POST', '/v1/apps/one/deploy', { image: 'x' }),
    );
    expect(heard.map(({ type }) => type)).toEqual(['app.created', 'deployment.started']);
    await grid.until('one', (s) => s.converged);
    await grid.clock.advance(200);
    const since = await lines(`/v1/events?since=${String(heard[1]?.id)}`, 100);
    expect(since.map(({ type }) => type)).toEqual(['deployment.complete']);
  });

  it('logs are merged in order of time; a dead agent costs its own lines only', async () => {
    grid = await new Grid().start(['a', 'b', 'c']);
    const { jobs } = await grid.runApp('hello', 3);
    const said: Record<string, AgentLine[]> = {
      a: [line('one', 1), line('three', 3)],
      c: [line('two', 2), line('four', 4)],
    };
    grid.jobLogs = async function* ({ host }) {
      const its = said[host];
      if (!its)
        throw new FlynnError({ code: 'unreachable', message: 'https://10.0.0.98:1113 cannot be reached' });
      yield* its;
    };
    const heard = await lines('/v1/apps/hello/logs?lines=3', 100);
    expect(heard.map(({ line: text }) => text)).toEqual([
      'two',
      'three',
      'four',
      expect.stringContaining('from host b'),
    ]);
    expect(heard.at(-1)).toMatchObject({ stream: 'flynn' });
    expect(heard[0]).toMatchObject({ job: jobs.find(({ host }) => host === 'c')?.id, stream: 'stdout' });
  });

  it('a follower hears of new jobs, and goes on after a break', async () => {
    grid = await new Grid().start(['a']);
    await grid.runApp('hello', 1);
    let breaks = 1;
    grid.jobLogs = async function* ({ id }, { follow, since, signal }) {
      if (!follow) return yield* [line(`old of ${id.slice(-4)}`, 1)];
      if (since) yield line(`old of ${id.slice(-4)}`, 1);
      yield line(`first of ${id.slice(-4)}`, 2);
      if (breaks-- > 0) throw new FlynnError({ code: 'unreachable', message: 'gone' });
      yield line(`second of ${id.slice(-4)}`, 3);
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    };
    const heard = await lines('/v1/apps/hello/logs?lines=10&follow=1', 6, () =>
      grid.must('POST', '/v1/apps/hello/scale', { processes: { web: 2 } }),
    );
    const [first, second] = (await grid.state('hello')).jobs.map(({ id }) => id.slice(-4));
    const texts = heard.map(({ line: text }) => text);
    expect(texts.filter((text) => String(text).endsWith(first ?? ''))).toEqual([
      `old of ${first}`,
      `first of ${first}`,
      `second of ${first}`,
    ]);
    expect(texts.filter((text) => String(text).endsWith(second ?? ''))).toEqual([
      `first of ${second}`,
      `second of ${second}`,
    ]);
    expect(heard.filter(({ stream }) => stream === 'flynn')).toHaveLength(1);
  });
});

it('the status shows hosts, jobs, use, store and leader', async () => {
  grid = await new Grid().start(['a', 'b']);
  await grid.runApp('hello', 2);
  const status = await grid.must('GET', '/v1/status');
  expect(status).toMatchObject({
    cluster: 'test',
    domain: 'example.com',
    leader: 'control0',
    etcd: { members: 1, healthy: true, alarms: [] },
    hosts: [
      {
        name: 'a',
        alive: true,
        used: { m: 512, c: 100 },
        jobs: [{ name: expect.stringMatching(/^hello web\.[12]$/), state: 'serving' }],
      },
      { name: 'b', alive: true },
    ],
  });
});

function line(text: string, second: number): AgentLine {
  return { stream: 'stdout', line: text, ts: `2030-01-01T00:00:0${second}.000Z` };
}

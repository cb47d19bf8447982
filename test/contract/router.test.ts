// The router against real HAProxy: what it answers, how it follows changes under load, and what it survives.
import { connect, createServer } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { keys } from '../../src/lib/api/keys.js';
import { RouterRig, type Handler } from './router.rig.js';

let rig: RouterRig;
beforeEach(async () => {
  rig = await RouterRig.make();
});
afterEach(() => rig.end());

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const alive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};
const slow =
  (ms: number): Handler =>
  async () => {
    await pause(ms);
    return undefined;
  };

describe('given routes and instances', () => {
  it('answers by host name, says what is missing, and passes on who asked', async () => {
    const seen: NodeJS.Dict<string | string[]>[] = [];
    const app = await rig.app('a-1', (incoming) => void seen.push(incoming.headers));
    await rig.route('hello.test', 'web.hello');
    await rig.route('none.test', 'web.none');
    await rig.register(app, 'web.worker');
    const revision = await rig.register(app, 'web.hello');
    rig.start();
    await rig.applied(revision);

    expect(await rig.get('hello.test')).toEqual({ status: 200, body: 'a-1' });
    expect((await rig.get('HELLO.Test:8080')).status).toBe(200);
    expect((await rig.get('hello.test.')).status).toBe(200);
    const unknown = await rig.get('nope".test');
    expect(unknown.status).toBe(404);
    expect(JSON.parse(unknown.body)).toMatchObject({
      code: 'not_found',
      message: 'no app is routed at nope".test',
    });
    const none = await rig.get('none.test');
    expect(none.status).toBe(503);
    expect(JSON.parse(none.body)).toMatchObject({
      code: 'unreachable',
      message: 'none.test has no running instance',
    });

    await rig.get('hello.test', { headers: { 'x-request-id': 'mine-1234', 'x-forwarded-proto': 'https' } });
    expect(seen[0]?.['x-request-id']).toMatch(/^[0-9a-f-]{36}$/);
    expect(seen[0]?.['x-request-start']).toMatch(/^t=\d{13}$/);
    expect(seen.at(-1)).toMatchObject({
      host: 'hello.test',
      'x-request-id': 'mine-1234',
      'x-forwarded-for': '127.0.0.1',
      'x-forwarded-proto': 'http',
      'x-forwarded-port': String(rig.settings.httpPort),
    });

    const monitor = await fetch(`http://127.0.0.1:${rig.settings.monitorPort}/healthz`);
    expect(monitor.status).toBe(200);
  });

  it('tries another server when the connection is refused, and never repeats a request that was sent', async () => {
    const good = await rig.app('a-good');
    const gone = await rig.app('a-gone');
    await rig.route('hello.test', 'web.hello');
    await rig.register(good, 'web.hello');
    const revision = await rig.register(gone, 'web.hello');
    rig.start();
    await rig.applied(revision);
    rig.endNow(gone);
    for (let i = 0; i < 20; i++) expect(await rig.get('hello.test')).toEqual({ status: 200, body: 'a-good' });

    let received = 0;
    const breaks = await rig.app('a-breaks', (_request, app) => {
      received += 1;
      for (const socket of app.sockets) socket.destroy();
      return undefined;
    });
    await rig.route('breaks.test', 'web.breaks');
    await rig.applied(await rig.register(breaks, 'web.breaks'));
    expect((await rig.get('breaks.test', { method: 'POST' })).status).toBe(502);
    expect(received).toBe(1);
  });

  it('passes websockets, and keeps them over a reload', async () => {
    const app = await rig.app('a-1');
    app.server.on('upgrade', (_request, socket) => {
      const accept = 'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n';
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n${accept}\r\n`,
      );
      socket.on('end', () => socket.end());
      socket.on('data', (data: Buffer) => socket.write(`echo ${data.toString()}`));
    });
    await rig.route('hello.test', 'web.hello');
    const revision = await rig.register(app, 'web.hello');
    rig.start();
    await rig.applied(revision);
    const socket = connect(rig.settings.httpPort, '127.0.0.1');
    let heard = '';
    socket.on('data', (data: Buffer) => (heard += data.toString()));
    const nonce = 'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';
    socket.write(
      `GET / HTTP/1.1\r\nHost: hello.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n${nonce}\r\n`,
    );
    await rig.until(() => heard.includes('101'), 'upgrade');
    socket.write('one');
    await rig.until(() => heard.includes('echo one'), 'echo');
    await rig.route('new.test', 'web.new');
    await rig.until(async () => (await rig.get('new.test')).status === 503, 'reload');
    socket.write('two');
    await rig.until(() => heard.includes('echo two'), 'echo after the reload');
    // A withdrawn instance with an open websocket is reported as draining, by the former worker too.
    const { revision: gone } = await rig.store.delete(keys.instance('a', 'web.hello', 'a-1'));
    await rig.applied(gone);
    expect((await rig.consumer())?.draining).toEqual({ 'a-1': 1 });
    socket.destroy();
    await rig.until(async () => Object.keys((await rig.consumer())?.draining ?? {}).length === 0, 'drained');
  });
});

describe('given load', () => {
  it('loses no request while instances come and go, and needs no reload for it', async () => {
    const first = await rig.app('a-0', slow(2));
    await rig.route('hello.test', 'web.hello');
    const revision = await rig.register(first, 'web.hello');
    rig.start();
    await rig.applied(revision);
    const before = await rig.process.processes();
    expect(await rig.process.loading()).toBe(true);
    const load = rig.load('hello.test', 16, 60_000);
    for (let round = 0; round < 3; round++) {
      const added = await Promise.all([1, 2, 3, 4, 5].map((n) => rig.app(`a-${round}-${n}`, slow(2))));
      const revisions = await Promise.all(added.map((app) => rig.register(app, 'web.hello')));
      await rig.applied(Math.max(...revisions));
      await rig.until(() => added.every((app) => app.requests > 20), 'requests at every instance');
      await Promise.all(added.map((app) => rig.withdraw(app, 'web.hello')));
    }
    await rig.until(() => load.sent >= 3000, 'requests enough');
    load.stop();
    await load.done;
    expect([load.failed.length, load.failed[0]]).toEqual([0, undefined]);
    expect(load.ok).toBeGreaterThanOrEqual(3000);
    expect(await rig.process.processes()).toEqual(before);
    // Withdrawn servers leave HAProxy, not only its balancing.
    await rig.until(
      async () => {
        const state = await rig.process.command(before?.current ?? 0, ['show servers state web.hello']);
        return (state.match(/ a-\d/g) ?? []).length === 1;
      },
      'servers deleted',
      30_000,
    );
  });

  it('loses no request over reloads, also when instances leave at the same time', async () => {
    const apps = await Promise.all([0, 1, 2, 3, 4, 5].map((n) => rig.app(`a-${n}`, slow(2))));
    await rig.route('hello.test', 'web.hello');
    const revisions = await Promise.all(apps.map((app) => rig.register(app, 'web.hello')));
    rig.start();
    await rig.applied(Math.max(...revisions));
    const load = rig.load('hello.test', 16, 60_000);
    for (let n = 0; n < 5; n++) {
      await rig.until(() => load.sent > n * 500, 'requests between reloads');
      const leaving = apps[n];
      await Promise.all([
        rig.route(`new${n}.test`, `web.new${n}`),
        leaving ? rig.withdraw(leaving, 'web.hello') : undefined,
      ]);
      await rig.until(async () => (await rig.get(`new${n}.test`)).status === 503, `route ${n}`);
    }
    await rig.until(() => load.sent >= 3000, 'requests enough');
    load.stop();
    await load.done;
    expect([load.failed.length, load.failed[0]]).toEqual([0, undefined]);
    expect((await rig.process.processes())?.reloads).toBeGreaterThanOrEqual(5);
  });
});

describe('given faults', () => {
  it('takes the servers of a silent host out, but never the last, and puts them back', async () => {
    const near = await rig.app('a-1');
    const far = await rig.app('b-1');
    await rig.route('hello.test', 'web.hello');
    await rig.register(near, 'web.hello', 'a');
    const revision = await rig.register(far, 'web.hello', 'b');
    rig.start();
    await rig.applied(revision);
    const bodies = async (): Promise<string[]> => {
      const answers = [];
      for (let i = 0; i < 10; i++) answers.push((await rig.get('hello.test')).body);
      return [...new Set(answers)].sort();
    };
    expect(await bodies()).toEqual(['a-1', 'b-1']);
    rig.prober.set('b', true);
    await rig.until(async () => (await bodies()).join() === 'a-1', 'b out');
    expect(await rig.config()).toMatch(/server b-1 .* disabled/);
    rig.prober.set('a', true);
    await rig.until(async () => (await bodies()).join() === 'a-1,b-1', 'all are silent: none is out');
    rig.prober.set('a', false);
    await rig.until(async () => (await bodies()).join() === 'a-1', 'b out again');
    rig.prober.set('b', false);
    await rig.until(async () => (await bodies()).join() === 'a-1,b-1', 'b back');
  });

  it('given a host that is silent for a moment, then what is under way there is answered; when it stays silent, it is cut', async () => {
    const waiting: ((text: string) => void)[] = [];
    const near = await rig.app('a-1');
    const far = await rig.app('b-1', (request) =>
      request.url === '/slow' ? new Promise<string>((resolve) => waiting.push(resolve)) : undefined,
    );
    await rig.route('hello.test', 'web.hello');
    const first = await rig.register(far, 'web.hello', 'b');
    rig.start();
    await rig.applied(first);
    const slow = rig.get('hello.test', { path: '/slow' });
    await rig.until(() => waiting.length === 1, 'the request at the app');
    await rig.applied(await rig.register(near, 'web.hello', 'a'));
    const out = () => rig.config().then((text) => /server b-1 .* disabled/.test(text));
    rig.prober.set('b', true);
    await rig.until(out, 'b out');
    rig.prober.set('b', false);
    await rig.until(async () => !(await out()), 'b back');
    waiting.splice(0).forEach((answer) => answer('late'));
    expect(await slow).toEqual({ status: 200, body: 'late' });

    rig.prober.set('a', true);
    await rig.until(async () => /server a-1 .* disabled/.test(await rig.config()), 'a out');
    const lost = rig.get('hello.test', { path: '/slow' }).then(
      ({ status }) => status,
      () => 0,
    );
    await rig.until(() => waiting.length === 1, 'the request at the app');
    rig.prober.set('a', false);
    rig.prober.set('b', true);
    const silent = performance.now();
    expect(await lost).not.toBe(200);
    expect(performance.now() - silent).toBeGreaterThan(2_000);
  });

  it('adopts the running HAProxy when the syncer is started again', async () => {
    const first = await rig.app('a-1');
    const second = await rig.app('a-2');
    await rig.route('hello.test', 'web.hello');
    const revision = await rig.register(first, 'web.hello');
    rig.start();
    await rig.applied(revision);
    const before = await rig.process.processes();
    const load = rig.load('hello.test', 4, 60_000);
    await rig.stopSyncer();
    expect(await rig.consumer()).toBeUndefined();
    const later = await rig.register(second, 'web.hello');
    rig.start();
    await rig.applied(later);
    await rig.until(() => second.requests > 0 && load.sent > 500, 'requests at the new instance');
    load.stop();
    await load.done;
    expect([load.failed.length, load.failed[0]]).toEqual([0, undefined]);
    expect(await rig.process.processes()).toEqual(before);
  });

  it('starts from its last state while the store is away, and removes nothing', async () => {
    const app = await rig.app('a-1');
    await rig.route('hello.test', 'web.hello');
    const revision = await rig.register(app, 'web.hello');
    rig.start();
    await rig.applied(revision);
    await rig.stopSyncer();
    const { master } = (await rig.process.processes()) ?? { master: 0 };
    process.kill(master, 'SIGTERM');
    await rig.until(async () => (await rig.process.processes()) === undefined, 'end of HAProxy');

    const away = rig.etcd.client();
    away.cut('refused');
    rig.start(away);
    await rig.until(
      async () => (await rig.get('hello.test').catch(() => ({ status: 0 }))).status === 200,
      'serving',
    );
    away.heal();
    await rig.applied(revision);
    expect((await rig.get('hello.test')).status).toBe(200);
  });

  it('goes on serving when the store comes back empty', async () => {
    const app = await rig.app('a-1');
    await rig.route('hello.test', 'web.hello');
    for (let i = 0; i < 10; i++) await rig.register(app, 'web.hello');
    rig.start();
    await rig.until(async () => (await rig.consumer()) !== undefined, 'consumer');
    rig.etcd.wipe();
    rig.store.dropWatches();
    await rig.until(() => rig.lines.some((line) => line.message.includes('restored or emptied')), 'notice');
    await pause(500);
    expect(await rig.get('hello.test')).toEqual({ status: 200, body: 'a-1' });
  });

  it('brings HAProxy back when its worker or its master is killed', async () => {
    const app = await rig.app('a-1');
    await rig.route('hello.test', 'web.hello');
    const revision = await rig.register(app, 'web.hello');
    rig.start();
    await rig.applied(revision);
    const serves = async (): Promise<boolean> =>
      (await rig.get('hello.test').catch(() => ({ status: 0 }))).status === 200;

    const first = await rig.process.processes();
    process.kill(first?.current ?? 0, 'SIGKILL');
    await rig.until(
      async () => ((await rig.process.processes())?.master ?? 0) !== (first?.master ?? 0),
      'new master',
    );
    const killed = performance.now();
    await rig.until(serves, 'serving again', 2_000);
    expect(performance.now() - killed).toBeLessThan(2_000);

    // A worker without a master ends itself sooner or later; it must not go on with an old state beside the new one.
    await rig.until(async () => (await rig.process.processes())?.current !== undefined, 'settled');
    const second = await rig.process.processes();
    process.kill(second?.master ?? 0, 'SIGKILL');
    await rig.until(async () => {
      const now = await rig.process.processes();
      return now?.current !== undefined && now.master !== second?.master;
    }, 'new master');
    await rig.until(serves, 'serving again', 2_000);
    await rig.until(() => !alive(second?.current ?? 0), 'end of the orphan', 20_000);
  });

  it('says so when its port is taken, and withdraws from the agents that would wait for it', async () => {
    const blocker = createServer();
    await new Promise<void>((resolve) => blocker.listen(rig.settings.httpPort, '127.0.0.1', resolve));
    rig.start();
    await rig.until(() => rig.lines.some((line) => line.message === 'HAProxy does not follow'), 'complaint');
    const complaint = rig.lines.find((line) => line.message === 'HAProxy does not follow');
    expect(JSON.stringify(complaint)).toMatch(/Address already in use/);
    expect(await rig.consumer()).toBeUndefined();
    await new Promise((resolve) => blocker.close(resolve));
    await rig.until(async () => (await rig.consumer()) !== undefined, 'recovery');
  });
});

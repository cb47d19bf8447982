// The gateway on real parts: ssh2's server and our SSH client on loopback, TLS with certificates of a real authority, a fake controller.
import { execFile } from 'node:child_process';
import { createServer as createTlsServer, type Server } from 'node:https';
import {
  createServer as createTcpServer,
  connect as tcpConnect,
  type Server as TcpServer,
  type Socket,
} from 'node:net';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import ssh2, { type ClientChannel } from 'ssh2';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ChannelAgent } from '../../src/lib/access/channel-agent.js';
import { ControllerClient } from '../../src/lib/access/controller.js';
import { GatewayConnection } from '../../src/lib/access/gateway.js';
import { isFlynnError } from '../../src/lib/api/errors.js';
import { HttpClient } from '../../src/lib/api/http.js';
import { keys as storeKeys } from '../../src/lib/api/keys.js';
import type { Identity } from '../../src/lib/appliance/config.js';
import { startGateway, type Gateway, type GatewayOptions } from '../../src/lib/layer1/gateway/index.js';
import type { Endpoint } from '../../src/lib/layer1/gateway/upstream.js';
import { issue, newAuthority, type CertificatePair } from '../../src/lib/operator/pki.js';
import { createConnector } from '../../src/lib/ssh/index.js';
import { systemClock } from '../../src/lib/util/clock.js';
import { newOpensshKey } from '../../src/lib/util/openssh-key.js';
import { poll } from '../../src/lib/util/retry.js';
import { FakeController } from '../fakes/controller.js';
import { person, type Person } from '../fakes/people.js';
import { fakeEtcd, type FakeStore } from '../fakes/store.js';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));

const { privateKey: hostPrivateKey, fingerprint } = newOpensshKey('host');

let authority: CertificatePair;
let identity: Identity;
let store: FakeStore;
let etcd: ReturnType<typeof fakeEtcd>;
let controller: FakeController;
let gateway: Gateway;
let endpoints: Endpoint[];
let logged: string[];
const cleanups: (() => Promise<void> | void)[] = [];

async function identityFor(name: string): Promise<Identity> {
  const pair = await issue(authority, { name, addresses: ['127.0.0.1', 'localhost'] }, Date.now());
  return { ca: authority.cert, ...pair };
}

async function upstreamServer(who: Identity, fake: FakeController): Promise<Endpoint> {
  const server: Server = createTlsServer(
    { ...who, requestCert: true, rejectUnauthorized: true },
    (request, response) => fake.handle(request, response),
  );
  server.on('upgrade', (request, socket) => {
    if (request.url === '/v1/refuse') {
      socket.end(
        'HTTP/1.1 403 Forbidden\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n{"code":"forbidden","message":"not you"}',
      );
      return;
    }
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: flynn\r\n\r\n${String(request.headers['x-flynn-name'])}:`,
    );
    socket.pipe(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanups.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return { address: '127.0.0.1', port: (server.address() as { port: number }).port };
}

/** A host that froze: its kernel accepts, nothing answers. */
async function frozen(): Promise<Endpoint> {
  const sockets = new Set<Socket>();
  const server: TcpServer = createTcpServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanups.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { address: '127.0.0.1', port: (server.address() as { port: number }).port };
}

async function closedPort(): Promise<number> {
  const server = createTcpServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function start(extra: Partial<GatewayOptions> = {}): Promise<Gateway> {
  const note = (fields: object, text: string): void => void logged.push(`${text} ${JSON.stringify(fields)}`);
  const started = await startGateway(
    {
      store,
      identity,
      hostKey: hostPrivateKey,
      local: { name: 'host-a', address: '127.0.0.1' },
      clock: systemClock,
      log: { debug: () => undefined, info: note, warn: note, error: note },
      endpoints: () => endpoints,
      ...extra,
    },
    0,
    '127.0.0.1',
  );
  cleanups.push(() => started.close());
  return started;
}

const admit = (who: Person): Promise<unknown> =>
  store.put(storeKeys.sshKey(who.record.fingerprint), JSON.stringify(who.record));

function enter(who: Person, gateways = [`127.0.0.1:${gateway.port}`], pin = fingerprint) {
  const connection = new GatewayConnection({
    context: { name: 'test', gateways, fingerprint: pin },
    connector: createConnector({ home: '/nonexistent' }),
    auth: { keyTexts: [who.privateKey], agent: false, defaultIdentities: false },
    clock: systemClock,
    sshConfig: false,
  });
  const agent = new ChannelAgent(async () => {
    const channel = await (await connection.connection()).spawn(['flynn-api']);
    channel.stderr.resume();
    return channel;
  });
  const http = new HttpClient({ baseUrl: 'http://test', agent, timeoutMs: 8_000 });
  cleanups.push(async () => {
    agent.destroy();
    await connection.close();
  });
  return { connection, agent, http, client: new ControllerClient(http) };
}

async function failure(promise: Promise<unknown>): Promise<{ code: string; message: string }> {
  try {
    await promise;
  } catch (error) {
    if (isFlynnError(error)) return { code: error.code, message: error.message };
    throw error;
  }
  throw new Error('it succeeded');
}

/** A bare SSH client of ssh2, for what our own never asks. */
function bareClient(who: Person): Promise<ssh2.Client> {
  return new Promise((resolve, reject) => {
    const client = new ssh2.Client();
    client.on('error', reject);
    client.on('ready', () => resolve(client));
    client.connect({ host: '127.0.0.1', port: gateway.port, username: 'root', privateKey: who.privateKey });
    cleanups.push(() => void client.end());
  });
}

const ada = person('ada');

beforeAll(async () => {
  authority = await newAuthority('test', Date.now());
  identity = await identityFor('control');
});

beforeEach(async () => {
  etcd = fakeEtcd();
  store = etcd.client();
  controller = new FakeController();
  controller.seed('hello', { web: 1 });
  logged = [];
  endpoints = [await upstreamServer(identity, controller)];
  await admit(ada);
  gateway = await start();
  await gateway.ready;
});

afterEach(async () => {
  await controller.close();
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

describe('who comes in', () => {
  it('given a known key, when the API is called, then the controller hears who it is, whatever the caller claims', async () => {
    const { http } = enter(ada);
    const { WhoAmI } = await import('../../src/lib/access/controller.js');
    const headers = { 'x-flynn-role': 'root', 'X-Flynn-Anything': 'x', 'x-other': 'kept' };
    const who = await http.call('GET', '/v1/whoami', WhoAmI, { headers });
    expect(who).toMatchObject({ fingerprint: ada.record.fingerprint, name: 'ada', role: 'admin' });
    const seen = controller.seen.at(-1) ?? {};
    expect(seen['x-flynn-anything']).toBeUndefined();
    expect(seen['x-other']).toBe('kept');
    expect(
      logged.some((line) => line.startsWith('key accepted') && line.includes(ada.record.fingerprint)),
    ).toBe(true);
  });

  it('given an unknown key, when it comes, then it is refused and logged', async () => {
    const stranger = person('mallory');
    expect(await failure(enter(stranger).client.apps())).toMatchObject({ code: 'refused' });
    expect(
      logged.some((line) => line.startsWith('key refused') && line.includes(stranger.record.fingerprint)),
    ).toBe(true);
    expect(controller.seen).toHaveLength(0);
  });

  it('given a record under a known fingerprint with another key in it, when that key comes, then it is refused', async () => {
    const mallory = person('mallory');
    const forged = { ...ada.record, blob: mallory.record.blob };
    await store.put(storeKeys.sshKey(ada.record.fingerprint), JSON.stringify(forged));
    await store.put(
      storeKeys.sshKey('SHA256:other'),
      JSON.stringify({ ...mallory.record, fingerprint: 'SHA256:other' }),
    );
    expect(await failure(enter(mallory).client.apps())).toMatchObject({ code: 'refused' });
  });

  it('given a known public key without its private half, when it comes, then its signature is refused', async () => {
    const mallory = ssh2.utils.parseKey(person('mallory').privateKey);
    const pretended = ssh2.utils.parseKey(`${ada.record.type} ${ada.record.blob}`);
    if (mallory instanceof Error || pretended instanceof Error) throw new Error('bad keys');
    class Thief extends ssh2.BaseAgent {
      override getIdentities(done: (error: Error | null, keys?: ssh2.ParsedKey[]) => void): void {
        done(null, [pretended as ssh2.ParsedKey]);
      }
      override sign(_key: unknown, data: Buffer, ...rest: unknown[]): void {
        const done = rest.at(-1) as (error: Error | null, signature?: Buffer) => void;
        const signature = (mallory as ssh2.ParsedKey).sign(data);
        done(null, signature instanceof Error ? undefined : signature);
      }
    }
    const client = new ssh2.Client();
    const error = await new Promise<Error & { level?: string }>((resolve, reject) => {
      client.on('error', resolve);
      client.on('ready', () => reject(new Error('it was let in')));
      client.connect({
        host: '127.0.0.1',
        port: gateway.port,
        username: 'git',
        agent: new Thief() as ssh2.BaseAgent,
      });
    });
    expect(error.level).toBe('client-authentication');
    expect(logged.some((line) => line.startsWith('bad signature'))).toBe(true);
  });

  it('given another host key than the pinned one, when connecting, then it is refused before any key is shown', async () => {
    const other = `SHA256:${'A'.repeat(43)}`;
    const { code, message } = await failure(enter(ada, undefined, other).client.apps());
    expect(code).toBe('refused');
    expect(message + JSON.stringify(logged)).toContain(fingerprint);
    expect(logged.filter((line) => line.startsWith('key '))).toHaveLength(0);
  });

  it('given an open connection, when its key is removed, then the connection ends and the key is refused', async () => {
    const { client, connection } = enter(ada);
    await client.apps();
    const live = await connection.connection();
    await store.delete(storeKeys.sshKey(ada.record.fingerprint));
    await poll(systemClock, () => live.closed || undefined, { timeoutMs: 3_000 });
    expect(await failure(client.apps())).toMatchObject({ code: 'refused' });
  });

  it('given a store that is away, when a known key comes, then it is let in', async () => {
    store.cut();
    expect(await enter(ada).client.apps()).toHaveLength(1);
  });

  it('given a key added a moment ago, when it comes, then it is let in', async () => {
    const ben = person('bén', 'deploy', ['hello']);
    await admit(ben);
    await poll(
      systemClock,
      async () => {
        const apps = await enter(ben)
          .client.apps()
          .catch(() => undefined);
        return apps;
      },
      { timeoutMs: 3_000 },
    );
    const seen = controller.seen.at(-1) ?? {};
    expect(seen['x-flynn-apps']).toBe('hello');
    expect(seen['x-flynn-role']).toBe('deploy');
    expect(seen['x-flynn-name']).toBe('b?n');
  });
});

describe('what is served', () => {
  it('given an open connection, when anything but the API is asked for, then it is refused', async () => {
    const client = await bareClient(ada);
    const answers = await Promise.all([
      new Promise<string>((resolve) => client.shell((error) => resolve(error ? 'refused' : 'shell'))),
      new Promise<string>((resolve) => client.sftp((error) => resolve(error ? 'refused' : 'sftp'))),
      new Promise<string>((resolve) =>
        client.forwardOut('127.0.0.1', 1, '127.0.0.1', 22, (error) => resolve(error ? 'refused' : 'forward')),
      ),
      new Promise<string>((resolve) =>
        client.forwardIn('127.0.0.1', 0, (error) => resolve(error ? 'refused' : 'reverse')),
      ),
      new Promise<string>((resolve) =>
        client.subsys('netconf', (error) => resolve(error ? 'refused' : 'subsystem')),
      ),
      new Promise<string>((resolve) =>
        client.openssh_forwardOutStreamLocal('/var/run/docker.sock', (error) =>
          resolve(error ? 'refused' : 'unix'),
        ),
      ),
    ]);
    expect(answers).toEqual(Array(6).fill('refused'));
  });

  it.each(['ls', 'flynn-api extra', 'sh -c flynn-api', "git-upload-pack 'hello.git'"])(
    'given the command %s, when run, then it ends 127 and says so',
    async (command) => {
      const client = await bareClient(ada);
      const result = await new Promise<{ code: number; stderr: string }>((resolve, reject) => {
        client.exec(command, (error: Error | undefined, channel: ClientChannel) => {
          if (error) return reject(error);
          let stderr = '';
          let code = -1;
          channel.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
          channel.on('exit', (value: number) => (code = value));
          channel.on('close', () => resolve({ code, stderr }));
          channel.resume();
        });
      });
      expect(result).toEqual({ code: 127, stderr: 'flynn: unknown command\n' });
    },
  );

  it('given a watch, when the app changes, then each state arrives at once; when the reader stops, the controller hears', async () => {
    const { client } = enter(ada);
    const states: number[] = [];
    for await (const state of client.watchApp('hello')) {
      states.push(state.jobs.length);
      if (states.length === 1) await client.scale('hello', { processes: { web: 3 } });
      if (state.converged && state.jobs.length === 3) break;
    }
    expect(states[0]).toBe(1);
    expect(states.at(-1)).toBe(3);
    await poll(systemClock, () => controller.listenerCount('change') === 0 || undefined, {
      timeoutMs: 3_000,
    });
  });

  it('given 40 requests at once, when sent, then all are answered over at most 8 channels', async () => {
    const { client } = enter(ada);
    const answers = await Promise.all(Array.from({ length: 40 }, () => client.apps()));
    expect(answers.every((apps) => apps[0]?.name === 'hello')).toBe(true);
  });

  it('given an upgrade, when made, then bytes go both ways; a refused one gives its error', async () => {
    const { http } = enter(ada);
    const socket = await http.upgrade('POST', '/v1/attach');
    const heard = new Promise<string>((resolve) => {
      let text = '';
      socket.on('data', (chunk: Buffer) => {
        text += chunk.toString();
        if (text.length >= 9) resolve(text);
      });
    });
    socket.write('hello');
    expect(await heard).toBe('ada:hello');
    socket.destroy();
    expect(await failure(http.upgrade('POST', '/v1/refuse'))).toEqual({
      code: 'forbidden',
      message: 'not you',
    });
  });

  it('given errors of the controller, when called, then code, message and hint pass unchanged', async () => {
    expect(await failure(enter(ada).client.app('nope'))).toEqual({
      code: 'not_found',
      message: 'there is no app nope',
    });
  });
});

describe('controllers that are away', () => {
  it('given a dead and a frozen controller first, when called, then the third answers within a second', async () => {
    endpoints = [{ address: '127.0.0.1', port: await closedPort() }, await frozen(), ...endpoints];
    const { client } = enter(ada);
    await client.apps();
    const start = performance.now();
    await client.apps();
    expect(performance.now() - start).toBeLessThan(1_000);
  });

  it('given no controller, when called, then the answer is unreachable and the connection stays', async () => {
    endpoints = [{ address: '127.0.0.1', port: await closedPort() }];
    const { client, connection } = enter(ada);
    const { code, message } = await failure(client.apps());
    expect(code).toBe('unreachable');
    expect(message).toContain('no controller answers');
    expect((await connection.connection()).closed).toBe(false);
  });

  it('given a worker that poses as a controller, when called, then nothing is sent to it', async () => {
    const poser = new FakeController();
    endpoints = [await upstreamServer(await identityFor('host-b'), poser)];
    const { code, message } = await failure(enter(ada).client.apps());
    expect(code).toBe('unreachable');
    expect(message).toContain('host-b');
    expect(poser.seen).toHaveLength(0);
  });

  it('given hosts in the store, when none is said otherwise, then our own is tried first and control hosts follow', async () => {
    const { ControlHosts } = await import('../../src/lib/layer1/gateway/upstream.js');
    const info = (name: string, address: string, roles: string[]): Promise<unknown> =>
      store.put(
        storeKeys.hostInfo(name),
        JSON.stringify({
          name,
          address,
          publicAddress: address,
          roles,
          arch: 'amd64',
          wrapKey: 'x',
          cpuMillis: 1,
          memoryBytes: 1,
          joinedAt: 1,
        }),
      );
    await info('host-a', '10.0.0.1', ['control', 'etcd']);
    await info('host-b', '10.0.0.2', ['control']);
    await info('host-c', '10.0.0.3', ['control']);
    await info('host-d', '10.0.0.4', []);
    await store.put(storeKeys.hostLease('host-c'), '{}');
    await store.put(storeKeys.hostBook('host-c'), 'not even JSON');
    const hosts = new ControlHosts({
      store,
      clock: systemClock,
      local: { name: 'host-a', address: '10.0.0.1' },
    });
    const stop = new AbortController();
    cleanups.push(() => stop.abort());
    hosts.start(stop.signal);
    await poll(systemClock, () => hosts.endpoints().length === 3 || undefined, { timeoutMs: 2_000 });
    expect(hosts.endpoints().map((each) => each.address)).toEqual(['10.0.0.1', '10.0.0.3', '10.0.0.2']);
  });
});

describe('gateways that are away', () => {
  it('given a frozen gateway first, when connecting, then the second answers within half a second', async () => {
    const dead = await frozen();
    const { client } = enter(ada, [`127.0.0.1:${dead.port}`, `127.0.0.1:${gateway.port}`]);
    const start = performance.now();
    expect(await client.apps()).toHaveLength(1);
    expect(performance.now() - start).toBeLessThan(900);
  });

  it('given a gateway that refuses connections first, when connecting, then the second is tried at once', async () => {
    const { client } = enter(ada, [`127.0.0.1:${await closedPort()}`, `127.0.0.1:${gateway.port}`]);
    expect(await client.apps()).toHaveLength(1);
  });

  it('given a connection, when its gateway dies, then the next call goes through another one', async () => {
    const second = await start();
    await second.ready;
    const { client } = enter(ada, [`127.0.0.1:${gateway.port}`, `127.0.0.1:${second.port}`]);
    await client.apps();
    await gateway.close();
    await poll(systemClock, async () => client.apps().catch(() => undefined), { timeoutMs: 5_000 });
    expect(second.connections()).toBe(1);
  });

  it('given no gateway at all, when connecting, then it is unreachable and names them', async () => {
    const port = await closedPort();
    const { code, message } = await failure(enter(ada, [`127.0.0.1:${port}`]).client.apps());
    expect(code).toBe('unreachable');
    expect(message).toContain(String(port));
  });
});

describe('limits', () => {
  it('given somebody who connects and says nothing, when the time is over, then the connection is ended', async () => {
    const own = await start({ limits: { handshakeMs: 200 } });
    const socket = tcpConnect(own.port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.resume();
    const start_ = performance.now();
    await new Promise((resolve) => socket.once('close', resolve));
    expect(performance.now() - start_).toBeLessThan(3_000);
    await poll(systemClock, () => own.connections() === 0 || undefined, { timeoutMs: 2_000 });
  });

  it('given as many connections as are allowed, when one more comes, then it is refused and those go on', async () => {
    gateway = await start({ limits: { connections: 2 } });
    await gateway.ready;
    const one = enter(ada);
    await one.client.apps();
    await enter(ada).client.apps();
    const more = await failure(enter(ada).client.apps());
    expect(more.code).toBe('unreachable');
    expect(await one.client.apps()).toHaveLength(1);
  });

  it('given more channels than are allowed, when opened, then the surplus is refused', async () => {
    const client = await bareClient(ada);
    const open = (): Promise<boolean> =>
      new Promise((resolve) => client.exec('flynn-api', (error) => resolve(!error)));
    const opened = await Promise.all(Array.from({ length: 20 }, open));
    expect(opened.filter(Boolean)).toHaveLength(16);
  });
});

describe('the command line', () => {
  const flynn = async (
    argv: string[],
    gateways: string[],
  ): Promise<{ stdout: string; stderr: string; ms: number }> => {
    const env = {
      PATH: process.env.PATH,
      HOME: '/nonexistent',
      FLYNN_DEBUG: '1',
      FLYNN_CLUSTER: `flynn://${gateways.join(',')}/test?key=${encodeURIComponent(fingerprint)}`,
      FLYNN_SSH_KEY: ada.privateKey,
    };
    const began = performance.now();
    const out = await run(process.execPath, ['bin/dev.js', ...argv], { cwd: root, env, timeout: 40_000 });
    return { ...out, ms: performance.now() - began };
  };

  it('given FLYNN_CLUSTER and FLYNN_SSH_KEY alone, when flynn apps runs, then it answers and nothing keeps the process', async () => {
    const { stdout, stderr } = await flynn(['apps', '--json'], [`127.0.0.1:${gateway.port}`]);
    expect(JSON.parse(stdout)).toMatchObject({ apps: [{ name: 'hello' }] });
    // The launcher says so when it has to end a process that something left open still holds.
    expect(stderr).toBe('');
  });

  it('given a frozen gateway first, when flynn -a hello ps runs, then it costs little more than without', async () => {
    const dead = await frozen();
    const live = `127.0.0.1:${gateway.port}`;
    const plain = await flynn(['-a', 'hello', 'ps'], [live]);
    const raced = await flynn(['-a', 'hello', 'ps'], [`127.0.0.1:${dead.port}`, live]);
    expect(raced.stdout).toContain('web.1');
    expect(raced.stderr).toBe('');
    // Both in one run on one machine, busy as it may be; without the race it would be 10 s.
    expect(raced.ms - plain.ms).toBeLessThan(2_500);
  });

  it('given an unknown key, when flynn apps runs, then it ends 5', async () => {
    await store.delete(storeKeys.sshKey(ada.record.fingerprint));
    const failed = flynn(['apps', '--json'], [`127.0.0.1:${gateway.port}`]);
    await expect(failed).rejects.toMatchObject({
      code: 5,
      stdout: expect.stringContaining('"refused"') as string,
    });
  });
});

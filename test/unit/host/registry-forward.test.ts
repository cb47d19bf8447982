// The registry's forward: over mTLS to the first copy that finishes a handshake, and never an end of the agent.
import { createConnection, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { startRegistryForward, type RegistryForward } from '../../../src/lib/layer0/host/registry-forward.js';
import { registryOrder } from '../../../src/lib/layer0/host/registry-hosts.js';
import { silentLog } from '../../../src/lib/util/log.js';
import { makeCerts } from '../../fakes/test-certs.js';

let certs: Awaited<ReturnType<typeof makeCerts>>;
const servers: Server[] = [];
const forwards: RegistryForward[] = [];
const sockets = new Set<Socket>();
beforeAll(async () => {
  certs = await makeCerts();
});
afterEach(async () => {
  for (const forward of forwards.splice(0)) await forward.close();
  for (const socket of sockets) socket.destroy();
  for (const server of servers.splice(0)) server.close();
});

const listen = async (server: Server, host = '127.0.0.1', port = 0): Promise<number> => {
  servers.push(server);
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(port, host, resolve));
  return (server.address() as AddressInfo).port;
};
/** A copy that says who it is, and then what it heard, once it has heard all. */
const copy = (name: string): Server =>
  createTlsServer(
    { ...certs.server, requestCert: true, rejectUnauthorized: true, allowHalfOpen: true },
    (socket) => {
      const heard: Buffer[] = [];
      socket.on('error', () => socket.destroy());
      socket.on('data', (data: Buffer) => heard.push(data));
      socket.on('end', () => socket.end(`${name}:${Buffer.concat(heard).length}`));
    },
  );
/** Accepts connections and says nothing, as a frozen host's kernel does. */
const frozen = (): Server => createServer(() => undefined);

const forward = async (addresses: string[], port: number, more: object = {}): Promise<number> => {
  const made = startRegistryForward({
    identity: certs.client,
    addresses: () => addresses,
    log: silentLog,
    port,
    listen: { host: '127.0.0.1', port: 0 },
    handshakeMs: 300,
    ...more,
  });
  forwards.push(made);
  return made.listening;
};
/** Says something, ends, and hears the answer to its end. */
const ask = (port: number, what: Buffer | string): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = createConnection({ host: '127.0.0.1', port, allowHalfOpen: true });
    sockets.add(socket);
    let all = '';
    socket.on('data', (data) => (all += data.toString()));
    socket.on('close', () => resolve(all));
    socket.on('error', reject);
    socket.end(what);
  });

describe('the forward to the registry', () => {
  it('given a live copy, then bytes go both ways, and an end of one way leaves the other open', async () => {
    const port = await listen(copy('one'));
    const at = await forward(['127.0.0.1'], port);
    expect(await ask(at, Buffer.alloc(3_000_000, 1))).toBe('one:3000000');
  });

  it('given the first copy is frozen and the second refuses, then the third is taken, and later asked first', async () => {
    const port = await listen(frozen(), '127.0.0.2');
    await listen(copy('third'), '127.0.0.1', port);
    const at = await forward(['127.0.0.2', '127.0.0.3', '127.0.0.1'], port);
    expect(await ask(at, 'abc')).toBe('third:3');
    const began = Date.now();
    expect(await ask(at, 'abcd')).toBe('third:4');
    expect(Date.now() - began).toBeLessThan(250);
  });

  it('given a copy with a certificate of another authority, then it is not trusted', async () => {
    const others = await makeCerts();
    const port = await listen(createTlsServer(others.server, (socket) => socket.end('stolen')));
    expect(await ask(await forward(['127.0.0.1'], port), 'secret')).toBe('');
  });

  it('given no copy, then the connection is closed', async () => {
    expect(await ask(await forward([], 1), 'abc')).toBe('');
    expect(await ask(await forward(['127.0.0.1'], 1), 'abc').catch(() => '')).toBe('');
  });

  it('given more connections than allowed, then the rest is closed and the others go on', async () => {
    const port = await listen(copy('one'));
    const at = await forward(['127.0.0.1'], port, { maxConnections: 1 });
    const held = createConnection({ host: '127.0.0.1', port: at, allowHalfOpen: true });
    sockets.add(held);
    await new Promise<void>((resolve) => held.once('connect', resolve));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(await ask(at, 'x').catch(() => '')).toBe('');
    const answer = new Promise<string>((resolve) => held.once('data', (data) => resolve(data.toString())));
    held.end('hello');
    expect(await answer).toBe('one:5');
  });

  it('given a client that is cut off, then the copy is let go of', async () => {
    let closed: () => void = () => undefined;
    const gone = new Promise<void>((resolve) => (closed = resolve));
    const port = await listen(
      createTlsServer(certs.server, (socket) => {
        socket.on('error', () => undefined);
        socket.on('data', () => undefined);
        socket.once('close', closed);
      }),
    );
    const client = createConnection({ host: '127.0.0.1', port: await forward(['127.0.0.1'], port) });
    client.write('abc');
    await new Promise((resolve) => setTimeout(resolve, 200));
    client.resetAndDestroy();
    await gone;
  });

  it('given a port that is taken, then it is tried until it is free', async () => {
    const blocker = frozen();
    const taken = await listen(blocker);
    const port = await listen(copy('one'));
    const at = forward(['127.0.0.1'], port, { listen: { host: '127.0.0.1', port: taken } });
    await new Promise((resolve) => setTimeout(resolve, 100));
    blocker.close();
    expect(await ask(await at, 'abc')).toBe('one:3');
  });
});

describe('the order of copies', () => {
  const infos = [
    { address: '10.0.0.3', roles: ['control' as const] },
    { address: '10.0.0.1', roles: ['control' as const, 'etcd' as const] },
    { address: '10.0.0.2', roles: [] },
  ];
  it('given a control host, then its own copy comes first', () => {
    expect(registryOrder({ address: '10.0.0.3', control: true }, infos)).toEqual(['10.0.0.3', '10.0.0.1']);
  });
  it('given a worker, then only control hosts are asked', () => {
    expect(registryOrder({ address: '10.0.0.2', control: false }, infos)).toEqual(['10.0.0.1', '10.0.0.3']);
  });
});

// The registry's forward: over mTLS to the first copy that has what is asked for, and never an end of the agent.
import { execFile } from 'node:child_process';
import {
  Agent,
  request,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type RequestListener,
} from 'node:http';
import { createServer as createHttps } from 'node:https';
import { createConnection, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { startRegistryForward, type RegistryForward } from '../../../src/lib/layer0/host/registry-forward.js';
import { registryOrder } from '../../../src/lib/layer0/host/registry-hosts.js';
import { asksOnward, towardsCopy, UploadBook } from '../../../src/lib/layer0/host/registry-route.js';
import { silentLog } from '../../../src/lib/util/log.js';
import { makeCerts } from '../../fakes/test-certs.js';

type Certs = Awaited<ReturnType<typeof makeCerts>>['server'];
/** The cluster's: copies lie on 127.0.0.1 and 127.0.0.2 with one port. */
let certs: { client: Certs; first: Certs; second: Certs };
const servers: Server[] = [];
const forwards: RegistryForward[] = [];
const sockets = new Set<Socket>();
beforeAll(async () => {
  const { client, server } = await makeCerts();
  // Key and certificate in one text.
  const { stdout } = await promisify(execFile)('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'],
    ...['-subj', '/CN=second', '-addext', 'subjectAltName=IP:127.0.0.2', '-keyout', '-', '-out', '-'],
  ]);
  const cert = /-----BEGIN CERTIFICATE-----.*-----END CERTIFICATE-----\n/s.exec(stdout)?.[0] ?? '';
  const key = stdout.replace(cert, '');
  certs = {
    client: { ...client, ca: client.ca + cert },
    first: server,
    second: { ca: server.ca, cert, key },
  };
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
/** A copy of the registry, on 127.0.0.1, that admits only certificates of the cluster. */
const copy = (answer: RequestListener, tls = certs.first): Server =>
  createHttps({ ...tls, requestCert: true, rejectUnauthorized: true }, answer);
/** Such a copy, listening on 127.0.0.2. */
const nearest = (answer: RequestListener, port = 0): Promise<number> =>
  listen(copy(answer, certs.second), '127.0.0.2', port);
/** Says who it is and how much it heard. */
const named =
  (name: string, status = 200): RequestListener =>
  (asked, reply) => {
    let heard = 0;
    asked.on('data', (data: Buffer) => (heard += data.length));
    asked.on('end', () => reply.writeHead(status).end(`${name}:${heard}`));
  };
/** Accepts connections and says nothing, as a frozen host's kernel does. */
const frozen = (): Server => createServer(() => undefined);

const forward = async (addresses: string[], port: number, more: object = {}): Promise<number> => {
  const made = startRegistryForward({
    identity: certs.client,
    addresses: () => addresses,
    log: silentLog,
    port,
    listen: { host: '127.0.0.1', port: 0 },
    handshakeMs: 1_000,
    ...more,
  });
  forwards.push(made);
  return made.listening;
};

interface Ask {
  method?: string;
  path?: string;
  headers?: Record<string, string>;
  body?: Buffer | string | Readable;
  agent?: Agent;
}
interface Heard {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
}
/** Begins a request and resolves with its answer, the body unread. */
const begin = (port: number, { method = 'GET', path = '/v2/', headers = {}, body, agent }: Ask = {}) =>
  new Promise<IncomingMessage>((resolve, reject) => {
    const asked = request({ port, host: '127.0.0.1', method, path, headers, agent: agent ?? false }, resolve);
    asked.on('socket', (socket) => sockets.add(socket));
    asked.on('error', reject);
    if (body instanceof Readable) pipeline(body, asked).catch(reject);
    else asked.end(body);
  });
const ask = async (port: number, what: Ask = {}): Promise<Heard> => {
  const answer = await begin(port, what);
  const parts: Buffer[] = [];
  for await (const part of answer) parts.push(part as Buffer);
  return {
    status: answer.statusCode ?? 0,
    headers: answer.headers,
    text: Buffer.concat(parts).toString(),
  };
};
const codeOf = ({ text }: Heard): unknown =>
  (JSON.parse(text) as { errors: [{ code: unknown }] }).errors[0].code;
const two = ['127.0.0.2', '127.0.0.1'];

describe('reads through the forward', () => {
  it('given a live copy, then its answer passes with status, headers and the Host of the client', async () => {
    const port = await listen(
      copy((asked, reply) => {
        reply.writeHead(206, 'Some', { 'docker-content-digest': 'sha256:ab', 'x-host': asked.headers.host });
        reply.end(`${asked.method} ${asked.url}`);
      }),
    );
    const at = await forward(['127.0.0.1'], port);
    // A name that no certificate carries: the copy is known by its address, not by what the client says.
    const headers = { host: 'registry.example:5555' };
    const heard = await ask(at, { path: '/v2/app/tags/list?n=1', headers });
    expect(heard).toMatchObject({ status: 206, text: 'GET /v2/app/tags/list?n=1' });
    expect(heard.headers).toMatchObject({
      'docker-content-digest': 'sha256:ab',
      'x-host': 'registry.example:5555',
    });
  });

  it('given the first copy lacks it and the second has it, then the second answers, for GET and for HEAD', async () => {
    const port = await nearest(named('lacks', 404));
    await listen(copy(named('has')), '127.0.0.1', port);
    const at = await forward(two, port);
    const path = '/v2/app/manifests/sha256:ab';
    expect(await ask(at, { path })).toMatchObject({ status: 200, text: 'has:0' });
    expect(await ask(at, { path, method: 'HEAD' })).toMatchObject({ status: 200 });
    expect(await ask(at, { path: '/v2/app/blobs/sha256:ab' })).toMatchObject({ status: 200, text: 'has:0' });
  });

  it('given a push asks whether a blob is there, then only the copy that gets the manifest answers', async () => {
    const port = await nearest(named('lacks', 404));
    await listen(copy(named('has')), '127.0.0.1', port);
    const heard = await ask(await forward(two, port), { method: 'HEAD', path: '/v2/app/blobs/sha256:ab' });
    expect(heard.status).toBe(404);
  });

  it('given no copy has it, then the last 404 is passed on; given the last is dead, then the one before', async () => {
    const port = await nearest(named('first', 404));
    await listen(copy(named('last', 404)), '127.0.0.1', port);
    const at = await forward(two, port);
    expect(await ask(at)).toMatchObject({ status: 404, text: 'last:0' });
    const alone = await forward(['127.0.0.2', '127.0.0.9'], port);
    expect(await ask(alone)).toMatchObject({ status: 404, text: 'first:0' });
  });

  it('given the first copy is frozen and the second refuses, then the third is taken, and later asked first', async () => {
    const port = await listen(frozen(), '127.0.0.2');
    await listen(copy(named('third')), '127.0.0.1', port);
    const at = await forward(['127.0.0.2', '127.0.0.3', '127.0.0.1'], port);
    expect((await ask(at)).text).toBe('third:0');
    const began = Date.now();
    expect((await ask(at)).text).toBe('third:0');
    expect(Date.now() - began).toBeLessThan(900);
  });

  it('given a copy that hears a request and says nothing, then the next is asked', async () => {
    const port = await nearest(() => undefined);
    await listen(copy(named('second')), '127.0.0.1', port);
    const at = await forward(two, port, { headersMs: 300 });
    expect((await ask(at)).text).toBe('second:0');
  });

  it('given the only copy closes a kept connection under a request, then a new connection carries it', async () => {
    const used = new Set<Socket>();
    let reused = 0;
    const port = await listen(
      copy((asked, reply) => {
        if (used.has(asked.socket)) {
          reused += 1;
          asked.socket.destroy();
          return;
        }
        used.add(asked.socket);
        reply.end('one');
      }),
    );
    const at = await forward(['127.0.0.1'], port);
    expect((await ask(at)).text).toBe('one');
    expect((await ask(at)).text).toBe('one');
    expect({ reused, connections: used.size }).toEqual({ reused: 1, connections: 2 });
  });

  it('given a copy that breaks off within its answer, then the client is cut off and not told that all is well', async () => {
    const port = await listen(
      copy((_asked, reply) => {
        reply.writeHead(200, { 'content-length': '1000' });
        reply.write('half', () => reply.destroy());
      }),
    );
    const at = await forward(['127.0.0.1'], port);
    await expect(ask(at)).rejects.toThrow(/aborted|ECONNRESET|hang up/);
    await expect(ask(at)).rejects.toThrow(/aborted|ECONNRESET|hang up/);
  });

  it('given a blob of 50 MB and a client that halts, then the copy halts too, and no more is under way than the sockets hold', async () => {
    const size = 50_000_000;
    const chunk = Buffer.alloc(50_000, 7);
    let sent = 0;
    const port = await listen(
      copy((_asked, reply) => {
        reply.writeHead(200, { 'content-length': String(size) });
        const blob = new Readable({
          read() {
            sent += chunk.length;
            this.push(sent > size ? null : chunk);
          },
        });
        pipeline(blob, reply).catch(() => undefined);
      }),
    );
    const at = await forward(['127.0.0.1'], port);
    const answer = await begin(at);
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(sent).toBeLessThan(size / 2);
    let got = 0;
    let peak = 0;
    for await (const part of answer) {
      got += (part as Buffer).length;
      peak = Math.max(peak, Math.min(sent, size) - got);
    }
    expect(got).toBe(size);
    // Bytes and not memory: when garbage is collected is chance. A body held whole would be all 50 MB.
    expect(peak).toBeLessThan(size / 2);
  }, 20_000);
});

describe('writes through the forward', () => {
  it('given a body of known or of unknown length, then it reaches the copy whole', async () => {
    const at = await forward(['127.0.0.1'], await listen(copy(named('one'))));
    const body = Buffer.alloc(3_000_000, 1);
    expect((await ask(at, { method: 'PUT', body })).text).toBe('one:3000000');
    expect((await ask(at, { method: 'PATCH', body: Readable.from([body, body]) })).text).toBe('one:6000000');
    const headers = { 'transfer-encoding': 'chunked' };
    expect((await ask(at, { method: 'DELETE', headers, body: 'abc' })).text).toBe('one:3');
    expect((await ask(at, { method: 'POST' })).text).toBe('one:0');
  });

  it('given a client that waits to be told to go on, then it is told', async () => {
    const at = await forward(['127.0.0.1'], await listen(copy(named('one'))));
    const heard = new Promise<number>((resolve, reject) => {
      const headers = { expect: '100-continue', 'content-length': '3' };
      const asked = request({ port: at, method: 'PUT', path: '/v2/', headers, agent: false });
      asked.on('continue', () => asked.end('abc'));
      asked.on('response', (answer) => resolve(answer.resume().statusCode ?? 0));
      asked.on('error', reject);
      asked.flushHeaders();
    });
    expect(await heard).toBe(200);
  });

  it('given an upload that began on one copy, then it ends there, though another comes first by then', async () => {
    const uploads =
      (name: string): RequestListener =>
      (asked, reply) => {
        const location = `/v2/app/blobs/uploads/${name}-1?_state=x`;
        const status = asked.method === 'PUT' ? 201 : 202;
        asked.resume().on('end', () => reply.writeHead(status, { location }).end(name));
      };
    const port = await listen(copy(uploads('one')));
    await nearest(uploads('nearest'), port);
    const order = ['127.0.0.1'];
    const at = await forward(order, port);
    const begun = await ask(at, { method: 'POST', path: '/v2/app/blobs/uploads/' });
    expect(begun).toMatchObject({ status: 202, text: 'one' });
    order.unshift('127.0.0.2');
    expect((await ask(at, { method: 'POST', path: '/v2/app/blobs/uploads/' })).text).toBe('nearest');
    const path = begun.headers.location ?? '';
    expect((await ask(at, { method: 'PATCH', path, body: 'abc' })).text).toBe('one');
    expect((await ask(at, { path })).text).toBe('one');
    expect((await ask(at, { method: 'PUT', path: `${path}&digest=sha256:ab` })).text).toBe('one');
  });

  it('given a 404 to a write, then no other copy is asked', async () => {
    const port = await nearest(named('first', 404));
    await listen(copy(named('second')), '127.0.0.1', port);
    const heard = await ask(await forward(two, port), { method: 'PUT', body: 'abc' });
    expect(heard).toMatchObject({ status: 404, text: 'first:3' });
  });

  it('given a copy that breaks off within the body, then the client hears 502 and no other copy a second body', async () => {
    const port = await nearest((asked) => {
      asked.once('data', () => asked.socket.destroy());
    });
    let second = 0;
    await listen(
      copy(() => (second += 1)),
      '127.0.0.1',
      port,
    );
    const heard = await ask(await forward(two, port), { method: 'PUT', body: 'abc' });
    expect(heard.status).toBe(502);
    expect(codeOf(heard)).toBe('UNAVAILABLE');
    expect(second).toBe(0);
  });

  it('given the first copy is frozen, then the body goes whole to the second', async () => {
    const port = await listen(frozen(), '127.0.0.2');
    await listen(copy(named('second')), '127.0.0.1', port);
    const heard = await ask(await forward(two, port), { method: 'PUT', body: Buffer.alloc(500_000) });
    expect(heard.text).toBe('second:500000');
  });
});

describe('what the forward bounds', () => {
  it('given a copy with a certificate of another authority, then it is not trusted', async () => {
    const others = await makeCerts();
    let heard = 0;
    const port = await listen(createHttps(others.server, () => (heard += 1)));
    const at = await forward(['127.0.0.1'], port);
    expect((await ask(at)).status).toBe(502);
    expect((await ask(at, { method: 'PUT', body: 'secret' })).status).toBe(502);
    expect(heard).toBe(0);
  });

  it('given a copy whose certificate is of another address, then it is not trusted', async () => {
    const port = await listen(copy(named('moved')), '127.0.0.5');
    const at = await forward(['127.0.0.5'], port);
    expect((await ask(at, { headers: { host: '127.0.0.1:5555' } })).status).toBe(502);
  });

  it('given no copy, then the answer is an error in the format of the registry', async () => {
    const unknown = await ask(await forward([], 1));
    expect(unknown.status).toBe(503);
    expect(codeOf(unknown)).toBe('UNAVAILABLE');
    expect(unknown.headers['content-type']).toBe('application/json');
    const dead = await ask(await forward(['127.0.0.1'], 1));
    expect(dead.status).toBe(502);
    expect(codeOf(dead)).toBe('UNAVAILABLE');
  });

  it('given more connections than allowed, then the rest is closed and the others go on', async () => {
    const port = await listen(copy(named('one')));
    const at = await forward(['127.0.0.1'], port, { maxConnections: 1 });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    expect((await ask(at, { agent })).text).toBe('one:0');
    await expect(ask(at)).rejects.toThrow(/ECONNRESET|hang up/);
    expect((await ask(at, { agent })).text).toBe('one:0');
    agent.destroy();
  });

  it('given more requests at once on one connection than allowed, then the rest is refused', async () => {
    let asked = 0;
    const port = await listen(copy(() => (asked += 1)));
    const at = await forward(['127.0.0.1'], port, { maxConnections: 2 });
    const client = createConnection({ host: '127.0.0.1', port: at });
    sockets.add(client);
    client.on('error', () => undefined);
    client.write('GET /v2/ HTTP/1.1\r\nhost: x\r\n\r\n'.repeat(20));
    await vi.waitFor(() => expect(asked).toBe(2));
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(asked).toBe(2);
  });

  it.each([['before'], ['within']])(
    'given a client that is cut off %s the answer, then the copy is let go of',
    async (when) => {
      let heard: () => void = () => undefined;
      let closed: () => void = () => undefined;
      const began = new Promise<void>((resolve) => (heard = resolve));
      const gone = new Promise<void>((resolve) => (closed = resolve));
      const port = await listen(
        copy((asked, reply) => {
          asked.socket.once('close', closed);
          asked.on('error', () => undefined);
          if (when === 'within') reply.writeHead(200).write('a');
          heard();
        }),
      );
      const client = createConnection({ host: '127.0.0.1', port: await forward(['127.0.0.1'], port) });
      client.on('error', () => undefined);
      client.write('PUT /v2/ HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc');
      await began;
      if (when === 'within') await new Promise((resolve) => client.once('data', resolve));
      client.resetAndDestroy();
      await gone;
    },
  );

  it('given what is not HTTP, then the client hears 400 and the forward lives on', async () => {
    const at = await forward(['127.0.0.1'], await listen(copy(named('one'))));
    const client = createConnection({ host: '127.0.0.1', port: at });
    const said = new Promise<string>((resolve) => client.once('data', (data) => resolve(data.toString())));
    client.write('\u0016\u0003\u0001 nonsense\r\n\r\n');
    expect(await said).toMatch(/^HTTP\/1.1 400 /);
    expect((await ask(at)).text).toBe('one:0');
  });

  it('given a port that is taken, then it is tried until it is free', async () => {
    const blocker = frozen();
    const taken = await listen(blocker);
    const port = await listen(copy(named('one')));
    const at = forward(['127.0.0.1'], port, { listen: { host: '127.0.0.1', port: taken } });
    await new Promise((resolve) => setTimeout(resolve, 100));
    blocker.close();
    expect((await ask(await at)).text).toBe('one:0');
  });

  it('given a request in work, then closing cuts it', async () => {
    const port = await listen(copy((_asked, reply) => void reply.writeHead(200).write('a')));
    const answer = await begin(await forward(['127.0.0.1'], port));
    const cut = new Promise((resolve) => answer.once('error', resolve));
    answer.resume();
    await forwards[0]?.close();
    await cut;
  });
});

describe('the decisions of the forward', () => {
  it('given more uploads than the book holds, then the least recently used is forgotten', () => {
    const book = new UploadBook(2);
    const learn = (upload: string): void =>
      book.learn(
        '10.0.0.1',
        { method: 'PATCH', path: '/' },
        { status: 202, location: `/v2/a/blobs/uploads/${upload}` },
      );
    for (const upload of ['a', 'b', 'a', 'c']) learn(upload);
    expect(book.size).toBe(2);
    expect(book.find('/v2/a/blobs/uploads/a?_state=1')).toBe('10.0.0.1');
    expect(book.find('/v2/a/blobs/uploads/b')).toBeUndefined();
    book.learn('10.0.0.1', { method: 'PUT', path: '/v2/a/blobs/uploads/a?digest=x' }, { status: 201 });
    expect(book.size).toBe(1);
  });

  it('given the requests of a pull, then a 404 leads on; given those of a push, then not', () => {
    const onward = (method: string, path: string): boolean => asksOnward({ method, path });
    expect(onward('GET', '/v2/a/blobs/sha256:ab')).toBe(true);
    expect(onward('HEAD', '/v2/a/manifests/v1')).toBe(true);
    expect(onward('HEAD', '/v2/a/blobs/sha256:ab?ns=x')).toBe(false);
    expect(onward('DELETE', '/v2/a/manifests/v1')).toBe(false);
  });

  it('given headers of one connection, then they are not passed on', () => {
    const headers = {
      host: 'a',
      connection: 'close, X-Own',
      'x-own': '1',
      expect: '100-continue',
      accept: 'b',
    };
    expect(towardsCopy({ method: 'PUT', path: '/' }, headers)).toEqual({ host: 'a', accept: 'b' });
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

// The operator's door: where requests go, what passes through, and what is said when nobody answers.
import { createServer as createTls } from 'node:https';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import http, { type Server } from 'node:http';
import { createServer as createTcp, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { DoorInfo } from '../../../src/lib/api/door.js';
import { HttpClient } from '../../../src/lib/api/http.js';
import { silentLog } from '../../../src/lib/appliance/log.js';
import { dialUnix, DialAgent } from '../../../src/lib/docker/dial-agent.js';
import { openDoor, routeOf } from '../../../src/lib/layer0/host/door.js';
import { dialUpstream } from '../../../src/lib/layer0/host/door-upstream.js';
import { systemClock } from '../../../src/lib/util/clock.js';
import { issue, newAuthority } from '../../../src/lib/operator/pki.js';

const known = {
  addressOf: (host: string) => (host === 'a' ? '10.0.0.1' : undefined),
  sampis: () => ['10.0.0.1', '10.0.0.2'],
};

describe('where a request at the door goes', () => {
  it.each([
    ['/hosts/a/v1/jobs?x=1', { what: 'host a', addresses: ['10.0.0.1'], port: 1113, path: '/v1/jobs?x=1' }],
    ['/hosts/a', { what: 'host a', addresses: ['10.0.0.1'], port: 1113, path: '/' }],
    ['/sampi/v1/view', { what: 'sampi', addresses: ['10.0.0.1', '10.0.0.2'], port: 1116, path: '/v1/view' }],
  ])('given %s, then it is there', (url, route) => {
    expect(routeOf(url, known)).toEqual(route);
  });

  it.each(['/', '/nothing', '/hosts/', '/hosts/b/v1/jobs', '/sampix/v1', '//hosts/a/v1', '/hosts/../a/x'])(
    'given %s, then it is refused as not found',
    (url) => {
      expect(() => routeOf(url, known)).toThrow(expect.objectContaining({ code: 'not_found' }) as Error);
    },
  );
});

describe('an open door', () => {
  let dir: string;
  let identity: { ca: string; cert: string; key: string };
  const closers: (() => void)[] = [];
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'flynn-door-'));
    const authority = await newAuthority('test', Date.now());
    const pair = await issue(
      authority,
      { name: 'control', addresses: ['127.0.0.1', '127.0.0.2'] },
      Date.now(),
    );
    identity = { ca: authority.cert, ...pair };
  });
  afterEach(() => closers.splice(0).forEach((close) => close()));
  afterAll(() => rm(dir, { recursive: true, force: true }));

  const info = {
    cluster: { id: 'c', name: 'test' },
    host: 'a',
    rights: 'control' as const,
    hosts: [],
    etcd: { members: 1, healthy: true, dbSizeBytes: 1, alarms: [] },
  };

  async function door(): Promise<HttpClient> {
    const path = join(dir, 'door', 'api.sock');
    const server = await openDoor({
      path,
      info: () => Promise.resolve(info),
      addressOf: (host) => (host === 'a' ? '127.0.0.1' : undefined),
      sampis: () => [],
      identity,
      clock: systemClock,
      log: silentLog,
    });
    const agent = new DialAgent(dialUnix(path), 2);
    closers.push(() => {
      agent.destroy();
      server.close();
      server.closeAllConnections();
    });
    return new HttpClient({ baseUrl: 'http://door', agent, timeoutMs: 5_000 });
  }

  it('given its socket, when looked at, then root alone gets to it, and it tells about itself', async () => {
    const client = await door();
    expect((await stat(join(dir, 'door'))).mode & 0o777).toBe(0o700);
    expect(await client.call('GET', '/', DoorInfo)).toEqual(info);
  });

  it('given a host or a sampi that is not there, when asked, then the answer is coded and names it', async () => {
    const client = await door();
    await expect(client.call('GET', '/hosts/b/v1/jobs', z.unknown())).rejects.toMatchObject({
      code: 'not_found',
      message: 'the cluster has no host b',
    });
    await expect(client.call('GET', '/sampi/v1/view', z.unknown())).rejects.toMatchObject({
      code: 'unreachable',
      message: 'sampi does not answer',
    });
    await expect(client.upgrade('POST', '/hosts/b/v1/jobs/x/attach')).rejects.toMatchObject({
      code: 'not_found',
    });
  });

  describe('towards an appliance', () => {
    /** An appliance that shows what arrives, and echoes upgraded connections. */
    async function appliance(): Promise<Server> {
      const server = createTls({ ...identity, requestCert: true, rejectUnauthorized: true }, (req, res) => {
        const chunks: Buffer[] = [];
        req.on('data', (chunk: Buffer) => chunks.push(chunk));
        req.on('end', () => {
          res.writeHead(req.url === '/bad' ? 409 : 200, { 'content-type': 'application/json' });
          const body = Buffer.concat(chunks).toString();
          res.end(
            req.url === '/bad'
              ? '{"code":"conflict","message":"no"}'
              : JSON.stringify({ url: req.url, body }),
          );
        });
      });
      server.on('upgrade', (_req, socket: Duplex) => {
        socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: flynn\r\n\r\n');
        socket.pipe(socket);
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      closers.push(() => void server.close());
      return server as unknown as Server;
    }

    /** A door in front of it, at whatever port it has. */
    async function through(port: number): Promise<HttpClient> {
      const dial = (_request: http.IncomingMessage, signal: AbortSignal) =>
        dialUpstream(
          { what: 'host a', addresses: ['127.0.0.1'], port },
          { identity, clock: systemClock, signal },
        );
      const { passOn, passUpgradeOn } = await import('../../../src/lib/layer0/host/door-http.js');
      const to = async (request: http.IncomingMessage, signal: AbortSignal) => ({
        path: request.url ?? '/',
        socket: await dial(request, signal),
      });
      const server = http.createServer((request, response) => void passOn(to, request, response));
      server.on('upgrade', (request, socket, head) => void passUpgradeOn(to, request, socket, head));
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      closers.push(() => {
        server.close();
        server.closeAllConnections();
      });
      return new HttpClient({ baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
    }

    it('given a body, an error and an upgrade, when passed on, then all arrive as they are', async () => {
      const server = await appliance();
      const client = await through((server.address() as AddressInfo).port);
      const answer = await client.call('PUT', '/v1/x?y=1', z.unknown(), { body: { z: 1 } });
      expect(answer).toEqual({ url: '/v1/x?y=1', body: '{"z":1}' });
      await expect(client.call('GET', '/bad', z.unknown())).rejects.toMatchObject({ code: 'conflict' });
      const socket = await client.upgrade('POST', '/attach');
      socket.write('hello');
      const [echo] = (await new Promise((resolve) =>
        socket.once('data', (data: Buffer) => resolve([data])),
      )) as [Buffer];
      expect(echo.toString()).toBe('hello');
      socket.destroy();
    });

    it('given a copy that takes connections and says nothing, when dialled, then the next one answers after one stagger', async () => {
      const frozen = createTcp(() => undefined);
      const server = await appliance();
      const port = (server.address() as AddressInfo).port;
      await new Promise<void>((resolve) => frozen.listen(port, '127.0.0.2', resolve));
      closers.push(() => void frozen.close());
      const begun = Date.now();
      const socket = await dialUpstream(
        { what: 'sampi', addresses: ['127.0.0.2', '127.0.0.1'], port },
        { identity, clock: systemClock, signal: new AbortController().signal },
      );
      expect(Date.now() - begun).toBeLessThan(1_500);
      expect(socket.remoteAddress).toBe('127.0.0.1');
      socket.destroy();
    });
  });
});

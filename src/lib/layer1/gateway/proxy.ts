// HTTP from a person's channel to a controller: who they are goes into headers that nobody else can set.
import http, { type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream';
import type { SshKey } from '../../api/app.js';
import { FlynnError, httpStatus, toFlynnError } from '../../api/errors.js';
import type { Log } from '../../util/log.js';
import type { Upstream } from './upstream.js';

/** Time a controller has for the head of its answer, ms. */
const headMs = 75_000;

const hopByHop = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** What the proxy needs. */
export interface ProxyOptions {
  upstream: Upstream;
  /** The key behind a connection as it is now; undefined when it may not come in any more. */
  identify(socket: Duplex): SshKey | undefined;
  log: Log;
}

/** An HTTP server without a port: connections are handed to it. */
export function createProxy(options: ProxyOptions): http.Server {
  const server = http.createServer({ headersTimeout: 30_000, requestTimeout: 0, keepAliveTimeout: 0 });
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    forward(options, request, response).catch((error: unknown) => answerError(options.log, response, error));
  });
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    // Until it is piped, an error of the socket has no other listener and would end the process.
    socket.on('error', () => socket.destroy());
    forwardUpgrade(options, request, socket, head).catch((error: unknown) => refuseUpgrade(socket, error));
  });
  server.on('clientError', (_error, socket) => socket.destroy());
  return server;
}

/** Headers for the controller: the person's own claims about who they are are dropped, ours take their place. */
export function headersFor(incoming: IncomingHttpHeaders, key: SshKey): http.OutgoingHttpHeaders {
  const named = new Set(
    String(incoming.connection ?? '')
      .split(',')
      .map((name) => name.trim().toLowerCase()),
  );
  const headers: http.OutgoingHttpHeaders = {};
  for (const [name, value] of Object.entries(incoming)) {
    if (hopByHop.has(name) || named.has(name) || name.startsWith('x-flynn-') || name === 'host') continue;
    headers[name] = value;
  }
  return {
    ...headers,
    host: 'controller',
    'x-flynn-key': key.fingerprint,
    // A header holds printable ASCII; a name may hold more.
    'x-flynn-name': key.name.replace(/[^\x20-\x7e]/g, '?').trim(),
    'x-flynn-role': key.role,
    'x-flynn-apps': key.apps.join(','),
  };
}

async function open(
  { upstream, identify }: ProxyOptions,
  request: IncomingMessage,
  signal: AbortSignal,
  extra: http.OutgoingHttpHeaders,
): Promise<http.ClientRequest> {
  const key = identify(request.socket);
  if (!key) {
    throw new FlynnError({
      code: 'refused',
      message: 'this key may not use the cluster any more',
      hint: 'flynn keys',
    });
  }
  const socket = await upstream.connect(signal);
  return http.request({
    createConnection: () => socket,
    method: request.method,
    path: request.url,
    headers: { ...headersFor(request.headers, key), ...extra },
  });
}

async function forward(
  options: ProxyOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  const up = await open(options, request, gone.signal, {});
  gone.signal.addEventListener('abort', () => up.destroy(), { once: true });
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    const timer = setTimeout(
      () => up.destroy(new FlynnError({ code: 'timeout', message: `no answer within ${headMs / 1000} s` })),
      headMs,
    );
    up.once('close', () => clearTimeout(timer));
    up.once('response', (incoming) => {
      clearTimeout(timer);
      resolve(incoming);
    });
    up.once('error', (error) => reject(lost(error)));
    pipeline(request, up, (error) => {
      if (error) up.destroy(error);
    });
  });
  response.writeHead(answer.statusCode ?? 502, passed(answer.headers));
  // Streams say something before their first line: that they are there.
  response.flushHeaders();
  pipeline(answer, response, (error) => {
    if (error) response.destroy();
  });
}

async function forwardUpgrade(
  options: ProxyOptions,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): Promise<void> {
  const gone = new AbortController();
  socket.once('close', () => gone.abort());
  const protocol = request.headers.upgrade;
  const up = await open(options, request, gone.signal, { connection: 'Upgrade', upgrade: protocol });
  gone.signal.addEventListener('abort', () => up.destroy(), { once: true });
  await new Promise<void>((resolve, reject) => {
    up.once('upgrade', (answer, peer: Duplex, peerHead: Buffer) => {
      socket.write(
        rawHead(101, 'Switching Protocols', {
          ...passed(answer.headers),
          connection: 'Upgrade',
          upgrade: protocol,
        }),
      );
      if (peerHead.length > 0) socket.write(peerHead);
      if (head.length > 0) peer.write(head);
      pipeline(peer, socket, () => peer.destroy());
      pipeline(socket, peer, () => socket.destroy());
      resolve();
    });
    up.once('response', (answer) => {
      const headers = { ...passed(answer.headers), connection: 'close' };
      socket.write(rawHead(answer.statusCode ?? 502, answer.statusMessage ?? '', headers));
      pipeline(answer, socket, () => resolve());
    });
    up.once('error', (error) => reject(lost(error)));
    up.end();
  });
}

function lost(error: Error): FlynnError {
  if (error instanceof FlynnError) return error;
  return new FlynnError({
    code: 'unreachable',
    message: `the controller was lost in the middle of a request: ${error.message}`,
    hint: 'run the command again: it finds another controller',
    cause: error,
  });
}

function passed(headers: IncomingHttpHeaders): http.OutgoingHttpHeaders {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !hopByHop.has(name)));
}

function rawHead(status: number, message: string, headers: http.OutgoingHttpHeaders): string {
  const lines = Object.entries(headers).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value])
      .filter((each) => each !== undefined)
      .map((each) => `${name}: ${String(each)}`),
  );
  return `HTTP/1.1 ${status} ${message}\r\n${lines.join('\r\n')}\r\n\r\n`;
}

function answerError(log: Log, response: ServerResponse, thrown: unknown): void {
  if (response.destroyed) return;
  const error = toFlynnError(thrown);
  if (error.code === 'internal') log.error({ err: String(thrown) }, 'a request failed');
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const body = JSON.stringify(error.toBody());
  response.writeHead(httpStatus(error.code), {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
  });
  response.end(body);
}

function refuseUpgrade(socket: Duplex, thrown: unknown): void {
  if (socket.destroyed) return;
  const error = toFlynnError(thrown);
  const body = JSON.stringify(error.toBody());
  socket.end(
    rawHead(httpStatus(error.code), error.code, {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
      connection: 'close',
    }) + body,
  );
}

// 127.0.0.1:5555 of every host: an HTTP proxy that puts each request over mTLS to the copies of the registry.
import { createServer, type ClientRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { ports } from '../../api/grid.js';
import type { Identity } from '../../appliance/config.js';
import { systemClock, type Clock } from '../../util/clock.js';
import type { Log } from '../../util/log.js';
import { openCopies, type Copies } from './registry-copy.js';
import {
  asksOnward,
  endToEnd,
  errorBody,
  isRead,
  towardsCopy,
  UploadBook,
  type RequestLine,
} from './registry-route.js';

/** What a forward needs. */
export interface RegistryForwardOptions {
  /** Certificate that the registry knows the host by. */
  identity: Identity;
  /** Hosts that may have a copy, the nearest first; asked for every request. */
  addresses: () => readonly string[];
  log: Log;
  /** Port of a copy; `ports.registry`. */
  port?: number;
  /** Where to listen; 127.0.0.1 and `ports.registryLocal`. */
  listen?: { host: string; port: number };
  /** Bound of connecting and the handshake together, ms; 1,000. */
  handshakeMs?: number;
  /** Bound of a copy's response headers to GET and HEAD, ms; 5,000. */
  headersMs?: number;
  /** Connections at the same time; more are closed. Bounds the requests in work too. 256. */
  maxConnections?: number;
  clock?: Clock;
}

/** A running forward. */
export interface RegistryForward {
  /** Resolves with the port once it is open; until the forward is closed it keeps trying. */
  readonly listening: Promise<number>;
  /** Stops listening and cuts what is open. */
  close(): Promise<void>;
}

/** A copy that failed is asked last for that long, ms. */
const avoidMs = 5_000;
const listenAgainMs = 2_000;
/** A connection on which nothing moves for that long (ms) is closed; between two requests, the second. */
const idleMs = 300_000;
const keepAliveTimeout = 120_000;
/** The rest of an answer that is not passed on is read for that long, so that its connection can be used again. */
const dismissMs = 1_000;

/** Begins to listen. Never throws, whatever becomes of a port, a copy or a connection. */
export const startRegistryForward = (options: RegistryForwardOptions): RegistryForward => {
  const { log, clock = systemClock, maxConnections = 256 } = options;
  const where = options.listen ?? { host: '127.0.0.1', port: ports.registryLocal };
  const { identity, port = ports.registry, handshakeMs = 1_000, headersMs = 5_000 } = options;
  const copies = openCopies({ identity, port, handshakeMs, headersMs, idleMs, clock });
  const proxy = createProxy(options, copies, clock);
  let inWork = 0;
  let closed = false;
  let cancelListen = (): void => undefined;

  // No bound of a whole request: a large layer takes as long as it takes, while its bytes move.
  const server = createServer({ requestTimeout: 0, keepAliveTimeout, keepAlive: true }, (client, reply) => {
    reply.on('error', (error) => log.debug({ error: String(error) }, 'a client of the registry went away'));
    // One connection may send many requests at once.
    if (inWork >= maxConnections) {
      refuse(reply, 503, 'TOOMANYREQUESTS', 'too many requests to the registry at once');
      return;
    }
    inWork += 1;
    proxy(client, reply)
      .catch((error: unknown) => {
        log.error({ error: String(error) }, 'a request to the registry failed');
        refuse(reply, 502, 'UNAVAILABLE', 'the request cannot be passed on to the registry');
      })
      .finally(() => (inWork -= 1));
  });
  server.timeout = idleMs;
  server.maxConnections = maxConnections;
  const listening = new Promise<number>((resolve) => {
    server.once('listening', () => {
      const address = server.address();
      resolve(typeof address === 'object' && address ? address.port : where.port);
    });
  });
  server.on('error', (error) => {
    if (closed || server.listening) return;
    log.error({ port: where.port, error: String(error) }, 'port not open, trying again');
    cancelListen = clock.after(listenAgainMs, () => server.listen(where.port, where.host));
  });
  server.listen(where.port, where.host);

  return {
    listening,
    close: () => {
      closed = true;
      cancelListen();
      return new Promise((resolve) => {
        if (server.listening) server.close(() => resolve());
        else resolve();
        server.closeAllConnections();
        copies.close();
      });
    },
  };
};

type Proxy = (client: IncomingMessage, reply: ServerResponse) => Promise<void>;

/** Puts each request to the copies in order, and passes one answer on as it comes. */
const createProxy = (options: RegistryForwardOptions, copies: Copies, clock: Clock): Proxy => {
  const { log } = options;
  const failedAt = new Map<string, number>();
  const uploads = new UploadBook();
  /** Copies in order: what failed a moment ago comes last; an upload goes on where it began. */
  const candidates = ({ path }: RequestLine): string[] => {
    const failed = (address: string): boolean =>
      clock.mono() - (failedAt.get(address) ?? Number.NEGATIVE_INFINITY) < avoidMs;
    const all = [...new Set(options.addresses())];
    const began = uploads.find(path);
    if (began !== undefined && all.includes(began)) return [began];
    return [...all.filter((a) => !failed(a)), ...all.filter(failed)];
  };

  return async (client, reply) => {
    const line = { method: client.method ?? 'GET', path: client.url ?? '/' };
    const headers = towardsCopy(line, client.headers);
    const body = isRead(line) ? undefined : client;
    let current: ClientRequest | undefined;
    let missing: IncomingMessage | undefined;
    const gone = (): boolean => reply.destroyed && !reply.writableFinished;
    reply.once('close', () => {
      if (reply.writableFinished) return;
      current?.destroy();
      missing?.destroy();
    });

    const order = candidates(line);
    for (const [index, address] of order.entries()) {
      const outcome = await copies.ask(address, {
        ...line,
        headers,
        body,
        onAttempt: (attempt) => {
          current = attempt;
          if (gone()) attempt.destroy();
        },
      });
      if (gone()) return;
      if ('error' in outcome) {
        failedAt.set(address, clock.mono());
        log.debug({ address, error: String(outcome.error) }, 'this copy of the registry does not answer');
        if (outcome.bodyBegan) break;
        continue;
      }
      const { answer } = outcome;
      failedAt.delete(address);
      if (missing) dismiss(missing, clock);
      missing = undefined;
      if (answer.statusCode === 404 && asksOnward(line) && index < order.length - 1) {
        missing = answer;
        continue;
      }
      uploads.learn(address, line, { status: answer.statusCode ?? 0, location: answer.headers.location });
      return passOn(answer, reply, log);
    }
    // Who answered knows it not, and the others are silent: a push may go on from here, and nobody knows better.
    if (missing) return passOn(missing, reply, log);
    log.warn({ copies: order, ...line }, 'no copy of the registry answers');
    if (order.length === 0) refuse(reply, 503, 'UNAVAILABLE', 'no host with a copy of the registry is known');
    else refuse(reply, 502, 'UNAVAILABLE', `no copy of the registry answers: ${order.join(', ')}`);
  };
};

/** Streams an answer; when one side breaks off, the other is cut too, so that half an answer never looks whole. */
const passOn = async (answer: IncomingMessage, reply: ServerResponse, log: Log): Promise<void> => {
  reply.writeHead(answer.statusCode ?? 502, answer.statusMessage, endToEnd(answer.headers));
  reply.flushHeaders();
  await pipeline(answer, reply).catch((error: unknown) =>
    log.debug({ error: String(error) }, 'an answer of the registry broke off'),
  );
};

const dismiss = (answer: IncomingMessage, clock: Clock): void => {
  const cancel = clock.after(dismissMs, () => answer.destroy());
  answer.once('close', cancel);
  answer.resume();
};

const refuse = (reply: ServerResponse, status: number, code: string, message: string): void => {
  if (reply.headersSent) {
    reply.destroy();
    return;
  }
  const body = errorBody(code, message);
  // What is left of a request's body is not waited for.
  const headers = { 'content-type': 'application/json', connection: 'close' };
  reply.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(body) });
  reply.end(body);
};

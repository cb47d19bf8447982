// 127.0.0.1:5555 of every host: each connection is carried over mTLS to a live copy of the registry.
import { createServer, type Server, type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { ports } from '../../api/grid.js';
import type { Identity } from '../../appliance/config.js';
import { systemClock, type Clock } from '../../util/clock.js';
import type { Log } from '../../util/log.js';

/** What a forward needs. */
export interface RegistryForwardOptions {
  /** Certificate that the registry knows the host by. */
  identity: Identity;
  /** Hosts that may have a copy, the nearest first; asked for every connection. */
  addresses: () => readonly string[];
  log: Log;
  /** Port of a copy; `ports.registry`. */
  port?: number;
  /** Where to listen; 127.0.0.1 and `ports.registryLocal`. */
  listen?: { host: string; port: number };
  /** Bound of connecting and the handshake together, ms; 1,000. */
  handshakeMs?: number;
  /** Connections at the same time; more are closed. 256. */
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
/** A connection on which nothing moves for that long (ms) is closed. */
const idleMs = 300_000;
const keepAliveMs = 10_000;

/** Begins to listen. Never throws, whatever becomes of a port, a copy or a connection. */
export const startRegistryForward = (options: RegistryForwardOptions): RegistryForward => {
  const { log, clock = systemClock } = options;
  const where = options.listen ?? { host: '127.0.0.1', port: ports.registryLocal };
  const failedAt = new Map<string, number>();
  const open = new Set<Socket>();
  let closed = false;
  let cancelListen = (): void => undefined;

  const track = (socket: Socket): void => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
  };
  /** Copies in order: what failed a moment ago comes last. */
  const candidates = (): string[] => {
    const failed = (address: string): boolean =>
      clock.mono() - (failedAt.get(address) ?? Number.NEGATIVE_INFINITY) < avoidMs;
    const all = [...new Set(options.addresses())];
    return [...all.filter((a) => !failed(a)), ...all.filter(failed)];
  };
  const reach = async (client: Socket): Promise<TLSSocket | undefined> => {
    for (const address of candidates()) {
      if (closed || client.destroyed) return undefined;
      try {
        const upstream = await dial(options, address, track);
        failedAt.delete(address);
        return upstream;
      } catch (error) {
        failedAt.set(address, clock.mono());
        log.debug({ address, error: String(error) }, 'this copy of the registry does not answer');
      }
    }
    if (!closed && !client.destroyed) log.warn({ copies: candidates() }, 'no copy of the registry answers');
    return undefined;
  };
  const serve = async (client: Socket): Promise<void> => {
    track(client);
    client.on('error', () => client.destroy());
    const upstream = await reach(client);
    if (!upstream || client.destroyed || closed) {
      client.destroy();
      upstream?.destroy();
      return;
    }
    join(client, upstream);
  };

  const server: Server = createServer({ allowHalfOpen: true }, (client) => {
    serve(client).catch((error: unknown) => {
      log.error({ error: String(error) }, 'a connection to the registry failed');
      client.destroy();
    });
  });
  server.maxConnections = options.maxConnections ?? 256;
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
      for (const socket of open) socket.destroy();
      return new Promise((resolve) => {
        if (server.listening) server.close(() => resolve());
        else resolve();
      });
    },
  };
};

/** Connects to one copy. A frozen host still accepts connections: only a finished handshake counts. */
const dial = (
  { identity, port = ports.registry, handshakeMs = 1_000, clock = systemClock }: RegistryForwardOptions,
  host: string,
  track: (socket: Socket) => void,
): Promise<TLSSocket> =>
  new Promise((resolve, reject) => {
    const how: ConnectionOptions & { allowHalfOpen: boolean } = {
      host,
      port,
      ca: identity.ca,
      cert: identity.cert,
      key: identity.key,
      minVersion: 'TLSv1.3',
      allowHalfOpen: true,
    };
    const socket = connectTls(how);
    track(socket);
    const cancel = clock.after(handshakeMs, () =>
      socket.destroy(new Error(`no handshake within ${handshakeMs} ms`)),
    );
    socket.once('secureConnect', () => {
      cancel();
      resolve(socket);
    });
    // Stays for the connection's whole life: an error without a listener would end the process.
    socket.on('error', (error) => {
      cancel();
      reject(error);
    });
    socket.once('close', () => {
      cancel();
      reject(new Error('closed during the handshake'));
    });
  });

/** Carries bytes both ways. One side's end is passed on alone; its failure takes the other side down. */
const join = (a: Socket, b: Socket): void => {
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    from.setNoDelay(true);
    from.setKeepAlive(true, keepAliveMs);
    from.setTimeout(idleMs, () => from.destroy());
    from.pipe(to);
    from.once('close', () => {
      // Closed before it had said and taken everything.
      if (!from.readableEnded || !from.writableFinished) to.destroy();
    });
  }
};

// HTTP over whatever stream a dial function opens: a Unix socket, an SSH channel, a process's pipes.
import { Agent, type ClientRequestArgs } from 'node:http';
import { createConnection } from 'node:net';
import { Duplex } from 'node:stream';
import type { Dial } from './port.js';

/** What http expects of a socket beyond a Duplex; an SSH channel has none of it. */
const SOCKET_EXTRAS = ['setKeepAlive', 'setNoDelay', 'setTimeout', 'ref', 'unref'] as const;

const CLOSED = new Duplex().destroy();

const asSocket = (stream: Duplex): Duplex => {
  const missing = SOCKET_EXTRAS.filter((name) => !(name in stream));
  const extras = Object.fromEntries(missing.map((name) => [name, () => stream]));
  const destroySoon = (): void => {
    if (stream.writableFinished) stream.destroy();
    else stream.end(() => stream.destroy());
  };
  return Object.assign(stream, extras, 'destroySoon' in stream ? {} : { destroySoon });
};

type Created = (error: Error | null, stream: Duplex) => void;

/** Keeps idle connections for the next request, at most `maxIdle` of them. */
export class DialAgent extends Agent {
  constructor(
    private readonly dial: Dial,
    maxIdle: number,
  ) {
    super({ keepAlive: maxIdle > 0, maxFreeSockets: Math.max(1, maxIdle) });
  }

  // Asynchronous: http then ignores maxSockets, so that any cap is the dial function's business.
  override createConnection(_options: ClientRequestArgs, done?: Created): undefined {
    this.dial().then(
      (stream) => done?.(null, asSocket(stream)),
      // With an error http looks at no stream: it gets one that is closed.
      (error: unknown) => done?.(error instanceof Error ? error : new Error(String(error)), CLOSED),
    );
    return undefined;
  }
}

/** Dials a Unix socket of this machine. */
export const dialUnix =
  (path: string): Dial =>
  () =>
    new Promise((resolve, reject) => {
      const socket = createConnection({ path });
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.off('error', reject);
        resolve(socket);
      });
    });

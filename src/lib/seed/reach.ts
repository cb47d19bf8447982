// Whether this host gets through to others: TCP connections, tried until they are taken.
import { createConnection } from 'node:net';
import type { Clock } from '../util/clock.js';
import type { Door, Pending } from './protocol.js';

/** Bound of one connection, ms: a firewall that drops says nothing. */
const connectMs = 1_000;
const pauseMs = 200;

/** Tries all doors until each took a connection, or the time is up; returns those that did not, with the last reason. */
export const reachAll = async (
  doors: readonly Door[],
  timeoutMs: number,
  clock: Clock,
): Promise<Pending[]> => {
  const end = clock.mono() + timeoutMs;
  const results = await Promise.all(
    doors.map(async (door): Promise<Pending[]> => {
      for (;;) {
        const reason = await knock(door);
        if (reason === undefined) return [];
        if (clock.mono() >= end)
          return [{ host: door.host, job: `port ${door.port}`, state: 'closed', reason }];
        await clock.sleep(pauseMs);
      }
    }),
  );
  return results.flat();
};

/** Undefined when the connection was taken, else why not. */
const knock = ({ address, port }: Door): Promise<string | undefined> =>
  new Promise((resolve) => {
    const socket = createConnection({ host: address, port, timeout: connectMs });
    const end = (reason?: string): void => {
      socket.destroy();
      resolve(reason);
    };
    socket.once('connect', () => end());
    socket.once('timeout', () => end(`no answer from ${address}:${port}`));
    socket.once('error', (error) => end(error.message));
  });

// From the door to an appliance: a TLS connection to whichever of its copies finishes the handshake first.
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { FlynnError } from '../../api/errors.js';
import type { Identity } from '../../appliance/config.js';
import type { Clock } from '../../util/clock.js';
import { race, RaceLostError } from '../../util/race.js';
import { deadline, DeadlineError } from '../../util/signal.js';

/** An appliance by what it is called in messages, and where its copies are. */
export interface Upstream {
  what: string;
  addresses: readonly string[];
  port: number;
}

/** Figures, ms: a copy on a frozen host costs one stagger, and all of them together this long. */
const staggerMs = 250;
const dialMs = 2_500;

/** Connects. A frozen host's kernel still completes TCP, so only a finished handshake counts. Throws `unreachable`. */
export const dialUpstream = async (
  { what, addresses, port }: Upstream,
  { identity, clock, signal }: { identity: Identity; clock: Clock; signal: AbortSignal },
): Promise<TLSSocket> => {
  const limit = deadline(clock, dialMs, signal, what);
  try {
    const { value } = await race(addresses, {
      clock,
      staggerMs,
      signal: limit.signal,
      attempt: (address, over) => handshake(address, port, identity, over),
      discard: (late) => late.destroy(),
    });
    return value;
  } catch (cause) {
    if (signal.aborted) throw cause;
    const failures = cause instanceof RaceLostError ? cause.failures : [];
    const why =
      cause instanceof DeadlineError
        ? `no answer within ${dialMs / 1000} s`
        : failures.map(({ candidate, error }) => `${String(candidate)}: ${messageOf(error)}`).join('; ');
    throw new FlynnError({
      code: 'unreachable',
      message: `${what} does not answer${why ? `: ${why}` : ''}`,
      hint: 'flynn cluster status',
      cause,
    });
  } finally {
    limit.clear();
  }
};

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

const handshake = (
  address: string,
  port: number,
  identity: Identity,
  signal: AbortSignal,
): Promise<TLSSocket> =>
  new Promise((resolve, reject) => {
    const socket = connectTls({ host: address, port, ...identity, minVersion: 'TLSv1.3' });
    const settle = (done: () => void): void => {
      signal.removeEventListener('abort', onAbort);
      socket.off('error', onError);
      done();
    };
    const onError = (error: Error): void => settle(() => reject(error));
    const onAbort = (): void =>
      settle(() => {
        socket.on('error', () => undefined);
        socket.destroy();
        reject(new Error('given up'));
      });
    socket.once('error', onError);
    socket.once('secureConnect', () => settle(() => resolve(socket)));
    signal.addEventListener('abort', onAbort, { once: true });
  });

// Keeps a server registered while its port answers: registered last, withdrawn first, told of again and again.
import { registrationTimes } from '../../api/discovery-times.js';
import { FlynnError, isFlynnError } from '../../api/errors.js';
import type { Clock } from '../../util/clock.js';
import type { Offer } from './args.js';
import type { DiscoveryClient } from './client.js';

/** What keeping needs. */
export interface KeepDeps {
  client: Pick<DiscoveryClient, 'register' | 'unregister'>;
  /** Whether the port answers. */
  answers(port: number): Promise<'yes' | 'no' | 'loopback'>;
  clock: Clock;
  /** Tells people; called once for the same words in a row. */
  say(text: string): void;
}

/** Figures of a health check (RULES): until it is up, and from then on; ms. */
const pace = { starting: 100, up: 2_000, retry: 500 } as const;
/** Bad answers in a row until it is withdrawn. */
const threshold = 2;

/** Errors that no repetition mends. */
const hopeless = (error: unknown): boolean =>
  isFlynnError(error, 'forbidden') || isFlynnError(error, 'invalid');

/**
 * Registers the offer whenever its port answers, until the signal is aborted; what is registered then stays so, for
 * whoever aborted to withdraw. Rejects with an error that no repetition mends.
 */
export const keepRegistered = async (deps: KeepDeps, offer: Offer, signal: AbortSignal): Promise<void> => {
  const { client, clock, say } = deps;
  const { name, port } = offer;
  let registered = false;
  let failures = 0;
  let toldAt = Number.NEGATIVE_INFINITY;
  while (!signal.aborted) {
    const answer = await deps.answers(port);
    if (signal.aborted) return;
    if (answer === 'loopback')
      say(`${name}: port ${port} answers on 127.0.0.1 alone: nobody else can reach it`);
    failures = answer === 'yes' ? 0 : failures + 1;
    let pause: number = registered ? pace.up : pace.starting;
    try {
      if (answer === 'yes' && clock.mono() - toldAt >= registrationTimes.heartbeatMs - pace.up / 2) {
        const sent = clock.mono();
        const { address, port: outside } = await client.register(name, port, signal);
        if (!registered) say(`${name}: registered at ${address}:${outside}`);
        registered = true;
        toldAt = sent;
        pause = pace.up;
      } else if (registered && failures >= threshold) {
        await client.unregister(name, port, pace.up);
        say(`${name}: port ${port} answers no more: withdrawn`);
        registered = false;
        toldAt = Number.NEGATIVE_INFINITY;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (hopeless(error)) throw error;
      say(`${name}: ${error instanceof FlynnError ? error.message : String(error)}; trying again`);
      pause = pace.retry;
    }
    await clock.sleep(pause, signal).catch(() => undefined);
  }
};

/** Withdraws all offers, whether they are registered or not; what cannot be withdrawn in time runs out by itself. */
export const withdraw = async (
  client: Pick<DiscoveryClient, 'unregister'>,
  offers: readonly Offer[],
  timeoutMs: number,
): Promise<void> => {
  await Promise.allSettled(offers.map(({ name, port }) => client.unregister(name, port, timeoutMs)));
};

/** A teller that leaves out what it has just said. */
export const sayOnce = (write: (text: string) => void): ((text: string) => void) => {
  let before = '';
  return (text) => {
    if (text !== before) write(`sdutil: ${text}\n`);
    before = text;
  };
};

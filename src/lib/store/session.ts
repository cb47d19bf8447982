// Sessions: a lease that we hold by our own monotonic clock. The end is ours to know, whatever the store says.
import { FlynnError, isFlynnError } from '../api/errors.js';
import type { Clock } from '../util/clock.js';
import { silentLog, type Log } from '../util/log.js';
import { cryptoRng, type Rng } from '../util/rng.js';
import { backoff } from '../util/retry.js';
import { abortReason } from '../util/signal.js';
import type { Store } from './port.js';

/** Why a session ended. */
export type SessionEnd = 'expired' | 'gone' | 'closed';

/** What a session needs. */
export interface SessionOptions {
  store: Pick<Store, 'grant' | 'keepAliveOnce' | 'revoke'>;
  clock: Clock;
  /** Time to live in whole seconds, 2 at least. */
  ttlSeconds: number;
  /** How much earlier than the store we take the session to be over, in milliseconds; 15 % of the TTL, 1 s at most. */
  marginMs?: number;
  signal?: AbortSignal;
  log?: Log;
}

/** One life of a lease. */
export interface Session {
  readonly leaseId: string;
  /** Aborted when the session is over, however that came. */
  readonly signal: AbortSignal;
  /** Why it ended, undefined while it lives. */
  readonly ended: SessionEnd | undefined;
  /** When it ends unless it is renewed, on the clock's monotonic scale: last renewal *sent* + TTL − margin. */
  endsAt(): number;
  /** Asks the clock, not a timer: true only while nobody else can have taken over. */
  alive(): boolean;
  /** Calls back once with the reason; at once when it is over already. */
  onLost(cb: (why: SessionEnd) => void): void;
  /** Ends it and revokes the lease. A store that is away is no error: the lease then expires by itself. */
  close(): Promise<void>;
}

/** Opens a session. Throws what the store throws when the lease cannot be had. */
export const openSession = async (opts: SessionOptions): Promise<Session> => {
  const { store, clock, log = silentLog } = opts;
  const ttlMs = opts.ttlSeconds * 1000;
  const margin = opts.marginMs ?? Math.min(1000, ttlMs * 0.15);
  const sentFirst = clock.mono();
  const leaseId = await store.grant(opts.ttlSeconds, { signal: opts.signal });

  const over = new AbortController();
  let ended: SessionEnd | undefined;
  let endsAt = sentFirst + ttlMs - margin;
  let cancelTimer = (): void => undefined;

  const end = (why: SessionEnd): void => {
    if (ended) return;
    ended = why;
    cancelTimer();
    log[why === 'closed' ? 'debug' : 'warn']({ leaseId, why }, 'session ended');
    over.abort(new FlynnError({ code: 'fenced', message: `session ${leaseId} ended: ${why}` }));
  };
  const arm = (): void => {
    cancelTimer();
    cancelTimer = clock.after(endsAt - clock.mono(), () => (alive() ? arm() : end('expired')));
  };
  const alive = (): boolean => {
    if (!ended && clock.mono() >= endsAt) end('expired');
    return ended === undefined;
  };

  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    if (ended) return;
    end('closed');
    try {
      await store.revoke(leaseId, { timeoutMs: Math.min(1000, ttlMs) });
    } catch (error) {
      if (!isFlynnError(error)) throw error;
      log.info({ leaseId, error: error.message }, 'lease not revoked, it expires by itself');
    }
  };

  const renew = async (): Promise<void> => {
    let pause = ttlMs / 4;
    while (alive()) {
      await clock.sleep(pause, over.signal);
      const sent = clock.mono();
      try {
        const ttl = await store.keepAliveOnce(leaseId, {
          timeoutMs: Math.min(1000, ttlMs / 4),
          signal: over.signal,
        });
        // Asked before the new end is set: an answer that comes after the end does not bring the session back.
        if (!alive()) return;
        endsAt = sent + Math.min(ttl * 1000, ttlMs) - margin;
        arm();
        pause = ttlMs / 4;
      } catch (error) {
        if (ended) return;
        if (isFlynnError(error, 'not_found')) return end('gone');
        log.debug({ leaseId, error: String(error) }, 'session not renewed, trying again');
        pause = ttlMs / 20;
      }
    }
  };

  if (!alive())
    throw new FlynnError({ code: 'timeout', message: `lease ${leaseId} came too late to be used` });
  arm();
  renew().catch((error: unknown) => {
    // The only way out of a sleep by exception is our own end.
    if (!ended) throw error;
  });

  const session: Session = {
    leaseId,
    signal: over.signal,
    get ended() {
      return ended;
    },
    endsAt: () => endsAt,
    alive,
    onLost: (cb) => {
      if (ended) cb(ended);
      else over.signal.addEventListener('abort', () => cb(ended ?? 'expired'), { once: true });
    },
    close: () => (closing ??= close()),
  };
  if (opts.signal) {
    const onAbort = (): void => void session.close();
    if (opts.signal.aborted) onAbort();
    opts.signal.addEventListener('abort', onAbort, { once: true });
    over.signal.addEventListener('abort', () => opts.signal?.removeEventListener('abort', onAbort), {
      once: true,
    });
  }
  return session;
};

/** Options of a session that is opened again after every loss. */
export interface KeepSessionOptions extends SessionOptions {
  signal: AbortSignal;
  rng?: Rng;
  /** Called with every new session. Put the keys that hang on it here; when it throws, the session is given up and opened again. */
  onOpen(session: Session): Promise<void> | void;
  onLost?(why: SessionEnd): void;
}

/** Holds a session until the signal is aborted, opening another after every loss; resolves when the last one is closed. */
export const keepSession = async (opts: KeepSessionOptions): Promise<void> => {
  const { clock, signal, rng = cryptoRng, log = silentLog } = opts;
  for (let failures = 0; !signal.aborted;) {
    try {
      const session = await openSession(opts);
      try {
        await opts.onOpen(session);
        failures = 0;
        const why = await new Promise<SessionEnd>((resolve) => session.onLost(resolve));
        opts.onLost?.(why);
      } finally {
        await session.close();
      }
      // Never in a tight loop, not even for a caller that closes every session at once.
      await pauseUnless(signal, clock, backoff(1, rng));
    } catch (error) {
      if (signal.aborted) return;
      failures += 1;
      log.warn({ error: String(error) }, 'no session, trying again');
      await pauseUnless(signal, clock, backoff(failures, rng));
    }
  }
};

/** Sleeps, or returns early when the signal is aborted. */
const pauseUnless = async (signal: AbortSignal, clock: Clock, ms: number): Promise<void> => {
  try {
    await clock.sleep(ms, signal);
  } catch (error) {
    if (error !== abortReason(signal) && !signal.aborted) throw error;
  }
};

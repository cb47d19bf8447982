// One attempt at one host: TCP, key exchange with a mandatory verdict on the host key, authentication, in bounded time.
import type { Duplex } from 'node:stream';
import ssh2, { type AnyAuthMethod, type Client, type ServerHostKeyAlgorithm } from 'ssh2';
import { FlynnError } from '../api/errors.js';
import type { Clock } from '../util/clock.js';
import { abortReason } from '../util/signal.js';
import type { Candidate } from './auth.js';
import { authRefused, connectTimeout, unreachable } from './errors.js';
import { hostKeyOf, judge, type Trust, type Verdict } from './host-keys.js';
import type { HostKey, SshTarget } from './port.js';

/** What one attempt needs. */
export interface HandshakeOptions {
  target: SshTarget;
  /** Address to dial, after ssh_config. */
  address: string;
  /** A connection through a jump host, instead of dialling. */
  sock?: Duplex;
  trust: Trust;
  algorithms: ServerHostKeyAlgorithm[];
  candidates: readonly Candidate[];
  /** What to type when none of them is accepted. */
  refusedHint: string | undefined;
  /** Bound in ms, without the time a human takes over a passphrase. */
  ms: number;
  clock: Clock;
  signal?: AbortSignal;
}

/** How an attempt ended, when it did not throw. */
export type HandshakeResult =
  | { kind: 'ready'; client: Client; key: HostKey }
  | { kind: 'untrusted'; key: HostKey; verdict: Exclude<Verdict, { kind: 'trusted' }> }
  /** The host has no key of the types we offered. */
  | { kind: 'no-algorithm'; cause: Error }
  /** The host closed before it proved who it is, as sshd does beyond MaxStartups. */
  | { kind: 'dropped'; cause: Error };

type Phase = 'dialling' | 'handshake' | 'authentication';

const levelOf = (error: Error): unknown => ('level' in error ? error.level : undefined);

/** A deadline that stands still while a human types. */
class Patience {
  #cancel: () => void = () => undefined;
  #since = 0;
  constructor(
    private readonly clock: Clock,
    private left: number,
    private readonly onEnd: () => void,
  ) {
    this.resume();
  }
  pause(): void {
    this.#cancel();
    this.left -= this.clock.mono() - this.#since;
  }
  resume(): void {
    this.#since = this.clock.mono();
    this.#cancel = this.clock.after(Math.max(1, this.left), this.onEnd);
  }
  end(): void {
    this.#cancel();
  }
}

/** Tries to connect once. Throws `refused` when no key is accepted, `unreachable`, `usage` for a bad key, or the signal's reason. */
export const handshake = (opts: HandshakeOptions): Promise<HandshakeResult> =>
  new Promise((resolve, reject) => {
    const { target, clock, signal } = opts;
    const client = new ssh2.Client();
    const tried: string[] = [];
    const queue = [...opts.candidates];
    let phase: Phase = 'dialling';
    let key: HostKey | undefined;
    let verdict: Verdict | undefined;
    let settled = false;
    let exhausted = false;

    const settle = (finish: () => void): void => {
      if (settled) return;
      settled = true;
      patience.end();
      signal?.removeEventListener('abort', onAbort);
      finish();
    };
    const fail = (error: unknown): void =>
      settle(() => {
        client.destroy();
        opts.sock?.destroy();
        reject(error);
      });
    const give = (result: HandshakeResult): void =>
      settle(() => {
        if (result.kind !== 'ready') {
          client.destroy();
          opts.sock?.destroy();
        }
        resolve(result);
      });
    const onAbort = (): void => fail(signal ? abortReason(signal) : undefined);
    const patience = new Patience(clock, opts.ms, () => fail(connectTimeout(target, opts.ms)));
    signal?.addEventListener('abort', onAbort, { once: true });
    if (signal?.aborted) return onAbort();

    const onEnd = (cause: Error): void => {
      if (key && verdict && verdict.kind !== 'trusted') return give({ kind: 'untrusted', key, verdict });
      if (phase === 'authentication')
        return fail(authRefused(target, tried, { hint: opts.refusedHint, cause }));
      if (phase === 'handshake')
        return give({ kind: levelOf(cause) === 'handshake' ? 'no-algorithm' : 'dropped', cause });
      fail(unreachable(target, cause));
    };
    const nextKey = async (): Promise<AnyAuthMethod | false> => {
      for (let candidate = queue.shift(); candidate; candidate = queue.shift()) {
        if (candidate.locked) patience.pause();
        const method = await candidate.method(target.user);
        if (candidate.locked) patience.resume();
        if (!method) continue;
        tried.push(candidate.label);
        return method;
      }
      exhausted = true;
      return false;
    };

    // Stays for good: an error event without a listener ends the process.
    client.on('error', (error: Error) => {
      // ssh2 reports a key or agent that cannot sign as an error and goes on with the next method by itself.
      const goesOn = levelOf(error) === 'agent' || levelOf(error) === 'client-authentication';
      if (!goesOn || exhausted) onEnd(error);
    });
    client.on('connect', () => {
      phase = 'handshake';
      client.setNoDelay(true);
    });
    client.on('handshake', () => (phase = 'authentication'));
    client.on('close', () => onEnd(new Error('the host closed the connection')));
    client.on('ready', () => {
      if (!key) return fail(new FlynnError({ code: 'internal', message: 'connected without a host key' }));
      give({ kind: 'ready', client, key });
    });
    client.connect({
      ...(opts.sock ? { sock: opts.sock } : { host: opts.address, port: target.port }),
      username: target.user,
      algorithms: { serverHostKey: opts.algorithms },
      readyTimeout: 0,
      keepaliveInterval: 10_000,
      keepaliveCountMax: 3,
      // Called again at every rekey: the verdict on the same key is the same.
      hostVerifier: (blob: Buffer): boolean => {
        const shown = hostKeyOf(blob);
        if (key && key.blob !== shown.blob) return false;
        key = shown;
        verdict = judge(shown, opts.trust);
        return verdict.kind === 'trusted';
      },
      authHandler: (_left, _partial, next) => {
        nextKey().then((method) => next(method as AnyAuthMethod), fail);
      },
    });
  });

// Calls to etcd's endpoints: sticky, the preferred one first; reads go on to the next, writes only when surely not applied.
import type { Services } from 'etcd3';
import { isFlynnError, type ErrorCode } from '../api/errors.js';
import { Endpoint, NotSentError, type Lane, type StoreTls } from './etcd-endpoint.js';
import { isGrpcError, judge, storeError } from './etcd-errors.js';
import type { CallOptions } from './port.js';

/** After a move to another endpoint, how long until the preferred one is tried again. */
const RETURN_MS = 30_000;

/** Where etcd is, and how to prove who we are. */
export interface EtcdOptions {
  /** Client URLs such as https://10.0.0.1:2379, the preferred (local) member first. */
  endpoints: readonly string[];
  tls?: StoreTls;
  /** Milliseconds one endpoint has to answer a call; 1000. A list's page and a change of members have five times that. */
  timeoutMs?: number;
}

/** Whether a request may be sent again when nobody knows if it was applied. */
export type Kind = 'read' | 'write';

/** One unary call. */
export interface Request {
  /** For messages: what is asked for. */
  what: string;
  kind: Kind;
  /** `main` by default. */
  lane?: Lane;
  service: keyof typeof Services;
  method: string;
  payload: unknown;
  /** False for what a member answers without a leader. */
  leader?: boolean;
  opts: CallOptions | undefined;
  /** Instead of the client's own timeout, when the caller gives none. */
  timeoutMs?: number;
}

/** The endpoints of one client. */
export class EtcdCalls {
  #endpoints: Endpoint[];
  #current = 0;
  #movedAt = 0;
  #closed = false;
  readonly timeoutMs: number;
  readonly tls: StoreTls | undefined;

  constructor(opts: EtcdOptions) {
    if (opts.endpoints.length === 0) throw storeError('invalid', 'a client without endpoints', []);
    this.tls = opts.tls;
    this.timeoutMs = opts.timeoutMs ?? 1000;
    this.#endpoints = opts.endpoints.map((url) => new Endpoint(url, opts.tls));
  }

  /** The endpoints in order of preference. */
  get urls(): string[] {
    return this.#endpoints.map((e) => e.url);
  }

  /** Takes other endpoints: those that stay keep their connections, watches on those that go end. */
  setUrls(urls: readonly string[]): void {
    if (urls.length === 0 || urls.join() === this.urls.join()) return;
    const old = new Map(this.#endpoints.map((e) => [e.url, e]));
    const active = this.#endpoints[this.#current] as Endpoint;
    this.#endpoints = urls.map((url) => old.get(url) ?? new Endpoint(url, this.tls));
    this.#current = Math.max(0, this.#endpoints.indexOf(active));
    for (const endpoint of old.values()) if (!this.#endpoints.includes(endpoint)) endpoint.close();
  }

  /** Carries out a unary call. Throws as Store says. */
  call<Res>(r: Request): Promise<Res> {
    return this.each(r.what, r.kind, r.opts?.signal, (endpoint) =>
      endpoint.call<Res>(r.lane ?? 'main', r.service, r.method, r.payload, {
        timeoutMs: r.opts?.timeoutMs ?? r.timeoutMs ?? this.timeoutMs,
        leader: r.leader !== false,
        signal: r.opts?.signal,
      }),
    );
  }

  /** Tries the endpoints in turn, beginning with the current one, as far as the outcome of each try allows. */
  async each<T>(
    what: string,
    kind: Kind,
    signal: AbortSignal | undefined,
    work: (endpoint: Endpoint) => Promise<T>,
  ): Promise<T> {
    if (this.#closed) throw storeError('unreachable', what, this.urls, new Error('the store was closed'));
    let worst: ErrorCode = 'unreachable';
    let cause: unknown;
    for (let tries = this.#endpoints.length; tries > 0; tries--) {
      const endpoint = this.endpoint();
      try {
        return await work(endpoint);
      } catch (error) {
        if (signal?.aborted || isFlynnError(error)) throw error;
        cause = error;
        if (isGrpcError(error)) {
          const outcome = judge(error);
          if (outcome.kind === 'refused') throw storeError(outcome.code, what, [endpoint.url], error);
          this.leave(endpoint);
          if (outcome.kind === 'unknown' && kind === 'write') {
            throw storeError('ambiguous', what, [endpoint.url], error);
          }
          worst = outcome.code;
        } else if (error instanceof NotSentError) {
          this.leave(endpoint);
        } else {
          throw error;
        }
      }
    }
    throw storeError(worst, what, this.urls, cause);
  }

  /** The endpoint to use now; looks after the preferred one in the background when it is another. */
  endpoint(): Endpoint {
    const preferred = this.#endpoints[0] as Endpoint;
    if (this.#current !== 0 && performance.now() - this.#movedAt > RETURN_MS) {
      this.#movedAt = performance.now();
      const probe = { key: Buffer.from([0]), keys_only: true };
      preferred.call('main', 'KV', 'range', probe, { timeoutMs: this.timeoutMs, leader: true }).then(
        () => (this.#current = Math.max(0, this.#endpoints.indexOf(preferred))),
        () => undefined, // Still away: asked again after the next RETURN_MS.
      );
    }
    return this.#endpoints[this.#current] as Endpoint;
  }

  /** Moves on from an endpoint that failed, unless another call has done so already. */
  leave(endpoint: Endpoint): void {
    if (this.#endpoints[this.#current] !== endpoint) return;
    this.#current = (this.#current + 1) % this.#endpoints.length;
    this.#movedAt = performance.now();
  }

  /** Closes all connections; calls after it fail as `unreachable`. */
  close(): void {
    this.#closed = true;
    for (const endpoint of this.#endpoints) endpoint.close();
  }
}

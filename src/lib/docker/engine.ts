// Requests to an engine through dockerode's modem: version negotiation, deadlines, coded errors.
import type { Agent } from 'node:http';
import type { Duplex, Readable } from 'node:stream';
import Dockerode from 'dockerode';
import { FlynnError } from '../api/errors.js';
import { systemClock, type Clock } from '../util/clock.js';
import { abortable, deadline } from '../util/signal.js';
import { DialAgent } from './dial-agent.js';
import { engineError, type Doing } from './errors.js';
import type { CallOptions, Dial } from './port.js';

/** Newest API version we speak, and the oldest that has what we use (Docker 20.10). */
const OURS = '1.44';
const OLDEST = '1.41';
/** Bound of a call that answers at once, in ms. */
const CALL_MS = 60_000;

/** Values of a query; objects go as JSON, lists as repeated keys, undefined not at all. */
export type Query = Record<string, string | number | boolean | object | undefined>;

/** One request. */
export interface Request extends Omit<Doing, 'where'> {
  method: 'GET' | 'POST' | 'PUT' | 'DELETE' | 'HEAD';
  path: string;
  query?: Query;
  /** Sent as JSON. */
  body?: object;
  /** Sent as a tar stream. */
  upload?: Readable;
  /** Statuses beyond 2xx that are fine. */
  alsoOk?: readonly number[];
  headers?: Record<string, string>;
}

interface DialOptions {
  path: string;
  method: string;
  options?: { _query?: object; _body?: object };
  file?: Readable | Buffer;
  headers?: Record<string, string>;
  statusCodes: Record<number, true>;
  isStream?: boolean;
  hijack?: boolean;
  abortSignal?: AbortSignal;
}

interface Modem {
  version?: string;
  dial(options: DialOptions, done: (error: unknown, data: unknown) => void): void;
}

const compare = (a: string, b: string): number => {
  const [x = [], y = []] = [a, b].map((version) => version.split('.').map(Number));
  return (x[0] ?? 0) - (y[0] ?? 0) || (x[1] ?? 0) - (y[1] ?? 0);
};

/** The API version to speak with a server that speaks `theirs` at most. Throws `missing` when it is too old. */
export const negotiate = (theirs: string, where: string): string => {
  if (compare(theirs, OLDEST) < 0) {
    throw new FlynnError({
      code: 'missing',
      message: `the Docker engine ${where} is too old: it speaks API ${theirs}, needed is ${OLDEST} (Docker 20.10)`,
      hint: 'install a newer Docker on that host',
    });
  }
  return compare(theirs, OURS) < 0 ? theirs : OURS;
};

/** How an engine is reached. */
export interface EngineOptions {
  dial: Dial;
  /** For messages: `at /var/run/docker.sock`, `on node1`. */
  where: string;
  /** Idle connections kept for the next request. Default 8; use few where each costs a session of sshd. */
  maxIdle?: number;
  clock?: Clock;
}

/** The HTTP side of an engine. */
export class Engine {
  readonly #agent: DialAgent;
  readonly #modem: Modem;
  readonly #clock: Clock;
  #ready: Promise<void> | undefined;
  #closed = false;
  readonly where: string;

  constructor(options: EngineOptions) {
    this.where = options.where;
    this.#clock = options.clock ?? systemClock;
    this.#agent = new DialAgent(options.dial, options.maxIdle ?? 8);
    // DOCKER_HOST and its kin would override a socket path: all of them are set here, the agent dials.
    const fixed = { protocol: 'http' as const, host: 'docker.invalid', port: 80, pathPrefix: '/' };
    const agent = this.#agent;
    const off = { timeout: undefined, key: undefined, cert: undefined, ca: undefined };
    const settings: Dockerode.DockerOptions & { agent: Agent } = { ...fixed, ...off, agent };
    this.#modem = new Dockerode(settings).modem as Modem;
  }

  /** The answer's JSON. */
  async json<T>(request: Request, opts: CallOptions = {}): Promise<T> {
    return (await this.#call(request, opts, {})) as T;
  }

  /** A call whose answer does not matter. */
  async done(request: Request, opts: CallOptions = {}): Promise<void> {
    await this.#call(request, opts, {});
  }

  /** The answer's body as a stream, unbounded in time unless `timeoutMs` is given; aborting destroys it. */
  async stream(request: Request, opts: CallOptions = {}): Promise<Readable> {
    return (await this.#call(request, { timeoutMs: 0, ...opts }, { isStream: true })) as Readable;
  }

  /** The raw connection after an upgrade. Reads and writes are the container's. */
  async hijack(request: Request, opts: CallOptions = {}): Promise<Duplex> {
    // An empty body with its length told: a chunked one would leave its end mark on the connection, as first input.
    const how = { isStream: true, hijack: true, ...(request.body ? {} : { file: Buffer.alloc(0) }) };
    return (await this.#call(request, { timeoutMs: 0, ...opts }, how)) as Duplex;
  }

  /** Makes a coded error of something that a stream threw. */
  error(error: unknown, doing: Omit<Doing, 'where'>, signal?: AbortSignal): unknown {
    return engineError(error, { ...doing, where: this.where }, signal);
  }

  close(): void {
    this.#closed = true;
    this.#agent.destroy();
  }

  async #call(request: Request, opts: CallOptions, how: Partial<DialOptions>): Promise<unknown> {
    if (this.#closed) {
      throw new FlynnError({
        code: 'unreachable',
        message: `the connection to the Docker engine ${this.where} is closed`,
      });
    }
    const ms = opts.timeoutMs ?? CALL_MS;
    const limit = ms > 0 ? deadline(this.#clock, ms, opts.signal) : undefined;
    const signal = limit?.signal ?? opts.signal;
    try {
      await abortable(this.#negotiated(), signal);
      return await this.#dial(request, how, signal);
    } catch (error) {
      request.upload?.destroy();
      throw this.error(error, request, signal);
    } finally {
      limit?.clear();
    }
  }

  #dial(request: Request, how: Partial<DialOptions>, signal?: AbortSignal): Promise<unknown> {
    const ok = Array.from({ length: 100 }, (_, n) => 200 + n).concat(101, request.alsoOk ?? []);
    const query = Object.entries(request.query ?? {}).filter(([, value]) => value !== undefined);
    return new Promise((resolve, reject) => {
      this.#modem.dial(
        {
          method: request.method,
          path: `${request.path}?`,
          // Never undefined: modem would send its own options object as the body.
          options: { _query: Object.fromEntries(query), _body: request.body ?? {} },
          file: request.upload,
          headers: request.headers,
          statusCodes: Object.fromEntries(ok.map((status) => [status, true as const])),
          abortSignal: signal,
          ...how,
        },
        (error, data) => {
          if (error) reject(error instanceof Error ? error : new Error(String(error)));
          else resolve(data);
        },
      );
    });
  }

  /** Asks for the server's version once, on an unversioned path; a failure is asked again next time. */
  async #negotiated(): Promise<void> {
    if (this.#modem.version) return;
    this.#ready ??= this.#negotiate().finally(() => (this.#ready = undefined));
    await this.#ready;
  }

  async #negotiate(): Promise<void> {
    const limit = deadline(this.#clock, CALL_MS);
    try {
      const request: Request = { method: 'GET', path: '/version', what: 'tell its version' };
      const answer = (await this.#dial(request, {}, limit.signal)) as { ApiVersion?: string };
      this.#modem.version = `v${negotiate(answer.ApiVersion ?? '0', this.where)}`;
    } catch (error) {
      throw this.error(error, { what: 'tell its version' }, limit.signal);
    } finally {
      limit.clear();
    }
  }
}

// One etcd endpoint: separate connections for calls, sessions, watches and bulk reads, and calls that say what became of them.
import { Etcd3, type IOptions, type Services } from 'etcd3';
import { abortReason } from '../util/signal.js';

/** Each lane has connections of its own, so that a long list or a busy watch never delays a keepalive. */
export type Lane = 'main' | 'session' | 'watch' | 'bulk';

/** Credentials for mTLS, PEM. */
export interface StoreTls {
  ca: string | Buffer;
  cert: string | Buffer;
  key: string | Buffer;
  /**
   * Name that the servers' certificates must carry, instead of the address in the URL. Give one for URLs with IP
   * addresses: Node warns of TLS to a bare address, and a name that only members carry keeps other hosts from posing as one.
   */
  serverName?: string;
}

/** Headers of a call. */
interface Metadata {
  clone(): Metadata;
  set(key: string, value: string): void;
}

/** A call under way. */
interface UnaryCall {
  cancel(): void;
}

/** A stream both ways, as gRPC gives it. */
export interface DuplexStream<Req, Res> {
  write(message: Req): void;
  end(): void;
  cancel(): void;
  on(event: 'data', fn: (message: Res) => void): this;
  on(event: 'end', fn: () => void): this;
  on(event: 'error', fn: (error: Error) => void): this;
}

interface Channel {
  getConnectivityState(tryToConnect: boolean): number;
  watchConnectivityState(current: number, deadline: number, cb: (error?: Error) => void): void;
}

type UnaryMethod = (
  payload: unknown,
  metadata: Metadata,
  options: { deadline: number },
  cb: (error: Error | null, response: unknown) => void,
) => UnaryCall;
type StreamMethod = (metadata: Metadata, options: object) => DuplexStream<unknown, unknown>;

/** The request was not sent: no connection. */
export class NotSentError extends Error {
  override name = 'NotSentError';
}

// gRPC's states of a channel.
const READY = 2;
const TRANSIENT_FAILURE = 3;
const SHUTDOWN = 4;

/**
 * etcd3 with a way to its connections. We use its protocol, credentials and connection pool, and none of
 * its retry and breaker policies: they close all services of a host on any error and repeat writes.
 */
class Connections extends Etcd3 {
  /** The gRPC client of a service. Fetching it involves no call, so no policy of the library acts. */
  async service(name: keyof typeof Services): Promise<{ client: object; metadata: Metadata }> {
    return this.pool.withConnection(name, ({ client, metadata }) => ({
      client,
      metadata: metadata as unknown as Metadata,
    }));
  }
}

/**
 * Time between pings, ms. The lane that always has a stream open notices dead peers, frozen ones too, within two
 * seconds, and its end moves all lanes on. The others have deadlines for every call: they only ping to lose what a
 * partition left half open, because a ping per second and lane would be most of what an idle client costs.
 * The server allows this rate (grpc-keepalive-min-time).
 */
const pingMs: Record<Lane, number> = { watch: 1_000, main: 10_000, session: 10_000, bulk: 10_000 };

const optionsFor = (url: string, lane: Lane, tls?: StoreTls): IOptions => ({
  hosts: url,
  ...(tls
    ? {
        credentials: {
          rootCertificate: Buffer.from(tls.ca),
          certChain: Buffer.from(tls.cert),
          privateKey: Buffer.from(tls.key),
        },
      }
    : {}),
  grpcOptions: {
    'grpc.keepalive_time_ms': pingMs[lane],
    'grpc.keepalive_timeout_ms': 1000,
    'grpc.keepalive_permit_without_calls': 1,
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.min_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 1000,
    'grpc.max_receive_message_length': 64 * 1024 * 1024,
    'grpc.enable_retries': 0,
    // Operators' proxies are for the outside world.
    'grpc.enable_http_proxy': 0,
    // Without this, all channels of the process to one address share one connection: no lanes.
    'grpc.use_local_subchannel_pool': 1,
    ...(tls?.serverName ? { 'grpc.ssl_target_name_override': tls.serverName } : {}),
  },
});

/** One endpoint of the store's cluster. */
export class Endpoint {
  #lanes = new Map<Lane, Connections>();
  #closed = false;

  /** @param url such as https://10.0.0.1:2379 */
  constructor(
    readonly url: string,
    private readonly tls?: StoreTls,
  ) {}

  /** A unary call. Rejects with NotSentError (nothing was sent), a gRPC error, or the signal's reason. */
  async call<Res>(
    lane: Lane,
    service: keyof typeof Services,
    method: string,
    payload: unknown,
    opts: { timeoutMs: number; leader: boolean; signal?: AbortSignal },
  ): Promise<Res> {
    const deadline = Date.now() + opts.timeoutMs;
    const { client, metadata } = await this.#connect(lane, service, deadline, opts.signal);
    return new Promise<Res>((resolve, reject) => {
      const { signal } = opts;
      const unary = (client as Record<string, UnaryMethod>)[method] as UnaryMethod;
      const call = unary.call(
        client,
        payload,
        headers(metadata, opts.leader),
        { deadline },
        (error, response) => {
          signal?.removeEventListener('abort', onAbort);
          if (!error) resolve(response as Res);
          else reject(signal?.aborted ? abortReason(signal) : error);
        },
      );
      const onAbort = (): void => call.cancel();
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  /** Opens a stream once there is a connection. Rejects with NotSentError when there is none in time. */
  async stream<Req, Res>(
    lane: Lane,
    service: keyof typeof Services,
    method: string,
    opts: { timeoutMs: number; signal?: AbortSignal },
  ): Promise<DuplexStream<Req, Res>> {
    const deadline = Date.now() + opts.timeoutMs;
    const { client, metadata } = await this.#connect(lane, service, deadline, opts.signal);
    const open = (client as Record<string, StreamMethod>)[method] as StreamMethod;
    const stream = open.call(client, headers(metadata, true), {});
    return stream as DuplexStream<Req, Res>;
  }

  /** Closes all connections. */
  close(): void {
    this.#closed = true;
    for (const lane of this.#lanes.values()) lane.close();
    this.#lanes.clear();
  }

  async #connect(
    lane: Lane,
    service: keyof typeof Services,
    deadline: number,
    signal: AbortSignal | undefined,
  ): Promise<{ client: object; metadata: Metadata }> {
    if (signal?.aborted) throw abortReason(signal);
    if (this.#closed) throw new NotSentError(`the connection to ${this.url} was closed by us`);
    let connections = this.#lanes.get(lane);
    if (!connections) {
      connections = new Connections(optionsFor(this.url, lane, this.tls));
      this.#lanes.set(lane, connections);
    }
    const connected = await connections.service(service).catch((error: unknown) => {
      // Closed while we waited: the library says so with an error of no kind.
      if (this.#closed) throw new NotSentError(`the connection to ${this.url} was closed by us`);
      throw error;
    });
    await ready((connected.client as { getChannel(): Channel }).getChannel(), this.url, deadline, signal);
    return connected;
  }
}

const headers = (metadata: Metadata, leader: boolean): Metadata => {
  const own = metadata.clone();
  // A member without a leader then refuses at once; otherwise a write waits and a watch is silent for ever.
  if (leader) own.set('hasleader', 'true');
  return own;
};

/** Waits until the channel is connected, so that a request that was not sent is known not to have been. */
const ready = (channel: Channel, url: string, deadline: number, signal?: AbortSignal): Promise<void> =>
  new Promise((resolve, reject) => {
    const look = (timedOut?: Error): void => {
      if (signal?.aborted) return reject(abortReason(signal));
      const state = channel.getConnectivityState(true);
      if (state === READY) return resolve();
      if (timedOut) return reject(new NotSentError(`no connection to ${url} in time`));
      if (state === SHUTDOWN) return reject(new NotSentError(`the connection to ${url} was closed by us`));
      if (state === TRANSIENT_FAILURE) return reject(new NotSentError(`no connection to ${url}`));
      channel.watchConnectivityState(state, deadline, look);
    };
    look();
  });

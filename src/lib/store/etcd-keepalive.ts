// Lease renewals over one stream per endpoint: a stream of its own for each renewal was most of an idle client's work.
import type { ILeaseKeepAliveRequest, ILeaseKeepAliveResponse } from 'etcd3';
import { abortReason } from '../util/signal.js';
import { NotSentError, type DuplexStream } from './etcd-endpoint.js';
import { grpcCode } from './etcd-errors.js';
import { idFromWire, idToWire } from './etcd-wire.js';

type Stream = DuplexStream<ILeaseKeepAliveRequest, ILeaseKeepAliveResponse>;

interface Waiting {
  resolve(ttl: number): void;
  reject(error: unknown): void;
}

/** The renewals of one endpoint. */
export class KeepaliveStream {
  #opening: Promise<Stream> | undefined;
  #stream: Stream | undefined;
  /** Renewals under way by lease, oldest first: the server answers those of one lease in order. */
  readonly #waiting = new Map<string, Waiting[]>();

  /** @param open opens a stream, once there is a connection; rejects with NotSentError when there is none. */
  constructor(private readonly open: (timeoutMs: number) => Promise<Stream>) {}

  /**
   * Renews a lease; returns its TTL in seconds, 0 when it is gone. Rejects with NotSentError, a gRPC error (also when
   * there is no answer in time: the stream is then given up, so that a late answer is taken for no other), or the
   * signal's reason.
   */
  async renew(leaseId: string, timeoutMs: number, signal?: AbortSignal): Promise<number> {
    const deadline = Date.now() + timeoutMs;
    const stream = this.#stream ?? (await this.#open(timeoutMs));
    if (signal?.aborted) throw abortReason(signal);
    return new Promise<number>((resolve, reject) => {
      const settle = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
      };
      const onAbort = (): void => {
        settle();
        reject(abortReason(signal as AbortSignal));
      };
      const timer = setTimeout(() => this.#giveUp(stream, late()), deadline - Date.now());
      signal?.addEventListener('abort', onAbort, { once: true });
      const queue = this.#waiting.get(leaseId) ?? [];
      this.#waiting.set(leaseId, queue);
      queue.push({
        resolve: (ttl) => {
          settle();
          resolve(ttl);
        },
        reject: (error) => {
          settle();
          reject(error instanceof Error ? error : new Error(String(error)));
        },
      });
      stream.write({ ID: idToWire(leaseId) });
    });
  }

  #open(timeoutMs: number): Promise<Stream> {
    this.#opening ??= this.open(timeoutMs)
      .then((stream) => {
        stream.on('data', (answer) => void (this.#stream === stream && this.#take(answer)));
        stream.on('error', (error) => this.#giveUp(stream, error));
        stream.on('end', () => this.#giveUp(stream, new NotSentError('the server ended the keepalive')));
        this.#stream = stream;
        return stream;
      })
      .finally(() => (this.#opening = undefined));
    return this.#opening;
  }

  #take(answer: ILeaseKeepAliveResponse): void {
    const id = idFromWire(answer.ID);
    const queue = this.#waiting.get(id);
    queue?.shift()?.resolve(Number(answer.TTL));
    if (queue?.length === 0) this.#waiting.delete(id);
  }

  /** Ends the stream with everything that waits on it; the next renewal opens another. */
  #giveUp(stream: Stream, error: unknown): void {
    // Cancelling is reported as an error later, when another stream may be in use already.
    if (this.#stream !== stream) return;
    this.#stream = undefined;
    const waiting = [...this.#waiting.values()].flat();
    this.#waiting.clear();
    stream.cancel();
    for (const each of waiting) each.reject(error);
  }
}

/** As gRPC itself reports a deadline. */
const late = (): Error =>
  Object.assign(new Error('no answer to the keepalive in time'), {
    code: grpcCode.deadlineExceeded,
    details: 'no answer to the keepalive in time',
  });

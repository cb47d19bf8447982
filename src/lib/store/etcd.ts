// The store on etcd: keys, transactions, watches and leases over etcd3's protocol; see etcd-calls.ts for how endpoints are used.
import type {
  ILeaseGrantResponse,
  IRangeRequest,
  IRangeResponse,
  ITxnResponse,
  IWatchRequest,
  IWatchResponse,
} from 'etcd3';
import { isFlynnError } from '../api/errors.js';
import * as admin from './etcd-admin.js';
import { EtcdCalls, type EtcdOptions } from './etcd-calls.js';
import type { Endpoint } from './etcd-endpoint.js';
import { KeepaliveStream } from './etcd-keepalive.js';
import { storeError } from './etcd-errors.js';
import { etcdWatch } from './etcd-watch.js';
import { idFromWire, idToWire, rangeEnd, rangeStart, toEntry, txnFromWire, txnToWire } from './etcd-wire.js';
import type {
  CallOptions,
  Entry,
  GetOptions,
  ListOptions,
  PutOptions,
  Store,
  StoreMaintenance,
  StoreMember,
  StoreStatus,
  Txn,
  TxnResult,
  Watch,
  WatchHandler,
} from './port.js';

export type { EtcdOptions };

const PAGE = 1000;
const LIST_TRIES = 5;
/** The adapter over etcd3. */
export class EtcdStore implements Store, StoreMaintenance {
  readonly #calls: EtcdCalls;
  readonly #watches = new Set<Watch>();
  readonly #keepalives = new WeakMap<Endpoint, KeepaliveStream>();

  constructor(opts: EtcdOptions) {
    this.#calls = new EtcdCalls(opts);
  }

  /** The endpoints in order of preference. */
  get endpoints(): string[] {
    return this.#calls.urls;
  }

  /** Follows a change of the cluster's members: kept endpoints keep their connections, watches on removed ones end. */
  setEndpoints(urls: readonly string[]): void {
    this.#calls.setUrls(urls);
  }

  async get(key: string, opts: GetOptions = {}): Promise<Entry | undefined> {
    const payload: IRangeRequest = { key: Buffer.from(key), ...reading(opts) };
    const { kvs } = await this.#calls.call<IRangeResponse>({
      what: `get ${key}`,
      kind: 'read',
      service: 'KV',
      method: 'range',
      payload,
      leader: !opts.serializable,
      opts,
    });
    return kvs[0] && toEntry(kvs[0]);
  }

  async list(prefix: string, opts: ListOptions = {}): Promise<{ entries: Entry[]; revision: number }> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.#listOnce(prefix, opts);
      } catch (error) {
        // The pinned revision was compacted between two pages: begin again at a newer one.
        if (!isFlynnError(error, 'compacted') || opts.revision || tries >= LIST_TRIES) throw error;
      }
    }
  }

  async #listOnce(prefix: string, opts: ListOptions): Promise<{ entries: Entry[]; revision: number }> {
    const page = Math.min(opts.pageSize ?? PAGE, PAGE);
    const limit = opts.limit ?? Infinity;
    const entries: Entry[] = [];
    let revision = opts.revision ?? 0;
    for (;;) {
      const after = entries.at(-1)?.key ?? opts.after;
      const payload: IRangeRequest = {
        key: after === undefined ? rangeStart(prefix) : Buffer.from(`${after}\0`),
        range_end: rangeEnd(prefix),
        limit: Math.min(page, limit - entries.length),
        keys_only: opts.keysOnly ?? false,
        ...reading({ ...opts, revision }),
      };
      const answer = await this.#calls.call<IRangeResponse>({
        what: `list ${prefix}`,
        kind: 'read',
        lane: 'bulk',
        service: 'KV',
        method: 'range',
        payload,
        leader: !opts.serializable,
        opts,
        timeoutMs: this.#calls.timeoutMs * 5,
      });
      revision ||= Number(answer.header.revision);
      for (const kv of answer.kvs) entries.push(toEntry(kv));
      if (!answer.more || answer.kvs.length === 0 || entries.length >= limit) return { entries, revision };
    }
  }

  async put(key: string, value: string, opts: PutOptions = {}): Promise<{ revision: number }> {
    const result = await this.#txn(
      `put ${key}`,
      { compare: [], then: [{ op: 'put', key, value, lease: opts.lease }] },
      opts,
    );
    return { revision: result.revision };
  }

  async delete(key: string, opts?: CallOptions): Promise<{ revision: number; deleted: number }> {
    const { revision, results } = await this.#txn(
      `delete ${key}`,
      { compare: [], then: [{ op: 'delete', key }] },
      opts,
    );
    return { revision, deleted: results[0]?.op === 'delete' ? results[0].deleted : 0 };
  }

  txn(txn: Txn, opts?: CallOptions): Promise<TxnResult> {
    return this.#txn('a transaction', txn, opts);
  }

  async #txn(what: string, txn: Txn, opts: CallOptions | undefined): Promise<TxnResult> {
    const payload = txnToWire(txn);
    const answer = await this.#calls.call<ITxnResponse>({
      what,
      kind: 'write',
      service: 'KV',
      method: 'txn',
      payload,
      opts,
    });
    return txnFromWire(txn, answer);
  }

  watch(prefix: string, fromRevision: number, handler: WatchHandler): Watch {
    const endpoint = this.#calls.endpoint();
    const watch = etcdWatch(
      prefix,
      fromRevision,
      {
        onEvents: (events, revision) => handler.onEvents(events, revision),
        onAlive: () => handler.onAlive?.(),
        onEnd: (reason, cause) => {
          this.#watches.delete(watch);
          if (reason === 'disconnected') this.#calls.leave(endpoint);
          handler.onEnd(reason, cause);
        },
      },
      {
        createTimeoutMs: this.#calls.timeoutMs * 2,
        open: (signal) =>
          endpoint.stream<IWatchRequest, IWatchResponse>('watch', 'Watch', 'watch', {
            timeoutMs: this.#calls.timeoutMs,
            signal,
          }),
      },
    );
    this.#watches.add(watch);
    return watch;
  }

  async grant(ttlSeconds: number, opts?: CallOptions): Promise<string> {
    // A lease whose grant was not heard of expires unused, so asking again is harmless: a read to us.
    const payload = { TTL: String(Math.ceil(ttlSeconds)) };
    const answer = await this.#calls.call<ILeaseGrantResponse>({
      what: 'grant a lease',
      kind: 'read',
      lane: 'session',
      service: 'Lease',
      method: 'leaseGrant',
      payload,
      opts,
    });
    return idFromWire(answer.ID);
  }

  keepAliveOnce(leaseId: string, opts: CallOptions = {}): Promise<number> {
    const what = `keep lease ${leaseId} alive`;
    return this.#calls.each(what, 'read', opts.signal, async (endpoint) => {
      const ttl = await this.#renewals(endpoint).renew(
        leaseId,
        opts.timeoutMs ?? this.#calls.timeoutMs,
        opts.signal,
      );
      if (ttl <= 0) throw storeError('not_found', what, [endpoint.url], new Error('the lease is gone'));
      return ttl;
    });
  }

  #renewals(endpoint: Endpoint): KeepaliveStream {
    let stream = this.#keepalives.get(endpoint);
    if (!stream) {
      stream = new KeepaliveStream((timeoutMs) =>
        endpoint.stream('session', 'Lease', 'leaseKeepAlive', { timeoutMs }),
      );
      this.#keepalives.set(endpoint, stream);
    }
    return stream;
  }

  async revoke(leaseId: string, opts?: CallOptions): Promise<void> {
    const payload = { ID: idToWire(leaseId) };
    const request = {
      what: `revoke lease ${leaseId}`,
      kind: 'read',
      lane: 'session',
      service: 'Lease',
      method: 'leaseRevoke',
      payload,
      opts,
    } as const;
    await unlessGone(this.#calls.call(request));
  }

  status(opts?: CallOptions): Promise<StoreStatus> {
    return admin.status(this.#calls, opts);
  }

  members(opts?: CallOptions): Promise<StoreMember[]> {
    return admin.members(this.#calls, opts);
  }

  addMember(peerUrls: string[], opts?: CallOptions & { learner?: boolean }): Promise<StoreMember> {
    return admin.addMember(this.#calls, peerUrls, opts?.learner !== false, opts);
  }

  promoteMember(id: string, opts?: CallOptions): Promise<void> {
    return admin.promoteMember(this.#calls, id, opts);
  }

  removeMember(id: string, opts?: CallOptions): Promise<void> {
    return unlessGone(admin.removeMember(this.#calls, id, opts));
  }

  compact(revision: number, opts?: CallOptions): Promise<void> {
    return admin.compact(this.#calls, revision, opts);
  }

  defragment(endpoint: string, opts?: CallOptions): Promise<void> {
    return admin.defragment(this.#calls, endpoint, opts);
  }

  disarm(opts?: CallOptions): Promise<void> {
    return admin.disarm(this.#calls, opts);
  }

  close(): Promise<void> {
    for (const watch of [...this.#watches]) watch.close();
    this.#calls.close();
    return Promise.resolve();
  }
}

const reading = (opts: GetOptions): Pick<IRangeRequest, 'revision' | 'serializable'> => ({
  ...(opts.revision ? { revision: String(opts.revision) } : {}),
  ...(opts.serializable ? { serializable: true } : {}),
});

const unlessGone = async (work: Promise<unknown>): Promise<void> => {
  try {
    await work;
  } catch (error) {
    if (!isFlynnError(error, 'not_found')) throw error;
  }
};

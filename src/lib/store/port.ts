// The store's port: what the rest of the code may ask of etcd, in our own types. Adapters: etcd.ts, test/fakes/store.ts.

/** One key as it was read. Revisions are plain numbers: etcd counts up from 1 and stays far below 2^53. */
export interface Entry {
  key: string;
  value: string;
  /** Revision at which the key was last created: the identity of this life of the key. */
  createRevision: number;
  /** Revision of the last change of the key. */
  modRevision: number;
  /** Changes since creation, 1 for a key just created. */
  version: number;
  /** Id of the lease that the key hangs on, absent when it is persistent. */
  lease?: string;
}

/** The four relations that etcd can compare by. */
export type CompareOp = '=' | '!=' | '<' | '>';

/**
 * One condition of a transaction. A key that does not exist has create, mod and version 0;
 * a comparison with the value of a missing key fails, whatever the relation.
 */
export type Compare =
  | { key: string; target: 'create' | 'mod' | 'version'; op: CompareOp; value: number }
  | { key: string; target: 'value'; op: CompareOp; value: string };

/** One operation of a transaction. `prefix: true` means every key that starts with `key`. */
export type Op =
  | { op: 'put'; key: string; value: string; lease?: string }
  | { op: 'delete'; key: string; prefix?: boolean }
  | { op: 'get'; key: string; prefix?: boolean; limit?: number; keysOnly?: boolean }
  | { op: 'txn'; txn: Txn };

/** If every compare holds, `then` is carried out, otherwise `else`: atomically, at one revision. */
export interface Txn {
  compare: Compare[];
  then: Op[];
  else?: Op[];
}

/** The answer of one operation, at the same index as the operation. */
export type OpResult =
  | { op: 'put' }
  | { op: 'delete'; deleted: number }
  | { op: 'get'; entries: Entry[]; more: boolean }
  | { op: 'txn'; result: TxnResult };

/** The answer of a transaction. A nested transaction has its own `succeeded`: the outer one says nothing of it. */
export interface TxnResult {
  /** Whether the compares held, so whether `then` was carried out. */
  succeeded: boolean;
  /** The store's revision after the transaction (of nested results: the same). */
  revision: number;
  results: OpResult[];
}

/** Bounds of one call. */
export interface CallOptions {
  /** Milliseconds that one endpoint has to answer; the adapter's default otherwise (1 s). */
  timeoutMs?: number;
  signal?: AbortSignal;
}

/** Options of a single read. */
export interface GetOptions extends CallOptions {
  /** Read as of this revision; it may have been compacted (code `compacted`). */
  revision?: number;
  /** Answer from the local member without asking the majority: may be stale. */
  serializable?: boolean;
}

/** Options of a list. */
export interface ListOptions extends GetOptions {
  /** Keys per request, 1000 at most and by default. */
  pageSize?: number;
  /** Stop after this many keys. */
  limit?: number;
  /** Begin after this key, which the prefix must cover. */
  after?: string;
  /** Leave the values empty. */
  keysOnly?: boolean;
}

/** Options of a put. */
export interface PutOptions extends CallOptions {
  /** Hang the key on this lease. A key put without one lets go of the lease it had. */
  lease?: string;
}

/** One change as a watch tells it. A deletion carries the revision at which it happened. */
export type WatchEvent =
  { type: 'put'; key: string; entry: Entry } | { type: 'delete'; key: string; modRevision: number };

/** Why a watch ended. It never goes on by itself after this. */
export type WatchEndReason =
  /** Closed by us. */
  | 'closed'
  /** The connection or the member's leader was lost, or the member answered nothing. */
  | 'disconnected'
  /** The revision asked for is compacted: only a new list helps. */
  | 'compacted'
  /** The server cancelled it for another reason (permission, for example). */
  | 'cancelled';

/** What a watch calls. Nothing is called after `onEnd`, and `onEnd` is called once. */
export interface WatchHandler {
  /** All events of one or more whole revisions, in order; `revision` is the last of them. Never half a revision. */
  onEvents(events: WatchEvent[], revision: number): void;
  /**
   * The server is there and has this watch: called when it is set up and after `requestProgress`.
   * No promise of completeness: etcd 3.4 may send this answer ahead of events that are still under way.
   */
  onAlive?(): void;
  onEnd(reason: WatchEndReason, cause?: unknown): void;
}

/** A running watch. */
export interface Watch {
  /** Asks the server for a sign of life; the answer comes as `onAlive`. */
  requestProgress(): void;
  /** Ends the watch: `onEnd('closed')` follows, nothing else. */
  close(): void;
}

/** One member of the store's cluster. */
export interface StoreMember {
  /** Member id as hexadecimal text, as etcd's own tools print it. */
  id: string;
  /** Empty until the member has joined. */
  name: string;
  peerUrls: string[];
  clientUrls: string[];
  /** A learner follows and does not vote. */
  learner: boolean;
}

/** An alarm that a member has raised, `NOSPACE` means that writes are refused. */
export interface StoreAlarm {
  member: string;
  alarm: 'NOSPACE' | 'CORRUPT' | 'UNKNOWN';
}

/** State of the member that answered, and of the cluster as it sees it. */
export interface StoreStatus {
  /** Endpoint that answered. */
  endpoint: string;
  clusterId: string;
  memberId: string;
  /** The store's current revision. */
  revision: number;
  /** Version of the server, such as 3.4.23. */
  version: string;
  /** Size of the database file in bytes. */
  dbSize: number;
  /** Member id of the leader, absent while there is none. */
  leader?: string;
  raftTerm: number;
  raftIndex: number;
  alarms: StoreAlarm[];
}

/**
 * The one consistent store.
 *
 * Every method may throw a FlynnError: `unreachable` (no endpoint could be connected to: nothing was sent),
 * `no_quorum` (members were reached, and have no leader or did not answer in time; nothing was applied),
 * `ambiguous` (a write that may or may not have been applied: the caller finds out before it plans again),
 * `compacted` (a read at a revision that is gone), `not_found` (a lease or member that is gone),
 * `invalid`, `too_large`, `forbidden`, `conflict` (refused by the server as it stands), and `no_capacity`
 * (the database is full). A write ended by the caller's own signal may have been applied, too.
 */
export interface Store {
  /** The key's entry, undefined when there is none. */
  get(key: string, opts?: GetOptions): Promise<Entry | undefined>;
  /**
   * All entries under a prefix in key order, as of one revision, which is returned with them.
   * Read in pages at that revision; starts again when it is compacted meanwhile.
   */
  list(prefix: string, opts?: ListOptions): Promise<{ entries: Entry[]; revision: number }>;
  /** Writes a key; returns the revision of the write. */
  put(key: string, value: string, opts?: PutOptions): Promise<{ revision: number }>;
  /** Deletes one key; returns how many were deleted (0 or 1). */
  delete(key: string, opts?: CallOptions): Promise<{ revision: number; deleted: number }>;
  /** Carries out a transaction. At most 128 operations and 128 compares per level. */
  txn(txn: Txn, opts?: CallOptions): Promise<TxnResult>;
  /** Events of the prefix from a revision on, that one included. A hint: see Informer for the truth. */
  watch(prefix: string, fromRevision: number, handler: WatchHandler): Watch;

  /** Creates a lease of that many whole seconds (etcd's floor is 2); returns its id, hexadecimal as etcd's tools print it. */
  grant(ttlSeconds: number, opts?: CallOptions): Promise<string>;
  /** Renews a lease once; returns its TTL in seconds. Throws `not_found` when the lease is gone. */
  keepAliveOnce(leaseId: string, opts?: CallOptions): Promise<number>;
  /** Ends a lease and deletes its keys; a lease that is gone already is no error. */
  revoke(leaseId: string, opts?: CallOptions): Promise<void>;

  /** State of the member that answers first. */
  status(opts?: CallOptions): Promise<StoreStatus>;
  /** The cluster's members. */
  members(opts?: CallOptions): Promise<StoreMember[]>;
  /** Adds a member by its peer URLs, as a learner unless told otherwise. */
  addMember(peerUrls: string[], opts?: CallOptions & { learner?: boolean }): Promise<StoreMember>;
  /** Makes a learner vote. Throws `conflict` while it has not caught up. */
  promoteMember(id: string, opts?: CallOptions): Promise<void>;
  /** Removes a member; one that is gone already is no error. */
  removeMember(id: string, opts?: CallOptions): Promise<void>;
  /** Ends all watches and connections. Calls after it fail. */
  close(): Promise<void>;
}

/** The administration of single members, which only operators' commands use. */
export interface StoreMaintenance {
  /** Forgets the history before a revision. */
  compact(revision: number, opts?: CallOptions): Promise<void>;
  /** Gives the free space of the member at that endpoint back to its disk. The member answers nothing meanwhile. */
  defragment(endpoint: string, opts?: CallOptions): Promise<void>;
  /** Takes back the alarms raised. */
  disarm(opts?: CallOptions): Promise<void>;
}

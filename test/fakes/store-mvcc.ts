// The fake store's heart: a multi-version map with etcd's rules for revisions, transactions and compaction. No time in it.
import { FlynnError } from '../../src/lib/api/errors.js';
import type { Compare, Entry, Op, OpResult, Txn, TxnResult, WatchEvent } from '../../src/lib/store/port.js';

const MAX_OPS = 128;

interface Version {
  revision: number;
  entry: Entry | undefined;
}

/** What a write changed, all of one revision. */
export interface Change {
  revision: number;
  events: WatchEvent[];
}

const invalid = (message: string): FlynnError => new FlynnError({ code: 'invalid', message });

/** Index of the first element that is not below `key`. */
const lowerBound = (sorted: string[], key: string): number => {
  let lo = 0;
  let hi = sorted.length;
  while (lo < hi) {
    const mid = (lo + hi) >> 1;
    if ((sorted[mid] as string) < key) lo = mid + 1;
    else hi = mid;
  }
  return lo;
};

type Range = { key: string; prefix: boolean };
const covers = (ranges: Range[], key: string): boolean =>
  ranges.some((r) => (r.prefix ? key.startsWith(r.key) : key === r.key));

/** Refuses a transaction that would write one key twice, as etcd does; returns what it writes. */
const checkWrites = (ops: Op[]): { puts: Set<string>; deletes: Range[] } => {
  const deletes: Range[] = ops.flatMap((o) =>
    o.op === 'delete' ? [{ key: o.key, prefix: o.prefix === true }] : [],
  );
  const puts = new Set<string>();
  const add = (key: string, excused?: Set<string>): void => {
    if ((puts.has(key) && !excused?.has(key)) || covers(deletes, key)) {
      throw invalid(`duplicate key given in txn request: ${key}`);
    }
    puts.add(key);
  };
  for (const op of ops) {
    if (op.op !== 'txn') continue;
    const then = checkWrites(op.txn.then);
    const otherwise = checkWrites(op.txn.else ?? []);
    deletes.push(...then.deletes, ...otherwise.deletes);
    for (const key of then.puts) add(key);
    for (const key of otherwise.puts) add(key, then.puts);
  }
  for (const op of ops) if (op.op === 'put') add(op.key);
  return { puts, deletes };
};

const checkSize = (txn: Txn): void => {
  if (Math.max(txn.compare.length, txn.then.length, txn.else?.length ?? 0) > MAX_OPS) {
    throw invalid('too many operations in txn request');
  }
  for (const op of [...txn.then, ...(txn.else ?? [])]) if (op.op === 'txn') checkSize(op.txn);
};

/** A versioned map of keys. Every method throws what etcd would refuse. */
export class Mvcc {
  revision = 1;
  compacted = 0;
  #versions = new Map<string, Version[]>();
  #sorted: string[] = [];
  #history: Change[] = [];

  /** @param historyLimit changes kept before the oldest are compacted by themselves */
  constructor(private readonly historyLimit = 200_000) {}

  /** The key as of a revision, the current one by default. */
  get(key: string, revision = this.revision): Entry | undefined {
    const versions = this.#versions.get(key) ?? [];
    for (let i = versions.length - 1; i >= 0; i--) {
      const version = versions[i] as Version;
      if (version.revision <= revision) return version.entry;
    }
    return undefined;
  }

  /** Entries with the prefix in key order, those after `after` only. Throws `compacted` for a revision that is gone. */
  range(
    prefix: string,
    opts: { revision?: number; after?: string; limit?: number } = {},
  ): { entries: Entry[]; more: boolean } {
    const revision = opts.revision ?? this.revision;
    if (revision < this.compacted || revision > this.revision) {
      throw new FlynnError({ code: 'compacted', message: `revision ${revision} is not to be had` });
    }
    const entries: Entry[] = [];
    let i = lowerBound(this.#sorted, opts.after === undefined ? prefix : `${opts.after}\0`);
    for (; i < this.#sorted.length; i++) {
      const key = this.#sorted[i] as string;
      if (!key.startsWith(prefix)) break;
      const entry = this.get(key, revision);
      if (!entry) continue;
      if (opts.limit !== undefined && entries.length >= opts.limit) return { entries, more: true };
      entries.push(entry);
    }
    return { entries, more: false };
  }

  /** Keys that hang on a lease. */
  keysOf(lease: string): string[] {
    return this.#sorted.filter((key) => this.get(key)?.lease === lease);
  }

  /** Carries out a transaction; the change is undefined when nothing was written. */
  txn(txn: Txn, leaseExists: (id: string) => boolean): { result: TxnResult; change: Change | undefined } {
    checkSize(txn);
    checkWrites(txn.then);
    checkWrites(txn.else ?? []);
    const path = this.#path(txn);
    this.#checkLeases(txn, path, leaseExists);
    const change: Change = { revision: this.revision + 1, events: [] };
    const result = this.#apply(txn, path, change);
    if (change.events.length === 0) return { result, change: undefined };
    this.revision = change.revision;
    this.#history.push(change);
    if (this.#history.length > this.historyLimit)
      this.compact(this.#history[this.historyLimit >> 1]?.revision ?? 0);
    return { result: atRevision(result, this.revision), change };
  }

  /** Changes from a revision on; undefined when some of them are compacted. */
  changesFrom(revision: number): Change[] | undefined {
    if (revision < this.compacted) return undefined;
    let at = this.#history.length;
    while (at > 0 && (this.#history[at - 1] as Change).revision >= revision) at -= 1;
    return this.#history.slice(at);
  }

  /** A store of its own that holds what this one holds now, without the history. */
  snapshot(): Mvcc {
    const copy = new Mvcc(this.historyLimit);
    copy.revision = this.revision;
    copy.compacted = this.revision;
    for (const key of this.#sorted) {
      const entry = this.get(key);
      if (!entry) continue;
      copy.#versions.set(key, [{ revision: entry.modRevision, entry }]);
      copy.#sorted.push(key);
    }
    return copy;
  }

  /** Forgets what came before a revision. */
  compact(revision: number): void {
    if (revision <= this.compacted || revision > this.revision) {
      throw new FlynnError({ code: 'compacted', message: `revision ${revision} cannot be compacted` });
    }
    this.compacted = revision;
    this.#history = this.#history.filter((c) => c.revision >= revision);
    for (const [key, versions] of this.#versions) {
      const firstKept = versions.findLastIndex((v) => v.revision <= revision);
      const kept = firstKept > 0 ? versions.slice(firstKept) : versions;
      if (kept.length === 1 && kept[0]?.entry === undefined) this.#versions.delete(key);
      else this.#versions.set(key, kept);
    }
    this.#sorted = this.#sorted.filter((key) => this.#versions.has(key));
  }

  // etcd evaluates the compares of all levels against the state before the transaction.
  #path(txn: Txn): Map<Txn, boolean> {
    const path = new Map<Txn, boolean>();
    const walk = (t: Txn): void => {
      const holds = t.compare.every((c) => this.#holds(c));
      path.set(t, holds);
      for (const op of holds ? t.then : (t.else ?? [])) if (op.op === 'txn') walk(op.txn);
    };
    walk(txn);
    return path;
  }

  #checkLeases(txn: Txn, path: Map<Txn, boolean>, exists: (id: string) => boolean): void {
    for (const op of path.get(txn) ? txn.then : (txn.else ?? [])) {
      if (op.op === 'txn') this.#checkLeases(op.txn, path, exists);
      if (op.op === 'put' && op.lease !== undefined && !exists(op.lease)) {
        throw new FlynnError({ code: 'not_found', message: `lease ${op.lease} not found` });
      }
    }
  }

  #holds(compare: Compare): boolean {
    const entry = this.get(compare.key);
    if (compare.target === 'value')
      return entry !== undefined && relation(entry.value, compare.op, compare.value);
    const actual = { create: entry?.createRevision, mod: entry?.modRevision, version: entry?.version }[
      compare.target
    ];
    return relation(actual ?? 0, compare.op, compare.value);
  }

  #apply(txn: Txn, path: Map<Txn, boolean>, change: Change): TxnResult {
    const succeeded = path.get(txn) === true;
    const results = (succeeded ? txn.then : (txn.else ?? [])).map((op): OpResult => {
      if (op.op === 'txn') return { op: 'txn', result: this.#apply(op.txn, path, change) };
      if (op.op === 'put') {
        this.#put(op.key, op.value, op.lease, change);
        return { op: 'put' };
      }
      if (op.op === 'delete') {
        const doomed = op.prefix ? this.#current(op.key, change).map((e) => e.key) : [op.key];
        return { op: 'delete', deleted: doomed.filter((key) => this.#delete(key, change)).length };
      }
      const found = op.prefix
        ? this.#current(op.key, change)
        : [this.get(op.key, change.revision)].filter((e) => e !== undefined);
      const entries = (op.limit ? found.slice(0, op.limit) : found).map((e) =>
        op.keysOnly ? { ...e, value: '' } : e,
      );
      return { op: 'get', entries, more: entries.length < found.length };
    });
    return { succeeded, revision: this.revision, results };
  }

  /** Entries of a prefix as the running transaction sees them. */
  #current(prefix: string, change: Change): Entry[] {
    const out: Entry[] = [];
    for (let i = lowerBound(this.#sorted, prefix); i < this.#sorted.length; i++) {
      const key = this.#sorted[i] as string;
      if (!key.startsWith(prefix)) break;
      const entry = this.get(key, change.revision);
      if (entry) out.push(entry);
    }
    return out;
  }

  #put(key: string, value: string, lease: string | undefined, change: Change): void {
    if (key === '') throw invalid('key is not provided');
    const old = this.get(key, change.revision);
    const entry: Entry = {
      key,
      value,
      createRevision: old?.createRevision ?? change.revision,
      modRevision: change.revision,
      version: (old?.version ?? 0) + 1,
      ...(lease === undefined ? {} : { lease }),
    };
    this.#record(key, { revision: change.revision, entry });
    change.events.push({ type: 'put', key, entry });
  }

  #delete(key: string, change: Change): boolean {
    if (!this.get(key, change.revision)) return false;
    this.#record(key, { revision: change.revision, entry: undefined });
    change.events.push({ type: 'delete', key, modRevision: change.revision });
    return true;
  }

  #record(key: string, version: Version): void {
    const versions = this.#versions.get(key);
    if (versions) versions.push(version);
    else {
      this.#versions.set(key, [version]);
      this.#sorted.splice(lowerBound(this.#sorted, key), 0, key);
    }
  }
}

const relation = <T extends number | string>(a: T, op: Compare['op'], b: T): boolean =>
  op === '=' ? a === b : op === '!=' ? a !== b : op === '<' ? a < b : a > b;

const atRevision = (result: TxnResult, revision: number): TxnResult => ({
  ...result,
  revision,
  results: result.results.map((r) =>
    r.op === 'txn' ? { op: 'txn', result: atRevision(r.result, revision) } : r,
  ),
});

// What a transaction is judged against: books and claims as the store has them, and books that the caller remembers.
import { FlynnError } from '../../api/errors.js';
import { HostBook } from '../../api/grid.js';
import { Claim } from '../../api/job.js';
import { keys } from '../../api/keys.js';
import type { HostChange } from '../../api/sampi.js';
import type { Entry, Op, OpResult, Store, TxnResult } from '../../store/port.js';
import { inParts } from './parts.js';

/** A book at the revision at which it was written, which is the guard of every change. */
export interface KnownBook {
  value: HostBook;
  revision: number;
}

/** Books by host that a scheduler, or a copy of Sampi, has seen last. Never trusted: each is guarded by its revision. */
export class BookCache {
  private readonly books = new Map<string, KnownBook>();

  /** @param max books kept; the one that was written longest ago goes first. */
  constructor(private readonly max = 20_000) {}

  get(host: string): KnownBook | undefined {
    return this.books.get(host);
  }

  set(host: string, book: KnownBook): void {
    this.books.delete(host);
    this.books.set(host, book);
    for (const oldest of this.books.keys()) {
      if (this.books.size <= this.max) break;
      this.books.delete(oldest);
    }
  }

  delete(host: string): void {
    this.books.delete(host);
  }
}

/** A host of a transaction that is not settled yet; `loaded` when the last round brought what it is judged against. */
export interface Open {
  host: string;
  change: HostChange;
  loaded?: Loaded;
}

/** What a host is judged against. */
export interface Loaded {
  book?: KnownBook;
  existing: Map<string, Claim>;
  /** Read from the store, claims and all; false: remembered, and nothing is known of the claims. */
  read: boolean;
}

/** A read's key on the wire, bytes, generously. */
const readBytes = 150;

/** A host with what it is judged against. */
export interface Ready extends Open {
  loaded: Loaded;
}

/**
 * Gives every host what it is judged against: what the last round brought, a remembered book if `cache` has one and the
 * change only adds claims, else book and named claims as the store has them, each host at one revision.
 */
export async function load(store: Store, open: readonly Open[], cache?: BookCache): Promise<Ready[]> {
  const ready = open.map((item) => ({ ...item, loaded: item.loaded ?? remembered(item, cache) }));
  const missing = ready.filter(({ loaded }) => !loaded);
  const reads = missing.map((item) => ({ item, ops: readsOf(item) }));
  for (const part of inParts(reads, ({ ops }) => ({ ops: ops.length, bytes: ops.length * readBytes }))) {
    const result = await store.txn({
      compare: [],
      then: part.map(({ ops }) => ({ op: 'txn', txn: { compare: [], then: ops } })),
    });
    part.forEach(({ item }, index) => {
      item.loaded = readLoaded(item.host, nested(result.results[index]).results);
      remember(cache, item.host, item.loaded.book);
    });
  }
  return ready as Ready[];
}

/**
 * Brings the books of these hosts up to date in `cache`, and returns those that exist: what a scheduler does with the
 * sample of hosts that it is about to choose among.
 */
export async function readBooks(
  store: Store,
  hosts: readonly string[],
  cache: BookCache,
): Promise<Map<string, HostBook>> {
  const open = hosts.map((host): Open => ({ host, change: { claims: [], want: [] } }));
  const ready = await load(store, open);
  const books = new Map<string, HostBook>();
  for (const { host, loaded } of ready) {
    remember(cache, host, loaded.book);
    if (loaded.book) books.set(host, loaded.book.value);
  }
  return books;
}

function remembered({ host, change }: Open, cache: BookCache | undefined): Loaded | undefined {
  const book = change.want.length === 0 ? cache?.get(host) : undefined;
  return book && { book, existing: new Map(), read: false };
}

/** Keeps a book in mind; one that is gone is forgotten. */
export function remember(cache: BookCache | undefined, host: string, book: KnownBook | undefined): void {
  if (book) cache?.set(host, book);
  else cache?.delete(host);
}

/** The jobs that a change names, each once. */
export function jobsOf(change: HostChange): string[] {
  return [...new Set([...change.claims.map((claim) => claim.job), ...change.want.map(({ job }) => job)])];
}

/** Reads of a host's book and of the claims that a change names. */
export function readsOf({ host, change }: Open): Op[] {
  return [
    { op: 'get', key: keys.hostBook(host) },
    ...jobsOf(change).map((job): Op => ({ op: 'get', key: keys.claim(host, job) })),
  ];
}

/** The answers to `readsOf`; `read` is false when only the book was asked for. */
export function readLoaded(host: string, results: readonly OpResult[], read = true): Loaded {
  const [book] = entries(results[0]);
  const existing = new Map<string, Claim>();
  const prefix = keys.claimsAt(host).length;
  for (const result of results.slice(1)) {
    for (const entry of entries(result))
      existing.set(entry.key.slice(prefix), Claim.parse(JSON.parse(entry.value)));
  }
  return {
    existing,
    read,
    ...(book ? { book: { value: HostBook.parse(JSON.parse(book.value)), revision: book.modRevision } } : {}),
  };
}

/** Entries of a read; none of anything else. */
export function entries(result: OpResult | undefined): Entry[] {
  return result?.op === 'get' ? result.entries : [];
}

/** The answer of a nested transaction. */
export function nested(result: OpResult | undefined): TxnResult {
  if (result?.op !== 'txn')
    throw new FlynnError({ code: 'internal', message: 'the store answered a transaction out of shape' });
  return result.result;
}

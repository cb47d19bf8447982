// The two ways to commit: each host alone in one raft entry, or every host or none.
import { keys } from '../../api/keys.js';
import type { HostBook } from '../../api/grid.js';
import type { HostOutcome, Rejection, TransactionAnswer, TransactionRequest } from '../../api/sampi.js';
import type { Compare, Op, Store, Txn } from '../../store/port.js';
import { isRejection, judgeChange, type BookResult } from './book.js';
import {
  entries,
  nested,
  readLoaded,
  readsOf,
  remember,
  type BookCache,
  type Open,
  type Ready,
} from './load.js';
import { inParts, type Size } from './parts.js';

/** What a round works with. */
export interface Round {
  store: Store;
  request: TransactionRequest;
  answer: TransactionAnswer;
  /** Wall clock, ms. */
  now: number;
  cache: BookCache | undefined;
}

/** A host whose change fits what it was judged against. */
interface Pending {
  item: Ready;
  result: BookResult;
}

/** What an operation costs on the wire beside its key and value, bytes, generously. */
const opBytes = 80;

/** Incremental: each host commits or fails alone. Returns the hosts that must be judged again. */
export async function commitEach(round: Round, ready: readonly Ready[]): Promise<Open[]> {
  const { store, request, answer, cache } = round;
  const { pending, stale } = settle(round, ready);
  const again: Open[] = [...stale];
  const sized = pending.map((one) => ({ ...one, writes: writesOf(one) }));
  for (const part of inParts(sized, sizeOf)) {
    const children: Op[] = part.map(({ item, writes }) => {
      const txn: Txn = { compare: guardsOf(item), then: writes, else: readsFor(item) };
      return { op: 'txn', txn };
    });
    const outer = await store.txn({ compare: fences(request), then: children });
    answer.revision = outer.revision;
    if (!outer.succeeded) {
      answer.fenced = true;
      return [];
    }
    // The outer answer says success either way: each child tells for its own host, and the loser gets the new book.
    part.forEach(({ item, result }, index) => {
      const { host, change } = item;
      const child = nested(outer.results[index]);
      if (child.succeeded) {
        answer.hosts[host] = { ok: true, claims: result.claims, book: result.book };
        remember(cache, host, { value: result.book, revision: outer.revision });
      } else {
        const loaded = readLoaded(host, child.results, item.loaded.read);
        remember(cache, host, loaded.book);
        // With the book as it was, the claims are what is there already: they must be read.
        const same = !loaded.read && loaded.book?.revision === item.loaded.book?.revision;
        again.push(same ? { host, change } : { host, change, loaded });
      }
    });
  }
  return again;
}

/** All-or-nothing: every guard outside. Returns all hosts when a book changed, none when it is settled. */
export async function commitAll(round: Round, ready: readonly Ready[]): Promise<Open[]> {
  const { store, request, answer, cache } = round;
  const { pending, stale, rejected } = settle(round, ready);
  const all = ready.map(({ host, change }) => ({ host, change }));
  if (stale.length > 0) return all;
  if (rejected) {
    giveUp(
      answer,
      pending.map(({ item }) => item),
    );
    return [];
  }
  if (pending.length === 0) return [];
  const writes: Op[] = pending.map((one) => ({ op: 'txn', txn: { compare: [], then: writesOf(one) } }));
  const outer = await store.txn({
    compare: [...fences(request), ...pending.map(({ item }) => bookGuard(item))],
    then: writes,
    else: request.guards.map(({ key }) => ({ op: 'get', key })),
  });
  answer.revision = outer.revision;
  if (outer.succeeded) {
    for (const { item, result } of pending) {
      answer.hosts[item.host] = { ok: true, claims: result.claims, book: result.book };
      remember(cache, item.host, { value: result.book, revision: outer.revision });
    }
    return [];
  }
  const held = request.guards.every(
    ({ createRevision }, index) => entries(outer.results[index])[0]?.createRevision === createRevision,
  );
  if (!held) {
    answer.fenced = true;
    return [];
  }
  return all;
}

/** Settles what can be judged without a write. `stale`: refused by a remembered book, which proves nothing. */
function settle({ request, answer, now }: Round, ready: readonly Ready[]) {
  const pending: Pending[] = [];
  const stale: Open[] = [];
  let rejected = false;
  for (const item of ready) {
    const { host, change, loaded } = item;
    const result = judge(request, item, now);
    if (!isRejection(result)) {
      if (result.writes.size > 0) pending.push({ item, result });
      else answer.hosts[host] = { ok: true, claims: result.claims, book: loaded.book?.value };
    } else if (loaded.read) {
      answer.hosts[host] = refuse(result, loaded.book?.value);
      rejected = true;
    } else {
      stale.push({ host, change });
    }
  }
  return { pending, stale, rejected };
}

function judge(
  request: TransactionRequest,
  { host, change, loaded }: Ready,
  now: number,
): BookResult | Rejection {
  if (!loaded.book)
    return { code: 'not_found', message: `host ${host} is not part of the cluster`, constraint: 'host' };
  return judgeChange(
    { host, txn: request.id, now, book: loaded.book.value, existing: loaded.existing },
    change,
  );
}

/** Guards of others as compares: a leader's election key still lives its first life. */
function fences(request: TransactionRequest): Compare[] {
  return request.guards.map(({ key, createRevision }) => ({
    key,
    target: 'create',
    op: '=',
    value: createRevision,
  }));
}

function bookGuard({ host, loaded }: Ready): Compare {
  return { key: keys.hostBook(host), target: 'mod', op: '=', value: loaded.book?.revision ?? 0 };
}

/**
 * The book is as it was judged. Every change of a claim changes its book too, so that this alone covers the claims that
 * were read with it; of claims that were not read, each must not exist.
 */
function guardsOf(item: Ready): Compare[] {
  if (item.loaded.read) return [bookGuard(item)];
  return [
    bookGuard(item),
    ...item.change.claims.map(({ job }): Compare => ({
      key: keys.claim(item.host, job),
      target: 'create',
      op: '=',
      value: 0,
    })),
  ];
}

/** What the loser reads: the new book. With claims that were read once they are read again, so that both agree. */
function readsFor(item: Ready): Op[] {
  return item.loaded.read ? readsOf(item) : [{ op: 'get', key: keys.hostBook(item.host) }];
}

function writesOf({ item, result }: Pending): Op[] {
  return [
    { op: 'put', key: keys.hostBook(item.host), value: JSON.stringify(result.book) },
    ...[...result.writes].map(([job, claim]): Op => ({
      op: 'put',
      key: keys.claim(item.host, job),
      value: JSON.stringify(claim),
    })),
  ];
}

/** A claim's key is sent twice: in its write, and as a guard or as a read for the case that it fails. */
function sizeOf({ writes }: { writes: readonly Op[] }): Size {
  const bytes = writes.map((op) => (op.op === 'put' ? 2 * op.key.length + op.value.length + opBytes : 0));
  return { ops: writes.length, bytes: bytes.reduce((sum, size) => sum + size, 0) };
}

/** An all-or-nothing transaction that cannot be: the hosts that would have taken their part took nothing. */
export function giveUp(answer: TransactionAnswer, rest: readonly Open[]): TransactionAnswer {
  for (const { host } of rest) {
    answer.hosts[host] = refuse({
      code: 'conflict',
      message: `nothing was done on ${host}: another host of the transaction refused`,
    });
  }
  return answer;
}

/** The outcome of a host that refused. */
export function refuse(rejection: Rejection, book?: HostBook): HostOutcome {
  return { ok: false, claims: {}, rejection, ...(book ? { book } : {}) };
}

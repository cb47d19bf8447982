// Sampi's transaction function: the only writer of books and claims. One child transaction per host, guarded by its book.
import { FlynnError, isFlynnError } from '../../api/errors.js';
import { keys } from '../../api/keys.js';
import { HostBook } from '../../api/grid.js';
import { Claim } from '../../api/job.js';
import {
  TransactionRequest,
  type HostChange,
  type HostOutcome,
  type Rejection,
  type TransactionAnswer,
  type TransactionInput,
} from '../../api/sampi.js';
import type { Compare, Entry, Op, OpResult, Store, Txn, TxnResult } from '../../store/port.js';
import type { Clock } from '../../util/clock.js';
import { backoff } from '../../util/retry.js';
import type { Rng } from '../../util/rng.js';
import { isRejection, judgeChange, type BookResult } from './book.js';

export interface SampiPorts {
  clock: Clock;
  rng: Rng;
}

/** etcd takes 128 operations per level of a transaction (PROTOCOLS, "Sampi"). */
const maxHostsPerTxn = 100;
const maxJobsPerHost = 120;
const maxAtomicHosts = 64;
const maxAtomicJobs = 63;
/** Rounds against hosts whose book changed meanwhile. */
const maxRounds = 12;

/** A host of the transaction that is not settled yet. */
interface Open {
  host: string;
  change: HostChange;
}

/** A host with the book and claims that it is judged against. */
interface Loaded extends Open {
  book?: { value: HostBook; revision: number };
  existing: Map<string, Claim>;
}

/**
 * Commits a transaction of claims. *incremental*: each host takes its whole change or none of it, and the answer says
 * which; *all-or-nothing*: every host or none. A host whose book changed meanwhile is judged again against the new one.
 * The same id again finds what it did: call it again with the same id after a lost answer.
 * Throws `invalid`, `too_large`, and what the store throws (`no_quorum`, `ambiguous` when even the retries had no answer).
 */
export async function transact(
  store: Store,
  input: TransactionInput,
  ports: SampiPorts,
): Promise<TransactionAnswer> {
  const request = TransactionRequest.parse(input);
  bound(request);
  const answer: TransactionAnswer = { id: request.id, fenced: false, revision: 0, hosts: {} };
  const unknown = await unknownTemplates(store, request);
  let open: Open[] = [];
  for (const [host, change] of Object.entries(request.hosts)) {
    const missing = change.claims.find((claim) => unknown.has(claim.template));
    if (missing) {
      answer.hosts[host] = refuse({
        code: 'not_found',
        message: `template ${missing.template} of job ${missing.job} does not exist`,
        constraint: 'template',
      });
    } else {
      open.push({ host, change });
    }
  }
  const atomic = request.mode === 'all-or-nothing';
  if (atomic && open.length < Object.keys(request.hosts).length) return giveUp(answer, open);
  for (let round = 1; open.length > 0; round++) {
    try {
      const loaded = await load(store, open);
      open = atomic
        ? await commitAll(store, request, loaded, answer, ports)
        : await commitEach(store, request, loaded, answer, ports);
    } catch (error) {
      // The write may have happened: reading the claims again by id tells, and the next round starts with that.
      if (!isFlynnError(error, 'ambiguous') || round >= maxRounds) throw error;
    }
    if (answer.fenced) return answer;
    if (open.length === 0) break;
    if (round >= maxRounds) {
      for (const { host } of open) {
        answer.hosts[host] = refuse({
          code: 'conflict',
          message: `the book of host ${host} changed ${round} times meanwhile`,
        });
      }
      break;
    }
    await ports.clock.sleep(backoff(round, ports.rng, 4, 250));
  }
  return answer;
}

function bound(request: TransactionRequest): void {
  const atomic = request.mode === 'all-or-nothing';
  const hosts = Object.entries(request.hosts);
  const jobs = atomic ? maxAtomicJobs : maxJobsPerHost;
  if (atomic && hosts.length > maxAtomicHosts) {
    throw new FlynnError({
      code: 'too_large',
      message: `an all-or-nothing transaction takes at most ${maxAtomicHosts} hosts, this one names ${hosts.length}`,
    });
  }
  for (const [host, change] of hosts) {
    const count = change.claims.length + change.want.length;
    if (count > jobs) {
      throw new FlynnError({
        code: 'too_large',
        message: `a transaction takes at most ${jobs} jobs per host, this one has ${count} for ${host}`,
      });
    }
    const ids = new Set(change.claims.map((claim) => claim.job));
    if (ids.size < change.claims.length) {
      throw new FlynnError({ code: 'invalid', message: `the transaction claims a job of ${host} twice` });
    }
  }
}

async function unknownTemplates(store: Store, request: TransactionRequest): Promise<Set<string>> {
  const named = new Set(
    Object.values(request.hosts).flatMap((change) => change.claims.map((claim) => claim.template)),
  );
  const found = await Promise.all(
    [...named].map(async (hash) => ({ hash, there: (await store.get(keys.template(hash))) !== undefined })),
  );
  return new Set(found.filter(({ there }) => !there).map(({ hash }) => hash));
}

/** Reads book and named claims of each host, each host at one revision. */
async function load(store: Store, open: Open[]): Promise<Loaded[]> {
  const loaded: Loaded[] = [];
  for (let at = 0; at < open.length; at += maxHostsPerTxn) {
    const part = open.slice(at, at + maxHostsPerTxn);
    const result = await store.txn({
      compare: [],
      then: part.map(({ host, change }) => ({
        op: 'txn',
        txn: {
          compare: [],
          then: [
            { op: 'get', key: keys.hostBook(host) },
            ...jobsOf(change).map((job): Op => ({ op: 'get', key: keys.claim(host, job) })),
          ],
        },
      })),
    });
    part.forEach((item, index) => loaded.push(read(item, nested(result.results[index]).results)));
  }
  return loaded;
}

function jobsOf(change: HostChange): string[] {
  return [...new Set([...change.claims.map((claim) => claim.job), ...change.want.map(({ job }) => job)])];
}

function read(item: Open, results: OpResult[]): Loaded {
  const [book] = entries(results[0]);
  const existing = new Map<string, Claim>();
  for (const result of results.slice(1)) {
    for (const entry of entries(result)) {
      existing.set(entry.key.slice(keys.claimsAt(item.host).length), Claim.parse(JSON.parse(entry.value)));
    }
  }
  return {
    ...item,
    existing,
    ...(book ? { book: { value: HostBook.parse(JSON.parse(book.value)), revision: book.modRevision } } : {}),
  };
}

function entries(result: OpResult | undefined): Entry[] {
  return result?.op === 'get' ? result.entries : [];
}

function nested(result: OpResult | undefined): TxnResult {
  if (result?.op !== 'txn')
    throw new FlynnError({ code: 'internal', message: 'the store answered a transaction out of shape' });
  return result.result;
}

function judge(request: TransactionRequest, item: Loaded, now: number): BookResult | Rejection {
  if (!item.book)
    return { code: 'not_found', message: `host ${item.host} is not part of the cluster`, constraint: 'host' };
  return judgeChange(
    { host: item.host, txn: request.id, now, book: item.book.value, existing: item.existing },
    item.change,
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

function writesOf(item: Loaded, result: BookResult): Op[] {
  return [
    { op: 'put', key: keys.hostBook(item.host), value: JSON.stringify(result.book) },
    ...[...result.writes].map(([job, claim]): Op => ({
      op: 'put',
      key: keys.claim(item.host, job),
      value: JSON.stringify(claim),
    })),
  ];
}

function bookGuard(item: Loaded): Compare {
  return { key: keys.hostBook(item.host), target: 'mod', op: '=', value: item.book?.revision ?? 0 };
}

/** Settles what can be judged without a write; returns what must be written. */
function settle(request: TransactionRequest, loaded: Loaded[], answer: TransactionAnswer, ports: SampiPorts) {
  const pending: { item: Loaded; result: BookResult }[] = [];
  let rejected = false;
  for (const item of loaded) {
    const result = judge(request, item, ports.clock.now());
    if (isRejection(result)) {
      answer.hosts[item.host] = refuse(result, item.book?.value);
      rejected = true;
    } else if (result.writes.size === 0) {
      answer.hosts[item.host] = { ok: true, claims: result.claims, book: item.book?.value };
    } else {
      pending.push({ item, result });
    }
  }
  return { pending, rejected };
}

/** Incremental: one raft entry, each host commits or fails alone. Returns the hosts that must be judged again. */
async function commitEach(
  store: Store,
  request: TransactionRequest,
  loaded: Loaded[],
  answer: TransactionAnswer,
  ports: SampiPorts,
): Promise<Open[]> {
  const { pending } = settle(request, loaded, answer, ports);
  const again: Open[] = [];
  for (let at = 0; at < pending.length; at += maxHostsPerTxn) {
    const part = pending.slice(at, at + maxHostsPerTxn);
    const children: Op[] = part.map(({ item, result }) => {
      const txn: Txn = { compare: [bookGuard(item)], then: writesOf(item, result) };
      return { op: 'txn', txn };
    });
    const outer = await store.txn({ compare: fences(request), then: children });
    answer.revision = outer.revision;
    if (!outer.succeeded) {
      answer.fenced = true;
      return [];
    }
    // The outer answer says success either way: each child tells for its own host.
    part.forEach(({ item, result }, index) => {
      if (nested(outer.results[index]).succeeded) {
        answer.hosts[item.host] = { ok: true, claims: result.claims, book: result.book };
      } else {
        again.push({ host: item.host, change: item.change });
      }
    });
  }
  return again;
}

/** All-or-nothing: every guard outside. Returns all hosts when a book changed, none when it is settled. */
async function commitAll(
  store: Store,
  request: TransactionRequest,
  loaded: Loaded[],
  answer: TransactionAnswer,
  ports: SampiPorts,
): Promise<Open[]> {
  const { pending, rejected } = settle(request, loaded, answer, ports);
  if (rejected) {
    giveUp(
      answer,
      pending.map(({ item }) => item),
    );
    return [];
  }
  if (pending.length === 0) return [];
  const writes: Op[] = pending.map(({ item, result }) => ({
    op: 'txn',
    txn: { compare: [], then: writesOf(item, result) },
  }));
  const outer = await store.txn({
    compare: [...fences(request), ...pending.map(({ item }) => bookGuard(item))],
    then: writes,
    else: request.guards.map(({ key }) => ({ op: 'get', key })),
  });
  answer.revision = outer.revision;
  if (outer.succeeded) {
    for (const { item, result } of pending)
      answer.hosts[item.host] = { ok: true, claims: result.claims, book: result.book };
    return [];
  }
  const held = request.guards.every(
    ({ createRevision }, index) => entries(outer.results[index])[0]?.createRevision === createRevision,
  );
  if (!held) {
    answer.fenced = true;
    return [];
  }
  return loaded.map(({ host, change }) => ({ host, change }));
}

/** An all-or-nothing transaction that cannot be: the hosts that would have taken their part took nothing. */
function giveUp(answer: TransactionAnswer, rest: Open[]): TransactionAnswer {
  for (const { host } of rest) {
    answer.hosts[host] = refuse({
      code: 'conflict',
      message: `nothing was done on ${host}: another host of the transaction refused`,
    });
  }
  return answer;
}

function refuse(rejection: Rejection, book?: HostBook): HostOutcome {
  return { ok: false, claims: {}, rejection, ...(book ? { book } : {}) };
}

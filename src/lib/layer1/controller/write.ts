// Writes of the API: transactions with compares, resolved when their answer is lost, visible here before they return.
import { FlynnError, isFlynnError } from '../../api/errors.js';
import type { Entry, Op, Store, Txn, TxnResult } from '../../store/index.js';
import type { Clock } from '../../util/clock.js';
import { backoff } from '../../util/retry.js';
import type { Rng } from '../../util/rng.js';
import type { Picture } from './state.js';

/** What a write needs. */
export interface WritePorts {
  store: Pick<Store, 'txn' | 'get' | 'list'>;
  picture: Pick<Picture, 'reached'>;
  clock: Clock;
  rng: Rng;
}

const tries = 5;

/**
 * Carries out a transaction of puts and deletes; true when it was done, false when a compare failed.
 * An ambiguous answer is resolved: the same transaction again finds its own first put in place.
 * Returns after this copy's informers know the result.
 */
export async function commit(ports: WritePorts, txn: Txn): Promise<boolean> {
  const done = await resolved(ports, txn);
  if (done === undefined) return false;
  const written = txn.then.flatMap((op) => (op.op === 'put' || op.op === 'delete' ? [op.key] : []));
  await ports.picture.reached(written, done);
  return true;
}

async function resolved({ store, clock, rng }: WritePorts, txn: Txn): Promise<number | undefined> {
  let lost = false;
  for (let attempt = 1; ; attempt++) {
    try {
      const result = await store.txn(txn);
      if (result.succeeded) return result.revision;
      return lost && (await isDone(store, txn.then)) ? result.revision : undefined;
    } catch (error) {
      if (!isFlynnError(error, 'ambiguous') || attempt >= tries) throw error;
      lost = true;
      await clock.sleep(backoff(attempt, rng, 20, 500));
    }
  }
}

/** True when the first write of the transaction is how it left it. */
async function isDone(store: Pick<Store, 'get'>, ops: readonly Op[]): Promise<boolean> {
  const first = ops.find((op) => op.op === 'put' || op.op === 'delete');
  if (!first || (first.op !== 'put' && first.op !== 'delete')) return false;
  const entry = await store.get(first.key);
  return first.op === 'put' ? entry?.value === first.value : entry === undefined;
}

/**
 * Reads, decides and writes until no compare fails: `attempt` returns undefined when it lost against somebody else.
 * Throws `conflict` after five tries.
 */
export async function contend<T>(
  ports: WritePorts,
  what: string,
  attempt: () => Promise<T | undefined>,
): Promise<T> {
  for (let n = 1; n <= tries; n++) {
    const result = await attempt();
    if (result !== undefined) return result;
    await ports.clock.sleep(backoff(n, ports.rng, 10, 200));
  }
  throw new FlynnError({
    code: 'conflict',
    message: `${what} is being changed by somebody else`,
    hint: 'try again',
  });
}

/** Entries of keys as of now, by the majority, at one revision. */
export async function readNow(
  store: Pick<Store, 'txn'>,
  wanted: readonly string[],
): Promise<Map<string, Entry>> {
  const result = await readTxn(store, { compare: [], then: wanted.map((key) => ({ op: 'get', key })) });
  const found = new Map<string, Entry>();
  for (const answer of result.results) {
    if (answer.op !== 'get') continue;
    for (const entry of answer.entries) found.set(entry.key, entry);
  }
  return found;
}

/** What callers hear while the store cannot be asked. */
export function storeAway(cause: unknown): FlynnError {
  return new FlynnError({
    code: 'no_quorum',
    message: 'the store does not answer: nothing was changed; what runs goes on running',
    hint: 'flynn cluster status',
    cause,
  });
}

/** A transaction that only reads may be repeated at once when its answer was lost. */
async function readTxn(store: Pick<Store, 'txn'>, txn: Txn): Promise<TxnResult> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await store.txn(txn);
    } catch (error) {
      if (!isFlynnError(error, 'ambiguous')) throw error;
      if (attempt >= 2) throw storeAway(error);
    }
  }
}

/** The compare that holds while a key is as it was read; undefined: absent. */
export function unchanged(key: string, entry: Entry | undefined): Txn['compare'][number] {
  return entry
    ? { key, target: 'mod', op: '=', value: entry.modRevision }
    : { key, target: 'create', op: '=', value: 0 };
}

/** The put of a record as JSON. */
export function put(key: string, value: unknown): Op {
  return { op: 'put', key, value: JSON.stringify(value) };
}

// Fencing: a leader's write goes through only while the leader's own election key is the one it won with.
import { FlynnError } from '../api/errors.js';
import type { CallOptions, Compare, Store, Txn, TxnResult } from './port.js';

/** A transaction inside the guards: the inner one has its own answer, so a conflict is not mistaken for fencing. */
export const fenced = (txn: Txn, guards: Compare[]): Txn => ({ compare: guards, then: [{ op: 'txn', txn }] });

/** The inner answer of a fenced transaction, undefined when the guards failed. */
export const unwrapFenced = (outer: TxnResult): TxnResult | undefined => {
  const first = outer.results[0];
  return outer.succeeded && first?.op === 'txn' ? first.result : undefined;
};

/**
 * Carries out a transaction under guards and returns its own answer (`succeeded` false: a conflict).
 * Throws `fenced` when a guard no longer holds: stop acting as leader.
 */
export const fencedTxn = async (
  store: Pick<Store, 'txn'>,
  guards: Compare[],
  txn: Txn,
  opts?: CallOptions,
): Promise<TxnResult> => {
  const inner = unwrapFenced(await store.txn(fenced(txn, guards), opts));
  if (inner) return inner;
  throw new FlynnError({
    code: 'fenced',
    message: `write refused: ${guards.map((g) => g.key).join(', ')} belongs to another leader now`,
    hint: 'flynn appliances',
  });
};

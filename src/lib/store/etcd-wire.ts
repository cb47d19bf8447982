// Between our types and etcd's messages: pure conversion, both ways.
import type {
  ICompare,
  IEvent,
  IKeyValue,
  IMember,
  IRequestOp,
  IResponseOp,
  ITxnRequest,
  ITxnResponse,
} from 'etcd3';
import type { Compare, Entry, Op, OpResult, StoreMember, Txn, TxnResult, WatchEvent } from './port.js';

/** First key after all keys with this prefix, as etcd wants ranges; a zero byte means "to the end". */
export const rangeEnd = (prefix: string): Buffer => {
  const end = Buffer.from(prefix);
  for (let i = end.length - 1; i >= 0; i--) {
    const byte = end[i] as number;
    if (byte < 0xff) {
      end[i] = byte + 1;
      return end.subarray(0, i + 1);
    }
  }
  return Buffer.from([0]);
};

/** The start of a prefix range: etcd refuses an empty key, a zero byte is the first of all. */
export const rangeStart = (prefix: string): Buffer =>
  prefix === '' ? Buffer.from([0]) : Buffer.from(prefix);

/** A 64-bit id from its decimal form on the wire to hexadecimal; empty for none. */
export const idFromWire = (id: string | undefined): string =>
  id === undefined || id === '0' ? '' : BigInt.asUintN(64, BigInt(id)).toString(16);

/** The decimal form of a hexadecimal id. Throws a SyntaxError when it is none. */
export const idToWire = (id: string): string => BigInt(`0x${id}`).toString();

/** An entry out of a key-value of the wire. */
export const toEntry = (kv: IKeyValue): Entry => {
  const lease = idFromWire(kv.lease);
  return {
    key: kv.key.toString(),
    value: kv.value.toString(),
    createRevision: Number(kv.create_revision),
    modRevision: Number(kv.mod_revision),
    version: Number(kv.version),
    ...(lease ? { lease } : {}),
  };
};

/** A watch event out of an event of the wire. */
export const toEvent = (event: IEvent): WatchEvent =>
  String(event.type) === 'Delete'
    ? { type: 'delete', key: event.kv.key.toString(), modRevision: Number(event.kv.mod_revision) }
    : { type: 'put', key: event.kv.key.toString(), entry: toEntry(event.kv) };

const RESULT = { '=': 'Equal', '!=': 'NotEqual', '<': 'Less', '>': 'Greater' } as const;

const compareToWire = (c: Compare): ICompare => {
  const base = { key: Buffer.from(c.key), result: RESULT[c.op] };
  switch (c.target) {
    case 'create':
      return { ...base, target: 'Create', create_revision: c.value };
    case 'mod':
      return { ...base, target: 'Mod', mod_revision: c.value };
    case 'version':
      return { ...base, target: 'Version', version: c.value };
    case 'value':
      return { ...base, target: 'Value', value: Buffer.from(c.value) };
  }
};

const opToWire = (op: Op): IRequestOp => {
  switch (op.op) {
    case 'put':
      return {
        request_put: {
          key: Buffer.from(op.key),
          value: Buffer.from(op.value),
          ...(op.lease ? { lease: idToWire(op.lease) } : {}),
        },
      };
    case 'delete':
      return {
        request_delete_range: op.prefix
          ? { key: rangeStart(op.key), range_end: rangeEnd(op.key) }
          : { key: Buffer.from(op.key) },
      };
    case 'get':
      return {
        request_range: {
          ...(op.prefix
            ? { key: rangeStart(op.key), range_end: rangeEnd(op.key) }
            : { key: Buffer.from(op.key) }),
          ...(op.limit ? { limit: op.limit } : {}),
          ...(op.keysOnly ? { keys_only: true } : {}),
        },
      };
    case 'txn':
      return { request_txn: txnToWire(op.txn) };
  }
};

/** A transaction as etcd wants it. */
export const txnToWire = (txn: Txn): ITxnRequest => ({
  compare: txn.compare.map(compareToWire),
  success: txn.then.map(opToWire),
  failure: (txn.else ?? []).map(opToWire),
});

/** The answer to `txn`; nested answers carry no header of their own, so the revision is handed down. */
export const txnFromWire = (
  txn: Txn,
  response: ITxnResponse,
  revision = Number(response.header.revision),
): TxnResult => {
  const done = response.succeeded ? txn.then : (txn.else ?? []);
  return {
    succeeded: response.succeeded,
    revision,
    results: done.map((op, i) => opFromWire(op, response.responses[i] as Partial<IResponseOp>, revision)),
  };
};

const opFromWire = (op: Op, answer: Partial<IResponseOp>, revision: number): OpResult => {
  switch (op.op) {
    case 'put':
      return { op: 'put' };
    case 'delete':
      return { op: 'delete', deleted: Number(answer.response_delete_range?.deleted ?? 0) };
    case 'get':
      return {
        op: 'get',
        entries: (answer.response_range?.kvs ?? []).map(toEntry),
        more: answer.response_range?.more ?? false,
      };
    case 'txn':
      return { op: 'txn', result: txnFromWire(op.txn, answer.response_txn as ITxnResponse, revision) };
  }
};

/** A member out of a member of the wire. */
export const toMember = (m: IMember): StoreMember => ({
  id: idFromWire(m.ID),
  name: m.name,
  peerUrls: m.peerURLs,
  clientUrls: m.clientURLs,
  learner: m.isLearner,
});

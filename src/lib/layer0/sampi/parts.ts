// Cutting work for many hosts into requests of the size that etcd takes.

/** Operations that etcd takes in a transaction, its children's included: children + the largest child ≤ 128. */
const maxOps = 128;
/** Bytes of keys and values in one request: etcd takes 1.5 MiB on the wire. */
const maxBytes = 900_000;

/** What one host needs of a request. */
export interface Size {
  /** The most operations, or compares, of its child transaction. */
  ops: number;
  bytes: number;
}

/** The items in parts that fit into a request each; the order stays. */
export function inParts<T>(items: readonly T[], sizeOf: (item: T) => Size): T[][] {
  const parts: T[][] = [];
  let largest = 0;
  let total = 0;
  for (const item of items) {
    const { ops, bytes } = sizeOf(item);
    const last = parts.at(-1);
    if (last && last.length + 1 + Math.max(largest, ops) <= maxOps && total + bytes <= maxBytes) {
      last.push(item);
      largest = Math.max(largest, ops);
      total += bytes;
    } else {
      parts.push([item]);
      largest = ops;
      total = bytes;
    }
  }
  return parts;
}

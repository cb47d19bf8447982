// Whether a host is who it claims to be: the verdict on the key it showed, and which key types to ask for. Pure.
import { createHash } from 'node:crypto';
import type { ServerHostKeyAlgorithm } from 'ssh2';
import { entryMatches, type KnownHost } from './known-hosts.js';
import type { HostKey } from './port.js';

/** What is known about a host before it shows its key. */
export interface Trust {
  /** Fingerprints that alone decide; undefined lets `entries` decide. */
  pinned?: readonly string[];
  /** Fingerprints that are good besides, e.g. confirmed a moment ago. */
  accepted: readonly string[];
  entries: readonly KnownHost[];
  /** The name under which known_hosts would have the host. */
  name: string;
}

/** What is to be done about a key. `changed` and `mismatch` stop hard. */
export type Verdict =
  | { kind: 'trusted' }
  | { kind: 'unknown' }
  | { kind: 'mismatch'; expected: string[] }
  | { kind: 'changed'; expected: string[]; origins: string[] }
  | { kind: 'revoked'; origin: string };

/** OpenSSH's fingerprint of a key blob: `SHA256:` and unpadded base64. */
export const fingerprint = (blob: Buffer): string =>
  `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`;

/** A host key from its wire form, whose first field is the type. Throws a RangeError when it is cut short. */
export const hostKeyOf = (blob: Buffer): HostKey => {
  const type = blob.subarray(4, 4 + blob.readUInt32BE(0)).toString('latin1');
  return { type, fingerprint: fingerprint(blob), blob: blob.toString('base64') };
};

const plain = (print: string): string => print.trim().replace(/=+$/, '');

/** Judges the key that a host showed. */
export const judge = (key: HostKey, trust: Trust): Verdict => {
  const about = trust.entries.filter((entry) => entryMatches(entry, trust.name));
  const revoked = about.find((entry) => entry.marker === 'revoked' && entry.blob === key.blob);
  if (revoked) return { kind: 'revoked', origin: revoked.origin };
  if (trust.accepted.map(plain).includes(key.fingerprint)) return { kind: 'trusted' };
  if (trust.pinned) {
    const expected = trust.pinned.map(plain);
    return expected.includes(key.fingerprint) ? { kind: 'trusted' } : { kind: 'mismatch', expected };
  }
  const known = about.filter((entry) => entry.marker === undefined);
  if (known.some((entry) => entry.blob === key.blob)) return { kind: 'trusted' };
  if (known.length === 0) return { kind: 'unknown' };
  // Known by another type only counts as changed: we asked for the known types first, the host no longer has them.
  return {
    kind: 'changed',
    expected: known.map((entry) => `${fingerprint(Buffer.from(entry.blob, 'base64'))} (${entry.type})`),
    origins: known.map((entry) => entry.origin),
  };
};

/** Signature algorithms we accept, best first. SHA-1 RSA and DSA are not among them. */
const ALGORITHMS: readonly ServerHostKeyAlgorithm[] = [
  'ssh-ed25519',
  'ecdsa-sha2-nistp256',
  'ecdsa-sha2-nistp384',
  'ecdsa-sha2-nistp521',
  'rsa-sha2-512',
  'rsa-sha2-256',
];

const typeOf = (algorithm: ServerHostKeyAlgorithm): string =>
  algorithm.startsWith('rsa-sha2-') ? 'ssh-rsa' : algorithm;

/** The key types known for a host. */
export const knownTypes = (trust: Trust): string[] =>
  trust.entries
    .filter((entry) => entry.marker === undefined && entryMatches(entry, trust.name))
    .map((entry) => entry.type);

/** Algorithms to offer: those of `prefer`red key types first, those of `exclude`d types not at all. */
export const hostKeyAlgorithms = (
  prefer: readonly string[],
  exclude: readonly string[] = [],
): ServerHostKeyAlgorithm[] => {
  const allowed = ALGORITHMS.filter((algorithm) => !exclude.includes(typeOf(algorithm)));
  const first = allowed.filter((algorithm) => prefer.includes(typeOf(algorithm)));
  return [...first, ...allowed.filter((algorithm) => !first.includes(algorithm))];
};

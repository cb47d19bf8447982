// Ed25519 keys in OpenSSH's formats: a new private key file, its public line and its fingerprint.
import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto';

/** A key pair as OpenSSH keeps it. */
export interface OpensshKey {
  /** `-----BEGIN OPENSSH PRIVATE KEY-----` …, not encrypted. */
  privateKey: string;
  /** `ssh-ed25519 BASE64 COMMENT`. */
  publicKey: string;
  /** `SHA256:…`, as ssh-keygen prints it. */
  fingerprint: string;
}

const type = 'ssh-ed25519';

function field(value: Buffer | string): Buffer {
  const bytes = Buffer.from(value);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

function word(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** OpenSSH's fingerprint of a public key's wire form. */
export function fingerprintOf(blob: Buffer): string {
  return `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`;
}

/** Makes a new Ed25519 key. */
export function newOpensshKey(comment: string): OpensshKey {
  const pair = generateKeyPairSync('ed25519');
  const secret = pair.privateKey.export({ type: 'pkcs8', format: 'der' }).subarray(-32);
  const open = pair.publicKey.export({ type: 'spki', format: 'der' }).subarray(-32);
  const blob = Buffer.concat([field(type), field(open)]);
  // Format: openssh/PROTOCOL.key. The check number stands twice, so that a wrong passphrase shows.
  const check = randomBytes(4);
  const inner = Buffer.concat([
    check,
    check,
    field(type),
    field(open),
    field(Buffer.concat([secret, open])),
    field(comment),
  ]);
  const padding = Buffer.from(Array.from({ length: (8 - (inner.length % 8)) % 8 }, (_, i) => i + 1));
  const file = Buffer.concat([
    Buffer.from('openssh-key-v1\0'),
    field('none'),
    field('none'),
    field(''),
    word(1),
    field(blob),
    field(Buffer.concat([inner, padding])),
  ]);
  const body = file.toString('base64').replace(/.{1,70}/g, '$&\n');
  return {
    privateKey: `-----BEGIN OPENSSH PRIVATE KEY-----\n${body}-----END OPENSSH PRIVATE KEY-----\n`,
    publicKey: `${type} ${blob.toString('base64')} ${comment}`,
    fingerprint: fingerprintOf(blob),
  };
}

/** A public key read from an OpenSSH public line; undefined when the text is none. */
export function parsePublicKey(
  line: string,
): { type: string; blob: string; comment: string; fingerprint: string } | undefined {
  const [kind, blob, ...comment] = line.trim().split(/\s+/);
  if (!kind || !blob || !/^(ssh-|ecdsa-|sk-)[a-z0-9@.-]+$/.test(kind) || !/^[A-Za-z0-9+/]+=*$/.test(blob)) {
    return undefined;
  }
  const bytes = Buffer.from(blob, 'base64');
  // The wire form begins with the type's own name: a line whose parts do not belong together is refused.
  if (bytes.length < 8 || bytes.subarray(4, 4 + kind.length).toString('latin1') !== kind) return undefined;
  return { type: kind, blob, comment: comment.join(' '), fingerprint: fingerprintOf(bytes) };
}

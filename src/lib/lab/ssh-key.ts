// An ed25519 key pair in OpenSSH's own formats, made without the ssh-keygen program.
import { generateKeyPairSync, randomBytes } from 'node:crypto';

const str = (value: Buffer | string): Buffer => {
  const body = Buffer.from(value);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(body.length);
  return Buffer.concat([length, body]);
};

const TYPE = 'ssh-ed25519';

/**
 * Encodes a pair as OpenSSH does: `privateKey` is the unencrypted `openssh-key-v1` container (PROTOCOL.key in
 * OpenSSH's source), `publicKey` one line for authorized_keys. `seed` and `pub` are the 32 raw bytes of each half.
 */
export const encodeKeyPair = (
  seed: Buffer,
  pub: Buffer,
  comment: string,
  check: Buffer,
): { privateKey: string; publicKey: string } => {
  const blob = Buffer.concat([str(TYPE), str(pub)]);
  const secret = Buffer.concat([
    check,
    check,
    str(TYPE),
    str(pub),
    str(Buffer.concat([seed, pub])),
    str(comment),
  ]);
  // Padded to the cipher's block size, 8 for "none", with 1, 2, 3 …
  const pad = Buffer.from(Array.from({ length: (8 - (secret.length % 8)) % 8 }, (_, i) => i + 1));
  const count = Buffer.from([0, 0, 0, 1]);
  const body = Buffer.concat([
    Buffer.from('openssh-key-v1\0'),
    ...[str('none'), str('none'), str(''), count, str(blob), str(Buffer.concat([secret, pad]))],
  ]);
  const lines = body.toString('base64').match(/.{1,70}/g) ?? [];
  return {
    privateKey: [
      '-----BEGIN OPENSSH PRIVATE KEY-----',
      ...lines,
      '-----END OPENSSH PRIVATE KEY-----',
      '',
    ].join('\n'),
    publicKey: `${TYPE} ${blob.toString('base64')} ${comment}`,
  };
};

/** A fresh ed25519 pair; see `encodeKeyPair` for the formats. */
export const makeKeyPair = (comment: string): { privateKey: string; publicKey: string } => {
  const jwk = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' });
  const raw = (value: string | undefined): Buffer => Buffer.from(value ?? '', 'base64url');
  return encodeKeyPair(raw(jwk.d), raw(jwk.x), comment, randomBytes(4));
};

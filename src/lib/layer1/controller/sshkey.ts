// OpenSSH public key lines: parsed and checked, with the fingerprint that ssh-keygen prints.
import { createHash } from 'node:crypto';
import { FlynnError } from '../../api/errors.js';

/** What a line of a public key file says. */
export interface PublicKey {
  type: string;
  /** Base64. */
  blob: string;
  comment: string;
  /** `SHA256:…`, base64 without padding. */
  fingerprint: string;
}

/** Kinds of key that the gateway can check. */
const types = [
  'ssh-ed25519',
  'ssh-rsa',
  'ecdsa-sha2-nistp256',
  'ecdsa-sha2-nistp384',
  'ecdsa-sha2-nistp521',
  'sk-ssh-ed25519@openssh.com',
  'sk-ecdsa-sha2-nistp256@openssh.com',
];

/** Parses one line. Throws `invalid` with what is wrong: a private key, another format, a damaged blob. */
export function parsePublicKey(text: string): PublicKey {
  const lines = text.split('\n').map((line) => line.trim());
  const line = lines.find((candidate) => candidate !== '' && !candidate.startsWith('#')) ?? '';
  if (text.includes('PRIVATE KEY')) {
    throw invalid('that is a private key: it must not leave its owner', 'give the file that ends in .pub');
  }
  const words = line.split(/\s+/);
  // Options may stand before the type in an authorized_keys file; they mean nothing here.
  const at = words.findIndex((word) => types.includes(word));
  const type = words[at];
  const blob = words[at + 1];
  if (at < 0 || type === undefined || blob === undefined) {
    throw invalid(
      'that is not a line of an OpenSSH public key file',
      'ssh-keygen -t ed25519   (makes a key)',
    );
  }
  const bytes = Buffer.from(blob, 'base64');
  if (bytes.toString('base64').replace(/=+$/, '') !== blob.replace(/=+$/, '') || !isWhole(bytes, type)) {
    throw invalid(
      'the public key is damaged: its parts do not fit together',
      'copy the whole line of the .pub file',
    );
  }
  return {
    type,
    blob: bytes.toString('base64'),
    comment: words.slice(at + 2).join(' '),
    fingerprint: `SHA256:${createHash('sha256').update(bytes).digest('base64').replace(/=+$/, '')}`,
  };
}

/** True when the blob is made of whole fields (four bytes of length, then so many bytes), the first being its type. */
function isWhole(bytes: Buffer, type: string): boolean {
  const fields: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    if (at + 4 > bytes.length) return false;
    const end = at + 4 + bytes.readUInt32BE(at);
    if (end > bytes.length) return false;
    fields.push(bytes.subarray(at + 4, end));
    at = end;
  }
  const [name, first] = fields;
  if (name?.toString('latin1') !== type || first === undefined || first.length === 0) return false;
  return type !== 'ssh-ed25519' || (fields.length === 2 && first.length === 32);
}

function invalid(message: string, hint: string): FlynnError {
  return new FlynnError({ code: 'invalid', message, hint });
}

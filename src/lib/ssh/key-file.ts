// Private keys as text: whether a passphrase is needed, and the public half where it stands in the clear. Pure.
import ssh2, { type ParsedKey } from 'ssh2';
import { FlynnError } from '../api/errors.js';

const MAGIC = 'openssh-key-v1\0';

/** What a private key's text says without its passphrase. */
export interface KeyOutline {
  encrypted: boolean;
  /** The public key's wire blob in base64, where the format shows it. */
  publicBlob?: string;
}

const openssh = (text: string): KeyOutline | undefined => {
  const body = /-----BEGIN OPENSSH PRIVATE KEY-----([\s\S]+?)-----END OPENSSH PRIVATE KEY-----/.exec(
    text,
  )?.[1];
  if (body === undefined) return undefined;
  const data = Buffer.from(body.replaceAll(/\s/g, ''), 'base64');
  if (data.toString('latin1', 0, MAGIC.length) !== MAGIC) return undefined;
  let at = MAGIC.length;
  const field = (): Buffer => {
    const length = data.readUInt32BE(at);
    at += 4 + length;
    return data.subarray(at - length, at);
  };
  const cipher = field().toString('latin1');
  field(); // name of the key derivation
  field(); // its options
  at += 4; // number of keys: always one
  return { encrypted: cipher !== 'none', publicBlob: field().toString('base64') };
};

/** What the text of a private key says about itself. Formats nobody knows come out as not encrypted. */
export const outlineKey = (text: string): KeyOutline => {
  try {
    const found = openssh(text);
    if (found) return found;
  } catch (error) {
    // A cut file: reading it in full will say so. Anything else is our bug.
    if (!(error instanceof RangeError)) throw error;
  }
  const encrypted =
    text.includes('-----BEGIN ENCRYPTED PRIVATE KEY-----') ||
    /^Proc-Type: 4,ENCRYPTED/m.test(text) ||
    /^Encryption: (?!none)/m.test(text);
  return { encrypted };
};

/** A private key ready to sign. Throws `usage` naming `label` when the text is no private key ssh2 can read, or the passphrase is wrong. */
export const readKey = (text: string, label: string, passphrase?: string): ParsedKey => {
  const parsed: ParsedKey | Error | ParsedKey[] = ssh2.utils.parseKey(text.trim(), passphrase);
  const key = Array.isArray(parsed) ? (parsed[0] as ParsedKey | undefined) : parsed;
  if (key instanceof Error || key === undefined) {
    const why =
      passphrase === undefined
        ? 'is not a private key that can be read'
        : 'does not open with that passphrase';
    throw new FlynnError({
      code: 'usage',
      message: `${label} ${why}`,
      hint: 'OpenSSH and PEM keys can be read; convert others with ssh-keygen -p -f FILE',
      cause: key,
    });
  }
  if (!key.isPrivateKey()) {
    throw new FlynnError({
      code: 'usage',
      message: `${label} holds a public key`,
      hint: 'name the private key: the file without .pub',
    });
  }
  return key;
};

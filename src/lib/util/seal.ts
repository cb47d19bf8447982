// Encryption of environments and keys: AES-256-GCM under a key, and keys wrapped to a host's X25519 key.
import {
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  randomBytes,
} from 'node:crypto';

const nonceBytes = 12;
const tagBytes = 16;
const wrapInfo = 'flynn release key';
// DER prefixes of raw X25519 keys (RFC 8410): node's crypto reads only whole SPKI and PKCS#8 structures.
const spkiPrefix = Buffer.from('302a300506032b656e032100', 'hex');
const pkcs8Prefix = Buffer.from('302e020100300506032b656e04220420', 'hex');

/** A new random 256-bit key. */
export function newKey(): Buffer {
  return randomBytes(32);
}

/** Encrypts `plain` under a 32-byte key with `context` as associated data; base64 of nonce, ciphertext and tag. */
export function seal(key: Buffer, plain: Buffer | string, context: string): string {
  const nonce = randomBytes(nonceBytes);
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  cipher.setAAD(Buffer.from(context));
  const body = Buffer.concat([cipher.update(plain), cipher.final()]);
  return Buffer.concat([nonce, body, cipher.getAuthTag()]).toString('base64');
}

/** The inverse of `seal`; throws when key, context or data are not the ones it was sealed with. */
export function unseal(key: Buffer, sealed: string, context: string): Buffer {
  const data = Buffer.from(sealed, 'base64');
  if (data.length < nonceBytes + tagBytes) throw new Error('sealed data is too short');
  const decipher = createDecipheriv('aes-256-gcm', key, data.subarray(0, nonceBytes));
  decipher.setAAD(Buffer.from(context));
  decipher.setAuthTag(data.subarray(data.length - tagBytes));
  return Buffer.concat([
    decipher.update(data.subarray(nonceBytes, data.length - tagBytes)),
    decipher.final(),
  ]);
}

/** A host's wrap key pair: raw 32-byte X25519 keys, base64. */
export function newWrapKeys(): { publicKey: string; privateKey: string } {
  const pair = generateKeyPairSync('x25519');
  return {
    publicKey: pair.publicKey.export({ type: 'spki', format: 'der' }).subarray(-32).toString('base64'),
    privateKey: pair.privateKey.export({ type: 'pkcs8', format: 'der' }).subarray(-32).toString('base64'),
  };
}

function publicFromRaw(raw: Buffer) {
  return createPublicKey({ key: Buffer.concat([spkiPrefix, raw]), format: 'der', type: 'spki' });
}

function privateFromRaw(raw: Buffer) {
  return createPrivateKey({ key: Buffer.concat([pkcs8Prefix, raw]), format: 'der', type: 'pkcs8' });
}

/** Wraps a 32-byte key to a host's public wrap key: base64 of ephemeral public key, nonce-free ciphertext and tag. */
export function wrapKey(hostPublicKey: string, key: Buffer): string {
  const ephemeral = generateKeyPairSync('x25519');
  const ephemeralRaw = ephemeral.publicKey.export({ type: 'spki', format: 'der' }).subarray(-32);
  const hostRaw = Buffer.from(hostPublicKey, 'base64');
  const shared = diffieHellman({ privateKey: ephemeral.privateKey, publicKey: publicFromRaw(hostRaw) });
  const { key: wrapping, nonce } = derive(shared, ephemeralRaw, hostRaw);
  const cipher = createCipheriv('aes-256-gcm', wrapping, nonce);
  return Buffer.concat([ephemeralRaw, cipher.update(key), cipher.final(), cipher.getAuthTag()]).toString(
    'base64',
  );
}

/** The inverse of `wrapKey` with the host's private key; throws when it was wrapped to another host. */
export function unwrapKey(hostPrivateKey: string, wrapped: string): Buffer {
  const data = Buffer.from(wrapped, 'base64');
  if (data.length < 32 + tagBytes) throw new Error('wrapped key is too short');
  const privateKey = privateFromRaw(Buffer.from(hostPrivateKey, 'base64'));
  const hostRaw = createPublicKey(privateKey).export({ type: 'spki', format: 'der' }).subarray(-32);
  const ephemeralRaw = data.subarray(0, 32);
  const shared = diffieHellman({ privateKey, publicKey: publicFromRaw(ephemeralRaw) });
  const { key, nonce } = derive(shared, ephemeralRaw, hostRaw);
  const decipher = createDecipheriv('aes-256-gcm', key, nonce);
  decipher.setAuthTag(data.subarray(data.length - tagBytes));
  return Buffer.concat([decipher.update(data.subarray(32, data.length - tagBytes)), decipher.final()]);
}

// The wrapping key is used once (a fresh ephemeral key each time), so a derived nonce is safe.
function derive(shared: Buffer, ephemeral: Buffer, host: Buffer): { key: Buffer; nonce: Buffer } {
  const salt = Buffer.concat([ephemeral, host]);
  const bytes = Buffer.from(hkdfSync('sha256', shared, salt, wrapInfo, 32 + nonceBytes));
  return { key: bytes.subarray(0, 32), nonce: bytes.subarray(32) };
}

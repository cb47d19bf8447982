// The cluster's own certificate authority and the certificates of hosts and appliances. ECDSA P-256, one year.
import { isIP } from 'node:net';
import { webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const day = 24 * 3600 * 1000;
/** Certificates live this long, ms. The authority lives ten times as long: replacing it touches every host. */
export const lifetimes = { certificate: 365 * day, authority: 3650 * day } as const;
/** Clocks of hosts may be this far behind ours. */
const backdate = 3600 * 1000;

/** A certificate and its private key (PKCS #8), both PEM. */
export interface CertificatePair {
  cert: string;
  key: string;
}

const crypto = webcrypto;
type CryptoKey = webcrypto.CryptoKey;
x509.cryptoProvider.set(crypto);

async function pem(key: CryptoKey): Promise<string> {
  const body = Buffer.from(await crypto.subtle.exportKey('pkcs8', key)).toString('base64');
  return `-----BEGIN PRIVATE KEY-----\n${body.replace(/.{1,64}/g, '$&\n')}-----END PRIVATE KEY-----\n`;
}

function importKey(text: string): Promise<CryptoKey> {
  const body = Buffer.from(text.replace(/-----[^-]+-----/g, ''), 'base64');
  return crypto.subtle.importKey('pkcs8', body, algorithm, false, ['sign']);
}

function serial(): string {
  // A leading zero bit keeps the number positive; a zero byte in front would be dropped by some readers.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return Buffer.from(bytes).toString('hex');
}

/** A new authority for the cluster of that name. `now` in ms. */
export async function newAuthority(cluster: string, now: number): Promise<CertificatePair> {
  const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const cert = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(),
    name: [{ CN: [`flynn ${cluster}`] }],
    notBefore: new Date(now - backdate),
    notAfter: new Date(now + lifetimes.authority),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { cert: `${cert.toString('pem')}\n`, key: await pem(keys.privateKey) };
}

/** What a certificate is for. */
export interface CertificateRequest {
  /** Common name: who it is to etcd and to appliances. */
  name: string;
  /** Host names and IP addresses it serves under; none for a pure client. */
  addresses?: readonly string[];
}

/** A certificate signed by the authority, good as server and as client. `now` in ms. */
export async function issue(
  authority: CertificatePair,
  request: CertificateRequest,
  now: number,
): Promise<CertificatePair> {
  const issuer = new x509.X509Certificate(authority.cert);
  const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const names = [...new Set(request.addresses ?? [])].map(
    (value) => ({ type: isIP(value) ? 'ip' : 'dns', value }) as const,
  );
  const cert = await x509.X509CertificateGenerator.create({
    serialNumber: serial(),
    subject: [{ CN: [request.name] }],
    issuer: issuer.subject,
    notBefore: new Date(now - backdate),
    notAfter: new Date(now + lifetimes.certificate),
    signingAlgorithm: algorithm,
    publicKey: keys.publicKey,
    signingKey: await importKey(authority.key),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([
        x509.ExtendedKeyUsage.serverAuth,
        x509.ExtendedKeyUsage.clientAuth,
      ]),
      ...(names.length > 0 ? [new x509.SubjectAlternativeNameExtension(names)] : []),
      await x509.AuthorityKeyIdentifierExtension.create(issuer),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { cert: `${cert.toString('pem')}\n`, key: await pem(keys.privateKey) };
}

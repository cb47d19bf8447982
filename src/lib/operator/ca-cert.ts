// --ca-cert: the authorities of an operator whose proxy reads TLS, checked before any host is touched.
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { FlynnError } from '../api/errors.js';
import { splitBundle } from '../util/pem.js';

/** Bytes that a file of certificates may have: a whole system's bundle has about 220 KiB. */
const maxBytes = 1024 * 1024;

/**
 * The certificates of a PEM file as text, each once. Throws `not_found` for no file, `invalid` for one that cannot be
 * read, holds no certificate, one that is damaged, or a private key: what is in it goes to every host.
 */
export async function readCaCert(file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    const absent = cause.code === 'ENOENT' || cause.code === 'ENOTDIR';
    throw new FlynnError({
      code: absent ? 'not_found' : 'invalid',
      message: absent ? `--ca-cert ${file}: there is no such file` : `--ca-cert ${file} cannot be read`,
      hint: "give the PEM file of your proxy's authority, such as /usr/local/share/ca-certificates/proxy.crt",
      cause,
    });
  });
  const bad = (why: string, hint: string, cause?: unknown): FlynnError =>
    new FlynnError({ code: 'invalid', message: `--ca-cert ${file} ${why}`, hint, cause });
  if (text.length > maxBytes)
    throw bad('is larger than 1 MiB', 'give the certificates of the authority only');
  if (/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text)) {
    throw bad(
      'holds a private key, which must stay where it is',
      `openssl x509 -in ${file} -out ca.crt   (writes the certificate alone)`,
    );
  }
  const certificates = splitBundle(text);
  if (certificates.length === 0) {
    throw bad(
      'holds no PEM certificate',
      `openssl x509 -inform der -in ${file} -out ca.crt   (if it is one in DER)`,
    );
  }
  for (const [index, pem] of certificates.entries()) {
    try {
      new X509Certificate(pem);
    } catch (cause) {
      throw bad(
        `holds a damaged certificate (number ${index + 1})`,
        `openssl x509 -in ${file} -noout -text`,
        cause,
      );
    }
  }
  return `${certificates.join('\n')}\n`;
}

// Certificates that this machine trusts beyond Debian's own: containers behind the same proxy need them too.
import { createHash, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { splitBundle } from '../util/pem.js';

/** The machine's bundle on Debian and its kin. */
const MACHINE_BUNDLE = '/etc/ssl/certs/ca-certificates.crt';

const fingerprint = (pem: string): string => {
  try {
    return new X509Certificate(pem).fingerprint256;
  } catch {
    // One that Node cannot parse is compared by its text.
    return createHash('sha256').update(pem).digest('hex');
  }
};

/** The certificates of `machine` that `base` does not hold. */
export const extraCertificates = (machine: string, base: string): string[] => {
  const known = new Set(splitBundle(base).map(fingerprint));
  return splitBundle(machine).filter((pem) => !known.has(fingerprint(pem)));
};

/** The machine's bundle, or an empty text where there is none at the usual place. */
export const machineBundle = async (): Promise<string> => {
  const own = process.env['NODE_EXTRA_CA_CERTS'];
  const texts = await Promise.all(
    [MACHINE_BUNDLE, ...(own && own !== MACHINE_BUNDLE ? [own] : [])].map((file) =>
      readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return '';
        throw error;
      }),
    ),
  );
  return texts.join('\n');
};

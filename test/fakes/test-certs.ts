// Throw-away certificate authorities for contract tests, made with the machine's openssl.
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { EtcdServerTls } from './etcd-server.js';

const run = promisify(execFile);
const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

/** An authority, in a directory of its own until it is removed. */
export interface TestAuthority {
  /** Where `NAME.pem` and `NAME.key` of each certificate lie, and `ca.pem`. */
  readonly dir: string;
  /** A certificate with that CN for 127.0.0.1 and the name etcd.test; of negative days it is expired. */
  issue(name: string, days?: number): Promise<EtcdServerTls>;
  remove(): Promise<void>;
}

/** Makes an authority. */
export const makeAuthority = async (): Promise<TestAuthority> => {
  const dir = await mkdtemp(join(tmpdir(), 'flynn-certs-'));
  const at = (name: string): string => join(dir, name);
  const read = (file: string): Promise<string> => readFile(at(file), 'utf8');
  await run('openssl', [
    ...['req', '-x509', ...curve, '-days', '2', '-subj', '/CN=test-ca'],
    ...['-keyout', at('ca.key'), '-out', at('ca.pem')],
  ]);
  await writeFile(
    at('ext'),
    'subjectAltName=IP:127.0.0.1,DNS:etcd.test\nextendedKeyUsage=serverAuth,clientAuth\n',
  );
  return {
    dir,
    issue: async (name, days = 2) => {
      const csr = ['-keyout', at(`${name}.key`), '-out', at(`${name}.csr`)];
      await run('openssl', ['req', ...curve, '-subj', `/CN=${name}`, ...csr]);
      const signing = [
        '-CA',
        at('ca.pem'),
        '-CAkey',
        at('ca.key'),
        '-set_serial',
        `0x${randomBytes(8).toString('hex')}`,
      ];
      const files = ['-in', at(`${name}.csr`), '-out', at(`${name}.pem`), '-extfile', at('ext')];
      await run('openssl', ['x509', '-req', ...files, ...signing, '-days', String(days)]);
      return { ca: await read('ca.pem'), cert: await read(`${name}.pem`), key: await read(`${name}.key`) };
    },
    remove: () => rm(dir, { recursive: true, force: true }),
  };
};

/** A server's and a client's certificate of one new authority. */
export const makeCerts = async (): Promise<{ server: EtcdServerTls; client: EtcdServerTls }> => {
  const authority = await makeAuthority();
  try {
    return { server: await authority.issue('server'), client: await authority.issue('client') };
  } finally {
    await authority.remove();
  }
};

// A throw-away certificate authority for contract tests, made with the machine's openssl.
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { EtcdServerTls } from './etcd-server.js';

const run = promisify(execFile);

/** A server's and a client's certificate for 127.0.0.1 and the name etcd.test, of one new authority. */
export const makeCerts = async (): Promise<{ server: EtcdServerTls; client: EtcdServerTls }> => {
  const dir = await mkdtemp(join(tmpdir(), 'flynn-certs-'));
  const at = (name: string): string => join(dir, name);
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  try {
    await run('openssl', [
      ...['req', '-x509', ...curve, '-days', '2', '-subj', '/CN=test-ca'],
      ...['-keyout', at('ca.key'), '-out', at('ca.pem')],
    ]);
    await writeFile(
      at('ext'),
      'subjectAltName=IP:127.0.0.1,DNS:etcd.test\nextendedKeyUsage=serverAuth,clientAuth\n',
    );
    const issue = async (name: string): Promise<EtcdServerTls> => {
      const csr = ['-keyout', at(`${name}.key`), '-out', at(`${name}.csr`)];
      await run('openssl', ['req', ...curve, '-subj', `/CN=${name}`, ...csr]);
      await run('openssl', [
        ...[
          'x509',
          '-req',
          '-in',
          at(`${name}.csr`),
          '-CA',
          at('ca.pem'),
          '-CAkey',
          at('ca.key'),
          '-CAcreateserial',
        ],
        ...['-days', '2', '-extfile', at('ext'), '-out', at(`${name}.pem`)],
      ]);
      const read = (file: string): Promise<string> => readFile(at(file), 'utf8');
      return { ca: await read('ca.pem'), cert: await read(`${name}.pem`), key: await read(`${name}.key`) };
    };
    return { server: await issue('server'), client: await issue('client') };
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
};

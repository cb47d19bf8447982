// Certificates and keys, checked by somebody else's reader: node's own, TLS, and ssh-keygen's format by hand.
import { X509Certificate } from 'node:crypto';
import { connect, createServer, type TLSSocket } from 'node:tls';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { beforeAll, describe, expect, it } from 'vitest';
import { hostSecrets, newSecrets } from '../../../src/lib/operator/journal.js';
import { issue, lifetimes, newAuthority, type CertificatePair } from '../../../src/lib/operator/pki.js';
import { newOpensshKey, parsePublicKey } from '../../../src/lib/util/openssh-key.js';
import { fingerprint } from '../../../src/lib/ssh/host-keys.js';
import { readKey } from '../../../src/lib/ssh/key-file.js';
import { journalOf } from './sample.js';

const now = Date.now();
let authority: CertificatePair;
beforeAll(async () => {
  authority = await newAuthority('test', now);
});

describe('certificates', () => {
  it('carry the name, the addresses and a year, and are signed by the authority', async () => {
    const pair = await issue(
      authority,
      { name: 'host-a', addresses: ['a', '10.0.0.1', '127.0.0.1', 'localhost', 'fd00::1'] },
      now,
    );
    const cert = new X509Certificate(pair.cert);
    expect(cert.subject).toBe('CN=host-a');
    expect(cert.verify(new X509Certificate(authority.cert).publicKey)).toBe(true);
    expect(cert.ca).toBe(false);
    for (const name of ['a', 'localhost']) expect(cert.checkHost(name)).toBe(name);
    for (const ip of ['10.0.0.1', '127.0.0.1', 'fd00::1']) expect(cert.checkIP(ip)).toBe(ip);
    expect(cert.checkHost('b')).toBeUndefined();
    const lived = Date.parse(cert.validTo) - now;
    expect(Math.abs(lived - lifetimes.certificate)).toBeLessThan(5_000);
    expect(cert.serialNumber).toMatch(/^[4-7][0-9A-F]{31}$/);
  });

  it('let two sides of TLS 1.3 know each other, and refuse a stranger', async () => {
    const server = await issue(authority, { name: 'control', addresses: ['127.0.0.1', 'localhost'] }, now);
    const client = await issue(authority, { name: 'router' }, now);
    const other = await newAuthority('other', now);
    const stranger = await issue(other, { name: 'router' }, now);
    const listener = createServer({
      ca: authority.cert,
      cert: server.cert,
      key: server.key,
      requestCert: true,
      rejectUnauthorized: true,
      minVersion: 'TLSv1.3',
    });
    listener.on('tlsClientError', () => undefined);
    listener.listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const port = (listener.address() as AddressInfo).port;
    const names: string[] = [];
    listener.on('secureConnection', (socket: TLSSocket) => {
      names.push(String(socket.getPeerCertificate().subject.CN));
      socket.end('hello');
    });
    const talk = async (pair: CertificatePair): Promise<string> => {
      const socket = connect({ host: '127.0.0.1', port, ca: authority.cert, cert: pair.cert, key: pair.key });
      let text = '';
      for await (const chunk of socket) text += String(chunk);
      return text;
    };
    expect(await talk(client)).toBe('hello');
    // Whether the refusal arrives as an alert or as a reset is a matter of timing.
    expect(await talk(stranger).catch(() => 'refused')).not.toBe('hello');
    listener.close();
    expect(names).toEqual(['router']);
  });
});

describe('secrets of a cluster', () => {
  it('give each host what its roles need, under the names that etcd knows', async () => {
    const { hosts } = journalOf('a', 'b', 'c', 'd');
    const { secrets, gatewayFingerprint } = await newSecrets('test', hosts, now);
    const names = (name: string): string[] =>
      Object.values(secrets.hosts[name] ?? {}).flatMap((pair) =>
        'cert' in pair ? [new X509Certificate(pair.cert).subject] : [],
      );
    expect(names('a')).toEqual(['CN=host-a', 'CN=router', 'CN=control', 'CN=etcd-a']);
    expect(names('d')).toEqual(['CN=host-d', 'CN=router']);
    expect(new X509Certificate(secrets.root.cert).subject).toBe('CN=root');
    expect(Buffer.from(secrets.clusterKey, 'base64')).toHaveLength(32);
    expect(gatewayFingerprint).toMatch(/^SHA256:/);
    const again = await hostSecrets(secrets.authority, hosts[0]!, now);
    expect(again.host.key).not.toBe(secrets.hosts.a?.host.key);
  });
});

describe('OpenSSH keys', () => {
  it('are read by an SSH implementation as the key whose fingerprint was told', () => {
    for (let i = 0; i < 20; i++) {
      // Lengths of the comment go through all paddings.
      const key = newOpensshKey('x'.repeat(i));
      const parsed = readKey(key.privateKey, 'the key');
      expect(fingerprint(parsed.getPublicSSH())).toBe(key.fingerprint);
      expect(parsed.verify('text', parsed.sign('text'))).toBe(true);
      expect(parsePublicKey(key.publicKey)).toMatchObject({
        type: 'ssh-ed25519',
        fingerprint: key.fingerprint,
      });
    }
  });

  it.each([['no key'], ['ssh-ed25519'], ['ssh-ed25519 !!!'], ['ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIBbJ'], ['']])(
    'a line that is no key is refused: %s',
    (line) => expect(parsePublicKey(line)).toBeUndefined(),
  );
});

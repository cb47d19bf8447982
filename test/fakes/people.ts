// People with keys, for the gateway's tests. The keys are made by our own writer: ssh2's makes one in some hundreds unreadable.
import type { SshKey } from '../../src/lib/api/app.js';
import { newOpensshKey } from '../../src/lib/util/openssh-key.js';

/** Somebody with a key. */
export interface Person {
  privateKey: string;
  record: SshKey;
}

/** A new person, and the record that lets them in. */
export function person(name: string, role: SshKey['role'] = 'admin', apps: string[] = []): Person {
  const { privateKey, publicKey, fingerprint } = newOpensshKey(name);
  const [type = '', blob = ''] = publicKey.split(' ');
  return { privateKey, record: { fingerprint, type, blob, name, role, apps, createdAt: 1 } };
}

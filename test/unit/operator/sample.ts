// Facts and journals for the operator's tests: an ordinary host, and changes to it.
import { parseFacts, type HostFacts } from '../../../src/lib/operator/facts.js';
import { rolesAt } from '../../../src/lib/operator/roles.js';
import type { ClusterJournal, JournalHost } from '../../../src/lib/operator/journal.js';

const b64 = (text: string): string => Buffer.from(text).toString('base64');

/** The script's answer on an ordinary Debian host. */
export const answer = (extra: readonly string[] = [], drop: readonly string[] = []): string =>
  [
    'clock=1700000000000',
    'elevation=root',
    'hostname=web-1.example.net',
    'arch=x86_64',
    'cpus=4',
    'memory=4194304',
    'os_id=debian',
    'os_like=',
    'os_name=Debian GNU/Linux 12 (bookworm)',
    'ssh=198.51.100.9 40000 10.0.0.1 22',
    'address=lo 127.0.0.1/8',
    'address=eth0 10.0.0.1/24',
    'address=docker0 172.17.0.1/16',
    'apt=yes',
    'systemd=yes',
    'docker_installed=yes',
    'docker_version=20.10.24+dfsg1',
    'live_restore=false',
    'swarm=inactive',
    'disk=20000000 /var/lib/docker',
    'listen=0.0.0.0:22 700  sshd',
    'end=yes',
  ]
    .filter((line) => !drop.some((prefix) => line.startsWith(prefix)))
    .concat(extra)
    .join('\n');

/** Facts of an ordinary host with lines added (`key=value`) and keys dropped. */
export const facts = (extra: readonly string[] = [], drop: readonly string[] = []): HostFacts =>
  parseFacts(answer(extra, drop));

/** Encodes a value as the script does. */
export const encoded = b64;

/** A journal of hosts a, b, c … at 10.0.0.1, .2, .3 …. */
export const journalOf = (...names: string[]): ClusterJournal => ({
  id: '01j00000000000000000000000',
  name: 'test',
  domain: 'apps.example.com',
  createdAt: 1,
  state: 'begun',
  httpPort: 80,
  httpsPort: 443,
  gatewayPort: 2222,
  gatewayFingerprint: `SHA256:${'A'.repeat(43)}`,
  hosts: names.map((name, index): JournalHost => ({
    name,
    target: { host: name, port: 22, user: 'root' },
    hostKey: `SHA256:${name.repeat(43).slice(0, 43)}`,
    address: `10.0.0.${index + 1}`,
    publicAddress: `203.0.113.${index + 1}`,
    roles: rolesAt(index, names.length),
    arch: 'amd64',
    cpuMillis: 4000,
    memoryBytes: 4 * 1024 ** 3,
  })),
});

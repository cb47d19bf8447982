// etcd on a host: its container, and the script that gives every certificate its rights. Pure.
import { ports } from '../api/grid.js';
import { keys } from '../api/keys.js';
import { hostPaths } from '../appliance/config.js';
import type { ContainerSpec } from '../docker/port.js';
import { bracketHost } from '../util/address.js';
import { quoteArgv } from '../util/quote.js';
import { logging } from './containers.js';
import type { ClusterJournal, JournalHost } from './journal.js';

/** Name of the container on every host that has a member. */
export const etcdContainer = 'flynn-etcd';

const files = {
  ca: `${hostPaths.config}/common/ca.crt`,
  cert: `${hostPaths.config}/etcd/server.crt`,
  key: `${hostPaths.config}/etcd/server.key`,
} as const;

const peerUrl = (host: JournalHost): string => `https://${bracketHost(host.address)}:${ports.etcdPeer}`;
const clientUrl = (host: JournalHost): string => `https://${bracketHost(host.address)}:${ports.etcdClient}`;

/**
 * Half of the cores, one at least: Go's scheduler keeps as many threads looking for work as it may, and on a host of
 * two cores with three members that was a third of what an idle etcd takes (0.72 to 0.48 % of a core, no clients).
 */
const startEtcd = 'GOMAXPROCS=$((($(nproc) + 1) / 2)) exec /usr/bin/etcd "$@"';

/** The container of a host's member. The members of the first start are fixed; later ones join by the member list. */
export function etcdSpec(journal: ClusterJournal, host: JournalHost, image: string): ContainerSpec {
  const members = journal.hosts.filter((other) => other.roles.includes('etcd'));
  const flags: Record<string, string> = {
    name: host.name,
    'data-dir': `${hostPaths.data}/etcd`,
    'listen-client-urls': `${clientUrl(host)},https://127.0.0.1:${ports.etcdClient}`,
    'advertise-client-urls': clientUrl(host),
    'listen-peer-urls': peerUrl(host),
    'initial-advertise-peer-urls': peerUrl(host),
    'initial-cluster': members.map((member) => `${member.name}=${peerUrl(member)}`).join(','),
    'initial-cluster-token': journal.id,
    'initial-cluster-state': 'new',
    'client-cert-auth': 'true',
    'trusted-ca-file': files.ca,
    'cert-file': files.cert,
    'key-file': files.key,
    'peer-client-cert-auth': 'true',
    'peer-trusted-ca-file': files.ca,
    'peer-cert-file': files.cert,
    'peer-key-file': files.key,
    'auto-compaction-mode': 'periodic',
    'auto-compaction-retention': '10m',
    'quota-backend-bytes': '8589934592',
    'pre-vote': 'true',
    'grpc-keepalive-min-time': '1s',
    logger: 'zap',
    'log-outputs': 'stderr',
  };
  return {
    name: etcdContainer,
    image,
    entrypoint: ['/bin/sh', '-c', startEtcd, 'etcd'],
    cmd: Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`),
    // Variables of the image would be read as flags.
    env: { ETCDCTL_API: '3' },
    labels: { 'flynn.system': 'etcd', 'flynn.cluster': journal.id },
    network: 'host',
    restart: 'always',
    cpuShares: 8192,
    mounts: [
      {
        type: 'bind',
        source: `${hostPaths.config}/common`,
        target: `${hostPaths.config}/common`,
        readOnly: true,
      },
      {
        type: 'bind',
        source: `${hostPaths.config}/etcd`,
        target: `${hostPaths.config}/etcd`,
        readOnly: true,
      },
      { type: 'bind', source: `${hostPaths.data}/etcd`, target: `${hostPaths.data}/etcd` },
    ],
    ...logging,
  };
}

/** Asks the host's own member whether the cluster answers; to be run in its container. */
export function healthArgv(host: JournalHost): string[] {
  return [
    '/usr/bin/etcdctl',
    `--endpoints=${clientUrl(host)}`,
    `--cacert=${files.ca}`,
    `--cert=${files.cert}`,
    `--key=${files.key}`,
    '--dial-timeout=2s',
    '--command-timeout=3s',
    'endpoint',
    'health',
  ];
}

/** A range of keys that a role may use. `to` absent: the prefix; both ends as etcd takes them. */
interface Grant {
  kind: 'read' | 'readwrite';
  key: string;
  to?: string;
}

/** The roles of the grid: who may do what below which prefix. All keys begin with a lower-case letter. */
export function rolesOf(hosts: readonly { name: string }[], layer0 = false): Map<string, Grant[]> {
  const all = { from: 'a', to: '{' };
  // People's public keys are Layer 1's business: `keys/` to `keys0` is left out.
  const reader: Grant[] = [
    { kind: 'read', key: all.from, to: keys.sshKeys },
    { kind: 'read', key: keys.sshKeys.replace('/', '0'), to: all.to },
  ];
  const read = (prefix: string): Grant => ({ kind: 'read', key: prefix });
  const write = (prefix: string): Grant => ({ kind: 'readwrite', key: prefix });
  const roles = new Map<string, Grant[]>([
    ['control', [{ kind: 'readwrite', key: all.from, to: all.to }]],
    [
      'router',
      [read(keys.routes), read(keys.instances), read(keys.hosts), read('cluster/'), write(keys.consumers)],
    ],
    ['grid-reader', reader],
  ]);
  if (layer0) roles.delete('router');
  for (const { name } of hosts) {
    const own = [
      `${keys.hosts}${name}/`,
      keys.claimsAt(name),
      keys.statusAt(name),
      keys.instancesAt(name),
      keys.volumesAt(name),
      keys.singletonsAt(name),
      // Programs of every host stand there, by way of their agent; the appliances' own elections lie beside it.
      keys.serviceElections,
    ];
    roles.set(`host-${name}`, own.map(write));
  }
  return roles;
}

/** Which roles a user (a certificate's name) has. */
export function usersOf(hosts: readonly { name: string }[], layer0 = false): Map<string, string[]> {
  return new Map([
    ['root', ['root']],
    ['control', ['control']],
    ...(layer0 ? [] : [['router', ['router']] as [string, string[]]]),
    ...hosts.map(({ name }): [string, string[]] => [`host-${name}`, [`host-${name}`, 'grid-reader']]),
  ]);
}

/**
 * The shell script that sets up users and roles and switches authentication on; to be run in a member's container
 * with the root certificate and key on standard input, which it keeps in memory only as long as it runs. It prints
 * `added` for every user and role that was not there; repeating it changes nothing.
 */
export function authScript(hosts: readonly { name: string }[], member: JournalHost, layer0 = false): string {
  const ctl = (...args: string[]): string => `etcdctl_ ${quoteArgv(args)}`;
  const lines = [
    'set -eu',
    'umask 077',
    'dir=$(mktemp -d -p /dev/shm)',
    `trap 'rm -rf "$dir"' EXIT INT TERM`,
    'cat > "$dir/root.pem"',
    `etcdctl_() { /usr/bin/etcdctl ${quoteArgv([
      `--endpoints=${clientUrl(member)}`,
      `--cacert=${files.ca}`,
      '--command-timeout=10s',
    ])} --cert="$dir/root.pem" --key="$dir/root.pem" "$@" </dev/null; }`,
    'quietly() { out=$("$@" 2>&1) || { echo "$out" >&2; return 1; }; }',
    // A name that is there already is what we want; every other failure shows.
    'unless_there() { if out=$("$@" 2>&1); then echo added; return; fi; case $out in *"already exists"*) ;; *) echo "$out" >&2; return 1;; esac; }',
  ];
  for (const [role, grants] of rolesOf(hosts, layer0)) {
    lines.push(`unless_there ${ctl('role', 'add', role)}`);
    for (const { kind, key, to } of grants) {
      const range = to === undefined ? ['--prefix=true', role, kind, key] : [role, kind, key, to];
      lines.push(`quietly ${ctl('role', 'grant-permission', ...range)}`);
    }
  }
  lines.push(`unless_there ${ctl('role', 'add', 'root')}`);
  for (const [user, roles] of usersOf(hosts, layer0)) {
    lines.push(`unless_there ${ctl('user', 'add', user, '--no-password')}`);
    for (const role of roles) lines.push(`quietly ${ctl('user', 'grant-role', user, role)}`);
  }
  lines.push(`quietly ${ctl('auth', 'enable')}`);
  return lines.join('\n');
}

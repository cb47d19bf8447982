// Facts of a host: the one shell script that collects them, and the pure function that reads its answer.
import { z } from 'zod';
import { localPorts, ports } from '../api/grid.js';

/** Ports that our own containers will hold, with what they are for; without `chosen`, those of Layer 0. */
export const fixedPorts = (
  chosen: { http: number; https: number; gateway: number } | undefined,
): Map<number, string> =>
  new Map([
    ...(chosen ? platformPorts(chosen) : []),
    [ports.agent, 'the host agent'],
    [ports.agentHealth, "the host agent's health"],
    [ports.sampi, 'sampi'],
    [ports.etcdClient, 'etcd'],
    [ports.etcdPeer, "etcd's peers"],
    [localPorts.discovery, 'discovery for jobs'],
    [localPorts.names, "the agent's name server"],
    [53, "the jobs' resolver"],
  ]);

const platformPorts = (chosen: { http: number; https: number; gateway: number }): [number, string][] => [
  [chosen.http, 'HTTP'],
  [chosen.https, 'HTTPS'],
  [chosen.gateway, 'the gateway'],
  [ports.routerMonitor, "the router's monitor"],
  [ports.controller, 'the controller'],
  [ports.registry, 'the registry'],
];

/** A process that listens on a port. `container` is the id of the container it runs in, if it runs in one. */
export interface Listener {
  port: number;
  address: string;
  process?: string;
  pid?: number;
  container?: string;
}

/** An address of an interface. */
export interface HostAddress {
  interface: string;
  address: string;
  /** Length of the network's prefix in bits. */
  prefix: number;
}

/** What a host says about itself. Sizes in bytes, times in ms. */
export interface HostFacts {
  hostname: string;
  elevation: 'root' | 'sudo' | 'none';
  os: { id: string; like: string[]; name: string };
  arch: string;
  cpus: number;
  memoryBytes: number;
  /** Free where Docker keeps its data, and the path that was looked at. */
  disk: { freeBytes: number; path: string };
  /** The host's clock when it began to answer, ms since 1970. */
  clock: number;
  /** Port of the sshd that we came through, as the host sees it, and the address we came to. */
  ssh: { address?: string; port: number };
  addresses: HostAddress[];
  docker: {
    installed: boolean;
    /** Why the engine does not answer; undefined when it does. */
    error?: string;
    version?: string;
    liveRestore?: boolean;
    /** live-restore stands on dockerd's command line: in daemon.json as well, it would keep dockerd from starting. */
    liveRestoreFlag: boolean;
    swarm?: string;
    /** Text of /etc/docker/daemon.json. */
    daemonJson?: string;
  };
  apt: boolean;
  systemd: boolean;
  listeners: Listener[];
  /** Our own containers by id. */
  ours: Map<string, string>;
  /** What host.json says, when the host belongs to a cluster. */
  member?: { id: string; name: string; host: string };
}

/**
 * The script. It changes nothing, needs no tools beyond a POSIX shell and coreutils, and prints `key=value` lines;
 * values that may hold anything are base64. What cannot be found out is left out.
 */
export const factsScript = String.raw`
exec </dev/null
LC_ALL=C; export LC_ALL
PATH=$PATH:/usr/sbin:/sbin:/usr/local/sbin; export PATH
say() { printf '%s=%s\n' "$1" "$2"; }
b64() { base64 | tr -d '\n'; }
say clock "$(date +%s%3N)"
if [ "$(id -u)" = 0 ]; then S=; say elevation root
elif sudo -n true 2>/dev/null; then S='sudo -n'; say elevation sudo
else S=; say elevation none; fi
say hostname "$(hostname 2>/dev/null || cat /proc/sys/kernel/hostname)"
say arch "$(uname -m)"
say cpus "$(getconf _NPROCESSORS_ONLN 2>/dev/null || nproc)"
say memory "$(awk '/^MemTotal:/ {print $2}' /proc/meminfo)"
if [ -r /etc/os-release ]; then
  ( . /etc/os-release; say os_id "$ID"; say os_like "$ID_LIKE"; say os_name "$PRETTY_NAME" )
fi
[ -n "$SSH_CONNECTION" ] && say ssh "$SSH_CONNECTION"
if command -v ip >/dev/null 2>&1; then
  ip -o addr show up 2>/dev/null | awk '$3=="inet"||$3=="inet6" {print "address=" $2 " " $4}'
else
  for a in $(hostname -I 2>/dev/null); do say address "- $a/32"; done
fi
command -v apt-get >/dev/null 2>&1 && say apt yes
[ -d /run/systemd/system ] && say systemd yes
root=/var/lib
if command -v docker >/dev/null 2>&1 && command -v dockerd >/dev/null 2>&1; then
  say docker_installed yes
  if info=$($S timeout 20 docker info --format '{{.ServerVersion}} {{.LiveRestoreEnabled}} {{.Swarm.LocalNodeState}} {{.DockerRootDir}}' 2>&1) &&
     set -- $info && [ $# -ge 4 ]; then
    say docker_version "$1"; say live_restore "$2"; say swarm "$3"; root=$4
    for label in flynn.system flynn.job; do
      $S timeout 20 docker ps -a --no-trunc --filter "label=$label" --format '{{.ID}} {{.Names}}' 2>/dev/null | sed 's/^/ours=/'
    done
  else
    say docker_error "$(printf %s "$info" | tail -n 3 | b64)"
  fi
fi
pid=$(cat /var/run/docker.pid 2>/dev/null || pidof dockerd)
[ -n "$pid" ] && $S cat "/proc/$pid/cmdline" 2>/dev/null | tr '\0' '\n' | grep -q -e '^--live-restore' && say live_restore_flag yes
$S test -e /etc/docker/daemon.json && say daemon_json "$($S cat /etc/docker/daemon.json | b64)"
$S test -e /etc/flynn/common/host.json && say member "$($S cat /etc/flynn/common/host.json | b64)"
while [ ! -d "$root" ]; do root=$(dirname "$root"); done
say disk "$($S df -Pk "$root" | awk 'NR==2 {print $4}') $root"
container() { sed -n 's/.*\([0-9a-f]\{64\}\)[^0-9a-f]*$/\1/p' "/proc/$1/cgroup" 2>/dev/null | head -n 1; }
if command -v ss >/dev/null 2>&1; then
  $S ss -Hltnp 2>/dev/null | while read -r _ _ _ local _ who; do
    name=$(printf %s "$who" | sed -n 's/^users:(("\([^"]*\)".*/\1/p')
    pid=$(printf %s "$who" | sed -n 's/^users:(([^)]*pid=\([0-9]*\).*/\1/p')
    say listen "$local $pid $(container "$pid") $name"
  done
elif command -v lsof >/dev/null 2>&1; then
  $S lsof -nP -iTCP -sTCP:LISTEN 2>/dev/null | awk 'NR>1 {print $9, $2, $1}' | while read -r local pid name; do
    say listen "$local $pid $(container "$pid") $name"
  done
else
  cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk '$4=="0A" {split($2,a,":"); print a[2], $10}' | sort -u |
  while read -r hex inode; do
    fd=$($S find /proc/[0-9]*/fd -maxdepth 1 -lname "socket:\[$inode\]" 2>/dev/null | head -n 1)
    pid=$(printf %s "$fd" | cut -d/ -f3)
    say listen "*:$(printf %d "0x$hex") $pid $(container "$pid") $(cat "/proc/$pid/comm" 2>/dev/null)"
  done
fi
say end yes
`;

const HostFileHint = z.object({ cluster: z.object({ id: z.string(), name: z.string() }), host: z.string() });

/** Reads the script's answer. Throws a plain Error naming what is missing when the answer is cut short. */
export function parseFacts(text: string): HostFacts {
  const values = new Map<string, string[]>();
  for (const line of text.split('\n')) {
    const at = line.indexOf('=');
    if (at <= 0) continue;
    const key = line.slice(0, at);
    values.set(key, [...(values.get(key) ?? []), line.slice(at + 1).trim()]);
  }
  const one = (key: string): string | undefined => values.get(key)?.[0] || undefined;
  const decoded = (key: string): string | undefined => {
    const value = one(key);
    return value === undefined ? undefined : Buffer.from(value, 'base64').toString('utf8');
  };
  if (one('end') !== 'yes') throw new Error('the answer of the preflight script is cut short');
  const [free, ...path] = (one('disk') ?? '').split(' ');
  const ssh = (one('ssh') ?? '').split(' ');
  const member = memberOf(decoded('member'));
  const daemonJson = decoded('daemon_json');
  return {
    hostname: one('hostname') ?? 'host',
    elevation: elevationOf(one('elevation')),
    os: {
      id: one('os_id') ?? 'unknown',
      like: (one('os_like') ?? '').split(' ').filter((word) => word !== ''),
      name: one('os_name') ?? one('os_id') ?? 'an unknown system',
    },
    arch: one('arch') ?? 'unknown',
    cpus: number(one('cpus'), 1),
    memoryBytes: number(one('memory'), 0) * 1024,
    disk: { freeBytes: number(free, 0) * 1024, path: path.join(' ') || '/' },
    clock: number(one('clock'), 0),
    ssh: { ...(ssh[2] ? { address: ssh[2] } : {}), port: number(ssh[3], 22) },
    addresses: (values.get('address') ?? []).flatMap(addressOf),
    docker: {
      installed: one('docker_installed') === 'yes',
      ...optional('version', one('docker_version')),
      ...optional('error', decoded('docker_error')),
      ...(one('live_restore') ? { liveRestore: one('live_restore') === 'true' } : {}),
      liveRestoreFlag: one('live_restore_flag') === 'yes',
      ...optional('swarm', one('swarm')),
      ...(daemonJson === undefined ? {} : { daemonJson }),
    },
    apt: one('apt') === 'yes',
    systemd: one('systemd') === 'yes',
    listeners: (values.get('listen') ?? []).flatMap(listenerOf),
    ours: new Map(
      (values.get('ours') ?? []).map((line) => [line.split(' ')[0] ?? '', line.split(' ')[1] ?? '']),
    ),
    ...(member ? { member } : {}),
  };
}

function optional<K extends string>(key: K, value: string | undefined): { [P in K]?: string } {
  return value === undefined ? {} : ({ [key]: value } as { [P in K]?: string });
}

function number(text: string | undefined, otherwise: number): number {
  const value = Number(text);
  return text === undefined || text === '' || !Number.isFinite(value) ? otherwise : value;
}

function elevationOf(text: string | undefined): HostFacts['elevation'] {
  return text === 'root' || text === 'sudo' ? text : 'none';
}

function addressOf(line: string): HostAddress[] {
  const [name, cidr] = line.split(' ');
  const [address, prefix] = (cidr ?? '').split('/');
  if (!name || !address) return [];
  return [{ interface: name.replace(/@.*$/, ''), address, prefix: number(prefix, 32) }];
}

function listenerOf(line: string): Listener[] {
  // `address:port pid container name`; pid, container and name may be empty.
  const [local = '', pid = '', container = '', ...name] = line.split(' ');
  const at = local.lastIndexOf(':');
  const port = Number(local.slice(at + 1));
  if (at < 0 || !Number.isInteger(port)) return [];
  return [
    {
      port,
      address: local.slice(0, at).replace(/^\[|\]$/g, ''),
      ...(pid ? { pid: Number(pid) } : {}),
      ...(container ? { container } : {}),
      ...(name.join(' ') ? { process: name.join(' ') } : {}),
    },
  ];
}

function memberOf(text: string | undefined): HostFacts['member'] {
  if (text === undefined) return undefined;
  try {
    const file = HostFileHint.parse(JSON.parse(text));
    return { id: file.cluster.id, name: file.cluster.name, host: file.host };
  } catch {
    // A file that cannot be read still says that somebody was here before.
    return { id: 'unknown', name: 'unknown', host: 'unknown' };
  }
}

// Everything of a host that a cluster could leave behind, one fact a line, and what differs between two looks.
import { expect, vi } from 'vitest';
import { labExec, type LabRef } from '../../src/lib/lab/index.js';

/**
 * Packages, users, files, firewall rules, addresses, routes, Docker's objects and settings, processes, mounts. Left out
 * are logs, counters, tables of a packet filter without a rule, what the lab itself writes, and the directory that the engine makes when it runs its first
 * container, whosever that is. Of a directory its time says nothing.
 */
const script = String.raw`
  dpkg-query -W -f 'package ${'$'}{Package} ${'$'}{Version} ${'$'}{Status}\n'
  cut -d: -f1,3,4,7 /etc/passwd /etc/group | sed 's/^/user /'
  find / -xdev \( -path /proc -o -path /sys -o -path /tmp -o -path /var/log -o -path /var/lib/lab \
      -o -path /etc/resolv.conf -o -path /etc/hosts -o -path /etc/hostname \) -prune \
    -o -type d -printf 'entry %M %u %g %p\n' -o -type f -printf 'entry %M %u %g %p %s %T@\n' -o -printf 'entry %M %u %g %p %l\n'
  find /etc /usr/local /opt /root /srv -xdev -name resolv.conf -prune -o -type f -print0 | xargs -0 sha256sum | sed 's/^/content /'
  find /run /tmp /var/log -maxdepth 1 ! -path /run/containerd ! -path /tmp ! -path /var/log ! -path /run -printf 'entry %y %p\n'
  for tool in iptables-nft iptables-legacy ip6tables-nft ip6tables-legacy; do
    $tool-save | grep -v -e '^#' -e '^COMMIT' | sed "s/\[[0-9:]*\]//; s/^/rule $tool /"
  done | grep -v -e ' \*' -e ' ACCEPT $'
  ip -o addr show | awk '{print "address", $2, $4}'
  ip -4 route show table all | grep -v linkdown | sed 's/^/route /'
  docker ps -a --format 'container {{.Names}}'
  docker volume ls --format 'volume {{.Name}}'
  docker network ls --format 'network {{.Name}} {{.Driver}}'
  docker images -a --no-trunc --format 'image {{.Repository}}:{{.Tag}} {{.ID}}'
  docker info --format 'engine {{.LiveRestoreEnabled}} {{.Driver}} {{.Swarm.LocalNodeState}}'
  ps -eo comm= | grep -v -x -e ps -e sh -e sort -e sed -e grep -e uniq -e sleep | sort | uniq -c | sed 's/^ */process /'
  mount | awk '{print "mount", $3, $5}' | grep -v -e /var/lib/docker/ -e /run/docker
`;

/** What a host is like now. */
export async function snapshot(host: string, ref: LabRef): Promise<string[]> {
  const done = await labExec(host, ['sh', '-c', script], ref);
  expect(done.stderr).toBe('');
  return done.stdout.split('\n').sort();
}

/** Fails unless the host is again what it was; connections that end meanwhile have a moment. */
export async function expectAsBefore(host: string, before: readonly string[], ref: LabRef): Promise<void> {
  const was = new Set(before);
  await vi.waitFor(
    async () => {
      const now = await snapshot(host, ref);
      const is = new Set(now);
      const left = now.filter((line) => !was.has(line));
      expect({ left, lost: before.filter((line) => !is.has(line)) }).toEqual({ left: [], lost: [] });
    },
    { timeout: 20_000, interval: 1_000 },
  );
}

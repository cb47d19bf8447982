// The verdict on the hosts before anything is changed: every finding of every host, not just the first. Pure.
import type { AddressChoice } from './addresses.js';
import { isPrivate } from './addresses.js';
import { fixedPorts, type HostFacts, type Listener } from './facts.js';
import { memoryNeeded, rolesAt, type HostRole } from './roles.js';

const MiB = 1024 * 1024;
const GiB = 1024 * MiB;

/** Limits of preflight. */
export const limits = { diskBytes: 4 * GiB, memoryBytes: 512 * MiB, skewMs: 5_000 } as const;

/** Something to know before hosts are changed. An `error` stops, a `warning` does not, a `note` is for information. */
export interface Finding {
  /** Stable, for scripts. */
  code: string;
  level: 'error' | 'warning' | 'note';
  /** Name of the host; absent when it concerns all of them. */
  host?: string;
  message: string;
  /** What to do about it. */
  hint?: string;
}

/** A host with its facts, as preflight found it. */
export interface HostReport {
  name: string;
  facts: HostFacts;
  /** Its clock minus ours when it answered, ms. */
  skewMs: number;
}

/** What the verdict depends on besides the facts. */
export interface JudgeContext {
  cluster: { name: string; id?: string };
  ports: { http: number; https: number; gateway: number };
  choices: readonly AddressChoice[];
  allowPublicPlaintext: boolean;
  /** The grid has no platform on it. */
  layer0?: boolean;
  /** Roles by host name; absent: by position. */
  roles?: ReadonlyMap<string, readonly HostRole[]>;
  /** The hosts join others that are not judged here. */
  joining?: boolean;
  /** Absent when the hosts change nothing about it. */
  domain?: JudgedDomain;
}

/** The cluster's domain and what it resolves to. */
export interface JudgedDomain {
  name: string;
  isDefault: boolean;
  publicAddresses: readonly string[];
  resolved: readonly string[];
}

/** All findings, errors first, in the order of the hosts. */
export function judge(hosts: readonly HostReport[], context: JudgeContext): Finding[] {
  const findings = [
    ...hosts.flatMap((host, index) =>
      judgeHost(host, context.roles?.get(host.name) ?? rolesAt(index, hosts.length), context),
    ),
    ...judgeClocks(hosts),
    ...judgeNetwork(hosts, context),
    ...(context.domain ? judgeDomain(context.domain) : []),
    ...(hosts.length === 2 && !context.joining ? [twoHosts] : []),
  ];
  const order = { error: 0, warning: 1, note: 2 };
  return findings.sort((a, b) => order[a.level] - order[b.level]);
}

const twoHosts: Finding = {
  code: 'two_hosts',
  level: 'warning',
  message: 'two hosts carry one member of etcd: when its host is lost, apps go on but nothing is rescheduled',
  hint: 'a third host makes the cluster survive the loss of any one',
};

function judgeHost(report: HostReport, roles: readonly HostRole[], context: JudgeContext): Finding[] {
  const { facts, name } = report;
  const found: Finding[] = [];
  const say = (level: Finding['level'], code: string, message: string, hint?: string): void => {
    found.push({ code, level, host: name, message, ...(hint ? { hint } : {}) });
  };
  if (facts.elevation === 'none') {
    say(
      'error',
      'not_root',
      'the user is not root and sudo asks for a password',
      'log in as root, or allow `sudo -n`',
    );
  }
  if (!['amd64', 'arm64'].includes(archOf(facts.arch) ?? '')) {
    say('error', 'arch', `its processor is ${facts.arch}`, 'hosts are amd64 or arm64');
  }
  const family = [facts.os.id, ...facts.os.like];
  if (!family.includes('debian') && !family.includes('ubuntu')) {
    say('warning', 'os', `${facts.os.name} is not tried; Debian and Ubuntu are`);
  }
  judgeDocker(facts, say);
  if (facts.disk.freeBytes < limits.diskBytes) {
    const free = (facts.disk.freeBytes / GiB).toFixed(1);
    const hint = 'docker system df   (on the host: shows what could go; 4 GiB must be free)';
    say('error', 'disk', `${free} GiB are free at ${facts.disk.path}`, hint);
  }
  const needed = memoryNeeded(roles, context.layer0);
  const has = Math.floor(facts.memoryBytes / MiB);
  if (facts.memoryBytes < limits.memoryBytes) {
    say('error', 'memory', `it has ${has} MiB of memory`, 'a host needs 512 MiB');
  } else if (facts.memoryBytes < needed) {
    const what = roles.includes('control')
      ? 'the control plane'
      : context.layer0
        ? 'the host agent'
        : 'the router';
    say('error', 'memory', `it has ${has} MiB of memory`, `${what} needs ${needed / MiB} MiB on it`);
  }
  if (facts.member && facts.member.id !== context.cluster.id) {
    say(
      'error',
      'member',
      `it belongs to the cluster ${facts.member.name} (${facts.member.id}) already`,
      `flynn cluster destroy ${facts.member.name}   (or use another host)`,
    );
  }
  if (facts.member && facts.member.id === context.cluster.id && facts.member.host !== name) {
    say(
      'error',
      'member',
      `it is the host ${facts.member.host} of this cluster already`,
      `name it ${facts.member.host}=…`,
    );
  }
  for (const [port, purpose] of fixedPorts(context.layer0 ? undefined : context.ports)) {
    const listener = facts.listeners.find(
      (l) => l.port === port && !isOurs(l, facts) && inTheWay(l, context, name),
    );
    if (listener) {
      const who = listener.process
        ? `${listener.process}${listener.pid ? ` (pid ${listener.pid})` : ''}`
        : 'another process';
      say(
        'error',
        'port',
        `port ${port}, for ${purpose}, is held by ${who}`,
        'end it, or move it to another port',
      );
    }
  }
  return found;
}

function judgeDocker(
  facts: HostFacts,
  say: (level: Finding['level'], code: string, message: string, hint?: string) => void,
): void {
  const { docker } = facts;
  if (!docker.installed) {
    if (facts.apt)
      say('note', 'docker_install', 'Docker will be installed: apt-get install docker.io iptables');
    else
      say(
        'error',
        'docker_missing',
        'it has no Docker and no apt-get',
        'install a Docker engine, then run it again',
      );
    return;
  }
  if (docker.error !== undefined && facts.elevation !== 'none') {
    say(
      'error',
      'docker_down',
      `its Docker engine does not answer: ${docker.error.trim()}`,
      'systemctl start docker',
    );
  }
  if (docker.swarm !== undefined && docker.swarm !== 'inactive') {
    say(
      'error',
      'swarm',
      `its Docker engine is in Swarm mode (${docker.swarm})`,
      'docker swarm leave --force   (ends its services)',
    );
  }
  if (docker.liveRestoreFlag && docker.liveRestore === false) {
    say(
      'error',
      'live_restore',
      'dockerd is started with --live-restore=false',
      'take the flag out: containers must outlive dockerd',
    );
  }
  if (docker.daemonJson !== undefined) {
    try {
      JSON.parse(docker.daemonJson || '{}');
    } catch {
      say(
        'error',
        'daemon_json',
        '/etc/docker/daemon.json is not JSON',
        'mend it: live-restore is merged into it',
      );
    }
  }
}

/** Debian's name of an architecture as the kernel spells it; undefined for others. */
export function archOf(machine: string): 'amd64' | 'arm64' | undefined {
  if (machine === 'x86_64' || machine === 'amd64') return 'amd64';
  return machine === 'aarch64' || machine === 'arm64' ? 'arm64' : undefined;
}

function isOurs(listener: Listener, facts: HostFacts): boolean {
  return listener.container !== undefined && facts.ours.has(listener.container);
}

/** A listener on another interface's address takes nothing from us; on loopback only etcd wants to listen. */
function inTheWay(listener: Listener, context: JudgeContext, host: string): boolean {
  const { http, https, gateway } = context.ports;
  const wide = ['*', '0.0.0.0', '::', ''];
  const open = context.layer0 ? [] : [http, https, gateway];
  if (wide.includes(listener.address) || open.includes(listener.port)) return true;
  const address = context.choices.find((choice) => choice.host === host)?.address;
  return listener.address === address || (listener.address.startsWith('127.') && listener.port === 2379);
}

function judgeClocks(hosts: readonly HostReport[]): Finding[] {
  const seconds = (ms: number): string => `${(Math.abs(ms) / 1000).toFixed(1)} s`;
  const spread = Math.max(...hosts.map((h) => h.skewMs)) - Math.min(...hosts.map((h) => h.skewMs));
  const off = hosts.filter((h) => Math.abs(h.skewMs) > limits.skewMs);
  // All hosts agree and only this computer is off: nothing on the hosts is wrong.
  const ours = off.length === hosts.length && spread <= limits.skewMs;
  return off.map((host) => ({
    code: 'clock',
    level: ours ? 'warning' : 'error',
    host: host.name,
    message: `its clock is ${seconds(host.skewMs)} ${host.skewMs > 0 ? 'ahead of' : 'behind'} this computer's`,
    hint: ours ? "set this computer's clock" : 'set the clock: apt-get install systemd-timesyncd',
  }));
}

function judgeNetwork(hosts: readonly HostReport[], context: JudgeContext): Finding[] {
  const found: Finding[] = [];
  for (const choice of context.choices) {
    const example = `--internal-address ${choice.host}=ADDRESS`;
    if (choice.address === undefined) {
      found.push({
        code: 'no_address',
        level: 'error',
        host: choice.host,
        message: `no address for the other hosts to use: ${choice.why}`,
        hint: example,
      });
      continue;
    }
    if (choice.unreachedFrom.length > 0) {
      found.push({
        code: 'unreachable',
        level: 'error',
        host: choice.host,
        message: `${choice.unreachedFrom.join(', ')} cannot reach it at ${choice.address}`,
        hint: `open the firewall between the hosts, or say ${example}`,
      });
    }
  }
  const open = context.choices.filter((c) => c.address !== undefined && !isPrivate(c.address));
  // One host alone sends nothing to others, and its firewall closes what is not public.
  const alone = hosts.length === 1 && !context.joining;
  if (open.length > 0 && !alone && !context.allowPublicPlaintext) {
    found.push({
      code: 'public_plaintext',
      level: 'error',
      ...(open.length === 1 && open[0] ? { host: open[0].host } : {}),
      message: `the hosts share only public addresses (${open.map((c) => c.address).join(', ')}): requests to apps would cross the Internet in plain text`,
      hint: 'use a private network, or accept it with --allow-public-plaintext',
    });
  }
  return found;
}

function judgeDomain(domain: JudgedDomain): Finding[] {
  const { name, publicAddresses, resolved } = domain;
  const first = publicAddresses[0] ?? '';
  if (domain.isDefault) {
    const message = `no --domain given: apps will answer at APP.${name}, a public name service that returns ${first}`;
    return [{ code: 'domain_default', level: 'note', message }];
  }
  if (resolved.length > 0 && resolved.every((address) => publicAddresses.includes(address))) return [];
  const records = publicAddresses.flatMap((address) => {
    const type = address.includes(':') ? 'AAAA' : 'A';
    return [`${name}. ${type} ${address}`, `*.${name}. ${type} ${address}`];
  });
  const now = resolved.length === 0 ? 'does not resolve yet' : `leads to ${resolved.join(', ')}`;
  return [
    {
      code: 'dns',
      level: 'note',
      message: `${name} ${now}`,
      hint: `records to create: ${records.join('; ')}`,
    },
  ];
}

// Pure decisions of the lab: keys, names, addresses, and the argv that makes a lab host.
import { createHash } from 'node:crypto';
import { FlynnError } from '../api/errors.js';
import type { LabVariant } from './types.js';

/** The ports of a host that the machine reaches: ssh, http, https and the gateway. */
export const PUBLISHED = [22, 80, 443, 2222] as const;
/** The largest lab. */
export const MAX_HOSTS = 20;

/** Checks a lab's name and returns it. Throws `usage`. */
export const labName = (name = 'default'): string => {
  if (/^[a-z0-9][a-z0-9-]{0,30}$/.test(name)) return name;
  throw new FlynnError({
    code: 'usage',
    message: `"${name}" is no name for a lab: lower-case letters, digits and dashes, at most 31`,
    hint: 'flynn lab up --name test',
  });
};

/** The key of a lab: 10 hex digits of checkout and name. Containers, network and labels carry it. */
export const labKey = (root: string, name: string): string =>
  createHash('sha256').update(`${root}\0${name}`).digest('hex').slice(0, 10);

/** Name of host number `index`, counted from 0: a, b, c … t. */
export const hostName = (index: number): string => String.fromCharCode(97 + index);

/** Everything that follows from the lab's number N (0–254) and a host's index. */
export const addressesOf = (
  n: number,
  index: number,
): { address: string; loopback: string; bip: string } => ({
  address: `10.77.${n}.${11 + index}`,
  loopback: `127.77.${n}.${11 + index}`,
  // Every inner engine has its own bridge network, so that an address of a job never means two jobs.
  bip: `10.${101 + index}.${n}.1/24`,
});

/** The lab's subnet. */
export const subnetOf = (n: number): string => `10.77.${n}.0/24`;

/** The number N of a subnet that `subnetOf` made, or undefined for any other. */
export const numberOf = (subnet: string): number | undefined => {
  const found = /^10\.77\.(\d{1,3})\.0\/24$/.exec(subnet);
  return found ? Number(found[1]) : undefined;
};

/** A way to give a container what an inner engine needs. */
export interface Recipe {
  name: string;
  args: string[];
}

// The cgroup mount is the same in all: the inner engine puts jobs below this host's own group in it.
const CGROUPS = ['--cgroupns', 'host', '-v', '/sys/fs/cgroup:/sys/fs/cgroup:rw'];

/** The recipes in the order in which they are tried. */
export const recipes: readonly Recipe[] = [
  { name: 'privileged', args: ['--privileged', ...CGROUPS] },
  {
    // Where CAP_SYS_RESOURCE is withheld, `--privileged` fails and every other capability suffices.
    name: 'all capabilities but SYS_RESOURCE',
    args: [
      ...['--cap-add', 'ALL', '--cap-drop', 'SYS_RESOURCE'],
      ...['--security-opt', 'seccomp=unconfined', '--security-opt', 'systempaths=unconfined'],
      ...['--security-opt', 'apparmor=unconfined'],
      ...['--device-cgroup-rule', 'a *:* rwm'],
      ...CGROUPS,
    ],
  },
];

/** The login of a variant. */
export const loginOf = (variant: LabVariant): string => (variant.sudoUser ? 'ops' : 'root');

/** A variant as a label; two labs of the same label have the same kind of hosts. */
export const variantLabel = (v: LabVariant): string =>
  [v.bare ? 'bare' : '', v.sudoUser ? 'sudo-user' : '', v.noForwarding ? 'no-forwarding' : '']
    .filter(Boolean)
    .join(',') || 'plain';

/** The inverse of `variantLabel`. */
export const variantOf = (label: string): LabVariant => {
  const words = label.split(',');
  return {
    bare: words.includes('bare'),
    sudoUser: words.includes('sudo-user'),
    noForwarding: words.includes('no-forwarding'),
  };
};

/** Where one port of a host is published on the machine. */
export interface Publish {
  ip: string;
  port: number;
  inner: number;
}

/** What makes a lab host. */
export interface HostSpec {
  key: string;
  lab: string;
  root: string;
  number: number;
  index: number;
  image: string;
  variant: LabVariant;
  recipe: Recipe;
  publish: Publish[];
  authorizedKey: string;
  dns: string[];
}

/** Name of a host's container. */
export const containerName = (key: string, host: string): string => `flynn-lab-${key}-${host}`;
/** Name of a lab's network. */
export const networkName = (key: string): string => `flynn-lab-${key}`;

/** The argv after `docker` that creates a lab host; it is started apart. */
export const hostArgv = (spec: HostSpec): string[] => {
  const name = hostName(spec.index);
  const { address, bip } = addressesOf(spec.number, spec.index);
  return [
    ...['create', '--init', '--name', containerName(spec.key, name), '--hostname', name],
    ...['--label', `flynn.lab=${spec.key}`, '--label', `flynn.lab.host=${name}`],
    ...['--label', `flynn.lab.name=${spec.lab}`, '--label', `flynn.lab.root=${spec.root}`],
    ...['--label', `flynn.lab.variant=${variantLabel(spec.variant)}`],
    ...['--network', networkName(spec.key), '--ip', address],
    // As on a real host, /run is empty after a power cycle.
    ...['--tmpfs', '/run:rw,exec,size=128m', '-v', '/var/lib/docker'],
    ...spec.recipe.args,
    ...['-e', `LAB_USER=${loginOf(spec.variant)}`, '-e', `LAB_AUTHORIZED_KEY=${spec.authorizedKey}`],
    ...['-e', `LAB_BIP=${bip}`, '-e', `LAB_DNS=${spec.dns.join(' ')}`],
    ...['-e', `LAB_FORWARDING=${spec.variant.noForwarding ? 'no' : 'yes'}`],
    ...spec.publish.flatMap((p) => ['-p', `${p.ip}:${p.port}:${p.inner}`]),
    spec.image,
  ];
};

/**
 * Name servers that containers can use, out of a resolv.conf. Loopback ones are of no use there;
 * then `upstream`, the text of systemd-resolved's own file, is read.
 */
export const nameServers = (resolvConf: string, upstream = ''): string[] => {
  const read = (text: string): string[] =>
    [...text.matchAll(/^\s*nameserver\s+(\S+)/gm)]
      .map((match) => match[1] as string)
      .filter((ip) => !ip.startsWith('127.') && ip !== '::1' && !ip.includes('%'));
  const own = read(resolvConf);
  return own.length > 0 ? own : read(upstream);
};

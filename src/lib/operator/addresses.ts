// Which address of each host the others use: pure choice over what the hosts have and whom they reach.
import { isIPv4, isIPv6 } from 'node:net';
import type { HostAddress } from './facts.js';

/** True for addresses that are not routed on the Internet (RFC 1918, shared, unique local, loopback, link-local). */
export function isPrivate(address: string): boolean {
  if (isIPv4(address)) {
    const [a = 0, b = 0] = address.split('.').map(Number);
    return (
      a === 10 ||
      a === 127 ||
      (a === 172 && b >= 16 && b < 32) ||
      (a === 192 && b === 168) ||
      (a === 100 && b >= 64 && b < 128) ||
      (a === 169 && b === 254)
    );
  }
  return /^(f[cd]|fe[89ab]|::1$)/i.test(address);
}

/** Interfaces that belong to containers and virtual machines: their addresses mean nothing to other hosts. */
const inner = /^(lo|docker|br-|veth|virbr|cni|flannel|cali|lxc|lxd|podman)/;

/** Addresses by which another host could know this one: private ones first, IPv4 first. */
export function candidates(addresses: readonly HostAddress[]): string[] {
  const rank = (address: string): number => (isPrivate(address) ? 0 : 2) + (isIPv4(address) ? 0 : 1);
  return addresses
    .filter((a) => !inner.test(a.interface) && !/^(127\.|169\.254\.|::1$|fe80:)/i.test(a.address))
    .filter((a) => isIPv4(a.address) || isIPv6(a.address))
    .map((a) => a.address)
    .sort((a, b) => rank(a) - rank(b));
}

/** Who reached whom: `reaches.get(from)` holds the addresses that answered the host `from`. */
export type Reach = ReadonlyMap<string, ReadonlySet<string>>;

/** A host as the choice sees it. */
export interface AddressHost {
  name: string;
  candidates: readonly string[];
  /** What the operator said with --internal-address. */
  given?: string;
}

/** The address of one host, why it was taken, and whom it does not reach. */
export interface AddressChoice {
  host: string;
  address?: string;
  why: string;
  /** Names of hosts that did not get an answer at it. */
  unreachedFrom: string[];
}

/**
 * One address for each host: the given one, else the first that every other host reaches and nobody else has.
 * Without such an address, the one that most hosts reach, with the names of those that do not.
 */
export function chooseAddresses(hosts: readonly AddressHost[], reach: Reach): AddressChoice[] {
  const owners = new Map<string, number>();
  for (const host of hosts) for (const a of new Set(host.candidates)) owners.set(a, (owners.get(a) ?? 0) + 1);
  return hosts.map((host) => {
    const others = hosts.filter((other) => other.name !== host.name);
    const missing = (address: string): string[] =>
      others.filter((other) => !reach.get(other.name)?.has(address)).map((other) => other.name);
    if (host.given !== undefined) {
      return { host: host.name, address: host.given, why: 'as told', unreachedFrom: missing(host.given) };
    }
    // The same private address on two hosts is a bridge of theirs, not a way to either.
    const own = host.candidates.filter((address) => owners.get(address) === 1);
    const kind = (address: string): string => (isPrivate(address) ? 'private' : 'public');
    if (others.length === 0) {
      const address = own[0];
      return {
        host: host.name,
        address,
        why: address ? `its ${kind(address)} address` : 'it has none',
        unreachedFrom: [],
      };
    }
    const ranked = own.map((address) => ({ address, missing: missing(address) }));
    const best =
      ranked.find((r) => r.missing.length === 0) ??
      ranked.sort((a, b) => a.missing.length - b.missing.length)[0];
    if (!best)
      return { host: host.name, why: 'it has none of its own', unreachedFrom: others.map((o) => o.name) };
    return {
      host: host.name,
      address: best.address,
      why:
        best.missing.length === 0
          ? `${kind(best.address)}, and the other hosts reach it`
          : 'the one most hosts reach',
      unreachedFrom: best.missing,
    };
  });
}

/**
 * The reachability script: `sh -c SCRIPT reach PORT ADDRESS PORT ADDRESS …` prints the addresses that answer within
 * 3 s, one per line. A TCP connect where bash is there, else a ping.
 */
export const reachScript = String.raw`
exec </dev/null
probe() {
  if command -v bash >/dev/null 2>&1; then
    timeout 3 bash -c 'exec 3<>"/dev/tcp/$0/$1" && read -r -t 3 line <&3' "$2" "$1" 2>/dev/null && echo "$2" && return
  fi
  ping -c 1 -W 2 "$2" >/dev/null 2>&1 && echo "$2"
}
while [ $# -ge 2 ]; do
  probe "$1" "$2" &
  shift 2
done
wait
exit 0
`;

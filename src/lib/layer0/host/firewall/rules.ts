// Which rules close a host: cluster ports and job ports for members alone. Pure.
import { isIP } from 'node:net';
import { jobPorts, localPorts, ports } from '../../../api/grid.js';

/** 4 for iptables, 6 for ip6tables. */
export type Family = 4 | 6;

/** What the rules are made from. */
export interface FirewallInput {
  /** Addresses of the cluster's hosts, our own among them. */
  members: readonly string[];
  /** Interfaces of this host's Docker bridges: what comes in by them comes from containers. */
  bridges: readonly string[];
  /** This host's own addresses on them: what listens there is for its containers alone. */
  bridgeAddresses?: readonly string[];
}

/** Our chains of the filter table with their rules as `iptables-save` spells them, and where they hang. */
export interface RuleSet {
  chains: ReadonlyMap<string, readonly string[]>;
  /** The first rule of `from` leads to `to`; where there is no chain `from`, nothing does. */
  jumps: readonly { from: string; to: string }[];
}

/** What the names of our chains begin with; no other chain is ever touched but for the jumps to ours. */
export const chainPrefix = 'FLYNN-';

/** The chain that Docker leaves to others, ahead of its own rules for forwarded packets. */
export const dockerChain = 'DOCKER-USER';

const chain = {
  input: `${chainPrefix}INPUT`,
  forward: `${chainPrefix}FORWARD`,
  toward: `${chainPrefix}TOWARD`,
  cluster: `${chainPrefix}CLUSTER`,
  jobs: `${chainPrefix}JOBS`,
  local: `${chainPrefix}LOCAL`,
} as const;

/** Ports that only hosts of the cluster use: all of the table, but for the one that is open on loopback alone. */
const clusterPorts = Object.values(ports).filter((port) => port !== ports.registryLocal);
const jobRange = `${jobPorts.first}:${jobPorts.last}`;

/** Ports as a list of `a` and `a:b`, ascending, as the multiport match takes them. */
export const portList = (numbers: readonly number[]): string => {
  const ranges: [number, number][] = [];
  for (const port of [...new Set(numbers)].sort((a, b) => a - b)) {
    const last = ranges.at(-1);
    if (last && port === last[1] + 1) last[1] = port;
    else ranges.push([port, port]);
  }
  return ranges.map(([a, b]) => (a === b ? `${a}` : `${a}:${b}`)).join(',');
};

/** An address as `iptables-save` spells it; undefined when it is of the other family. */
const spelled = (family: Family, address: string): string | undefined => {
  if (isIP(address) !== family) return undefined;
  if (family === 4) return `${address}/32`;
  return `${new URL(`http://[${address}]`).hostname.slice(1, -1)}/128`;
};

/** Names that need no quoting: others are not Docker's. */
const plainName = /^[A-Za-z0-9._-]{1,15}$/;

/**
 * The rules of one family. They only ever drop: what they let pass goes on to the host's other rules.
 * Packets are judged one by one and not by their connection's age, so that a connection from before the rules, or of a
 * host that was removed, ends with them; answers to what this host or its containers asked always pass.
 */
export const ruleSet = (family: Family, input: FirewallInput): RuleSet => {
  const members = [...new Set(input.members.flatMap((address) => spelled(family, address) ?? []))].sort();
  const bridges = [...new Set(input.bridges)].filter((name) => plainName.test(name)).sort();
  const cluster = `-p tcp -m multiport --dports ${portList(clusterPorts)}`;
  const answers = '-m conntrack --ctdir REPLY -j RETURN';
  const protocols = ['tcp', 'udp'];
  const ownOnBridges = [
    ...new Set((input.bridgeAddresses ?? []).flatMap((a) => spelled(family, a) ?? [])),
  ].sort();
  const fromMembers = members.map((member) => `-s ${member} -j RETURN`);
  return {
    chains: new Map([
      [
        chain.input,
        [
          '-i lo -j RETURN',
          answers,
          `${cluster} -j ${chain.cluster}`,
          `-p tcp -m tcp --dport ${localPorts.discovery} -j ${chain.local}`,
          // The kernel takes packets to any of its addresses by any interface: names are for containers, too.
          ...ownOnBridges.flatMap((address) =>
            protocols.map((p) => `-d ${address} -p ${p} -m ${p} --dport 53 -j ${chain.local}`),
          ),
          // Where Docker's address translation does not apply, its proxy takes the connections of published ports.
          ...protocols.map((p) => `-p ${p} -m ${p} --dport ${jobRange} -j ${chain.jobs}`),
        ],
      ],
      [
        chain.forward,
        [
          answers,
          `${cluster} -j ${chain.toward}`,
          // By the port that was asked for: here the destination is the container's already.
          ...protocols.map(
            (p) => `-p ${p} -m conntrack --ctstate DNAT --ctorigdstport ${jobRange} -j ${chain.jobs}`,
          ),
        ],
      ],
      // On the sending host: masquerading would make a container look like its host.
      [chain.toward, members.map((member) => `-d ${member} -j ${chain.cluster}`)],
      [
        chain.cluster,
        // Bridges first: a container may claim any source.
        [...bridges.map((bridge) => `-i ${bridge} -j DROP`), ...fromMembers, '-j DROP'],
      ],
      [chain.local, [...bridges.map((bridge) => `-i ${bridge} -j RETURN`), '-j DROP']],
      [chain.jobs, [...bridges.map((bridge) => `-i ${bridge} -j RETURN`), ...fromMembers, '-j DROP']],
    ]),
    jumps: [
      { from: 'INPUT', to: chain.input },
      { from: dockerChain, to: chain.forward },
    ],
  };
};

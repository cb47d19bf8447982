// A packet's way through rules in text, as the kernel would take it: what the firewall's tests ask.
import { isIPv4 } from 'node:net';

/** A packet as the filter sees it. */
export interface Packet {
  /** Interface it came in by. */
  in: string;
  src: string;
  dst: string;
  proto?: 'tcp' | 'udp' | 'icmp';
  dport?: number;
  /** It goes against the direction in which its connection was opened. */
  reply?: boolean;
  /** Address translation changed its destination: the port that was asked for. */
  askedPort?: number;
}

type Chains = ReadonlyMap<string, readonly string[]>;

/** `drop`, or `pass` when it comes out of the chain again. Throws for an option that it does not know. */
export const fate = (chains: Chains, chain: string, packet: Packet): 'drop' | 'pass' => {
  for (const rule of chains.get(chain) ?? []) {
    const target = matches(rule.split(' '), packet);
    if (target === undefined) continue;
    if (target === 'RETURN') return 'pass';
    if (target === 'DROP') return 'drop';
    if (!chains.has(target)) throw new Error(`no chain ${target}`);
    if (fate(chains, target, packet) === 'drop') return 'drop';
  }
  return 'pass';
};

const inRange = (port: number | undefined, list: string): boolean =>
  port !== undefined &&
  list.split(',').some((range) => {
    const [from, to = from] = range.split(':').map(Number);
    return port >= from! && port <= to!;
  });

/** The target of a rule when all of its options hold. */
const matches = (words: string[], packet: Packet): string | undefined => {
  const { proto = 'tcp' } = packet;
  let target: string | undefined;
  for (let i = 0; i < words.length; i += 2) {
    const value = words[i + 1]!;
    const holds: Record<string, () => boolean> = {
      '-i': () => packet.in === value,
      '-s': () => value === `${packet.src}/${isIPv4(packet.src) ? 32 : 128}`,
      '-d': () => value === `${packet.dst}/${isIPv4(packet.dst) ? 32 : 128}`,
      '-p': () => proto === value,
      '-m': () => true,
      '--dport': () => inRange(packet.dport, value),
      '--dports': () => inRange(packet.dport, value),
      '--ctdir': () => (packet.reply === true) === (value === 'REPLY'),
      '--ctstate': () => value === 'DNAT' && packet.askedPort !== undefined,
      '--ctorigdstport': () => inRange(packet.askedPort ?? packet.dport, value),
      '-j': () => ((target = value), true),
    };
    const hold = holds[words[i]!];
    if (!hold) throw new Error(`unknown option ${words[i]}`);
    if (!hold()) return undefined;
  }
  return target;
};

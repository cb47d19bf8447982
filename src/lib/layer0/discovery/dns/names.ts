// What the names below `.flynn` mean: addresses of a service, of its leader, and SRV for its ports. Pure.
import { isIP } from 'node:net';
import type { ServiceInstance, ServiceView } from '../../../api/discovery.js';
import type { Rng } from '../../../util/rng.js';
import { rcodes, types, type DnsRecord, type Reply } from './message.js';

/** The domain of all names here. */
export const domain = 'flynn';

/** The part of a directory that names are answered from. */
export interface NameSource {
  known: boolean;
  view(name: string): ServiceView;
  names(): string[];
}

/**
 * Seconds for which an answer holds: none. The resolver keeps what has run out and gives it at once, fetching what is
 * new; so the agent's own questions after a change bring it up to date within about a second, its measure of time.
 */
const ttl = 0;
/** A name that has no address of a family will not have one soon: its hosts' addresses are what they are. */
const noDataTtl = 3_600;
/** Records of one answer: more of a service are not of use to anybody, and would not fit. */
const maxRecords = 12;

/** Name of an address: what SRV records lead to. `10.0.0.1` is `10-0-0-1.addr.flynn`. */
export const addressName = (address: string): string =>
  `${address.replaceAll('.', '-').replaceAll(':', '-')}.addr.${domain}`;

/** The address that such a name stands for, undefined when it stands for none. */
const addressOf = (label: string): string | undefined =>
  [label.replaceAll('-', '.'), label.replaceAll('-', ':')].find((text) => isIP(text) !== 0);

const soa = (minimum: number): DnsRecord => ({ type: 'SOA', name: domain, ttl: minimum, minimum });
const noName: Reply = { rcode: rcodes.noName, answers: [], authority: [soa(0)] };
const noData: Reply = { rcode: rcodes.ok, answers: [], authority: [soa(noDataTtl)] };
/** What may be different in a moment is not kept. */
const noDataNow: Reply = { rcode: rcodes.ok, answers: [], authority: [soa(0)] };

const familyOf = (address: string): 'A' | 'AAAA' => (isIP(address) === 6 ? 'AAAA' : 'A');

/** What a name asks for: a service or its leader, undefined when it is none of these. */
const meaning = (name: string): { service: string; leader: boolean } | undefined => {
  if (!name.endsWith(`.${domain}`)) return undefined;
  const labels = name.slice(0, -domain.length - 1).split('.');
  // `_NAME._tcp.NAME.flynn`: the name twice, as SRV is written.
  const service = labels[0]?.startsWith('_') && labels[1] === '_tcp' ? labels.slice(2) : labels;
  const leader = service[0] === 'leader' && service.length > 1;
  const rest = (leader ? service.slice(1) : service).join('.');
  return /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/.test(rest) ? { service: rest, leader } : undefined;
};

/** The reply to a question for one of our names. `rng` picks some of many. */
export const answerName = (source: NameSource, name: string, type: number, rng: Rng): Reply => {
  if (name !== domain && !name.endsWith(`.${domain}`)) return { rcode: rcodes.refused, answers: [] };
  // Whoever asks keeps what it has heard before, as long as we know nothing.
  if (!source.known) return { rcode: rcodes.failed, answers: [] };
  if (name === domain) return noData;
  const asked = meaning(name);
  if (!asked) return noName;
  const { leader, instances } = source.view(asked.service);
  const found = asked.leader ? (leader ? [leader] : []) : instances;
  if (found.length > 0) return answerFor(name, type, some(found, rng));
  const [label = '', ...rest] = asked.service.split('.');
  const address = rest.join('.') === 'addr' ? addressOf(label) : undefined;
  if (address && !asked.leader) return answerAddress(name, type, address);
  // `hello.flynn` has no instance, and `web.hello.flynn` does: the name is there.
  return source.names().some((other) => other.endsWith(`.${asked.service}`)) ? noDataNow : noName;
};

const answerFor = (name: string, type: number, found: readonly ServiceInstance[]): Reply => {
  const answers: DnsRecord[] = [];
  if (type === types.SRV) {
    for (const { address, port } of found) {
      answers.push({ type: 'SRV', name, ttl, port, target: addressName(address) });
    }
  }
  const addresses = [...new Set(found.map(({ address }) => address))];
  for (const address of addresses) {
    if (type === types[familyOf(address)]) answers.push({ type: familyOf(address), name, ttl, address });
  }
  if (answers.length === 0) return noData;
  const additional: DnsRecord[] = addresses.map((address) => ({
    ...{ type: familyOf(address), name: addressName(address), ttl: noDataTtl, address },
  }));
  return { rcode: rcodes.ok, answers, ...(type === types.SRV ? { additional } : {}) };
};

const answerAddress = (name: string, type: number, address: string): Reply => {
  const family = familyOf(address);
  if (type !== types[family]) return noData;
  return { rcode: rcodes.ok, answers: [{ type: family, name, ttl: noDataTtl, address }] };
};

/** All, or some of many; in another order each time. */
const some = <T>(all: readonly T[], rng: Rng): T[] => {
  const from = Math.floor(rng.next() * all.length);
  return [...all.slice(from), ...all.slice(0, from)].slice(0, maxRecords);
};

/** Lines of a hosts file for a service: what a resolver answers by itself, without asking anybody. */
export const hostsLines = (view: ServiceView): string[] => {
  const addresses = [...new Set(view.instances.map(({ address }) => address))].sort();
  return [
    ...addresses.map((address) => `${address} ${view.name}.${domain}`),
    ...(view.leader ? [`${view.leader.address} leader.${view.name}.${domain}`] : []),
  ];
};

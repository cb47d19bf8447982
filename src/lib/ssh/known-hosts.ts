// OpenSSH's known_hosts: reading its lines and finding the keys of a host. Pure.
import { createHmac, timingSafeEqual } from 'node:crypto';
import { matchesPatternList } from './patterns.js';
import type { HostKey } from './port.js';
import { bracketHost } from './target.js';

/** One usable line of a known_hosts file. */
export interface KnownHost {
  marker?: 'revoked' | 'cert-authority';
  /** The first field: a pattern list, or `|1|salt|hash`. */
  hosts: string;
  /** Key type, e.g. `ssh-ed25519`. */
  type: string;
  /** The key in base64. */
  blob: string;
  /** Where it stands, as `file:line`. */
  origin: string;
}

/** The entries of a file's text. Comments, empty and malformed lines are skipped, as OpenSSH does. */
export const parseKnownHosts = (text: string, file = 'known_hosts'): KnownHost[] =>
  text.split('\n').flatMap((raw, index) => {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) return [];
    const words = line.split(/[ \t]+/);
    const marker = words[0]?.startsWith('@') ? words.shift() : undefined;
    const [hosts, type, blob] = words;
    if (!hosts || !type || !blob || !/^[A-Za-z0-9+/]+=*$/.test(blob)) return [];
    const entry: KnownHost = { hosts, type, blob, origin: `${file}:${index + 1}` };
    if (marker === '@revoked') return [{ ...entry, marker: 'revoked' }];
    if (marker === '@cert-authority') return [{ ...entry, marker: 'cert-authority' }];
    return marker === undefined ? [entry] : [];
  });

/** The name under which known_hosts keeps a host: `host`, or `[host]:port` when the port is not 22; lower case. */
export const knownHostName = (host: string, port: number): string =>
  (port === 22 ? host : `[${host}]:${port}`).toLowerCase();

const matchesHash = (field: string, name: string): boolean => {
  const [, version, salt, hash] = field.split('|');
  if (version !== '1' || !salt || !hash) return false;
  const expected = Buffer.from(hash, 'base64');
  const actual = createHmac('sha1', Buffer.from(salt, 'base64')).update(name).digest();
  return expected.length === actual.length && timingSafeEqual(expected, actual);
};

/** True when the entry speaks about the host that known_hosts calls `name`. */
export const entryMatches = (entry: KnownHost, name: string): boolean =>
  entry.hosts.startsWith('|')
    ? matchesHash(entry.hosts, name)
    : matchesPatternList(entry.hosts.split(','), name);

/** The line to add to a known_hosts file so that it trusts `key` for `host` at `port`, without a newline. */
export const formatKnownHost = (host: string, port: number, key: HostKey): string =>
  `${knownHostName(host, port)} ${key.type} ${key.blob}`;

/** How an address is written in commands for people: `[::1]` needs brackets, names do not. */
export const keygenName = (host: string, port: number): string =>
  port === 22 ? host : `${bracketHost(host).startsWith('[') ? bracketHost(host) : `[${host}]`}:${port}`;

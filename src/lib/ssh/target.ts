// Targets as people write them: `[name=][user@]host[:port]`, and back to text.
import { FlynnError } from '../api/errors.js';
import type { SshTarget } from './port.js';

/** A target as written: what was left out is decided by ssh_config or by defaults. */
export interface TargetSpec {
  name?: string;
  user?: string;
  host: string;
  port?: number;
}

const bad = (text: string, why: string): FlynnError =>
  new FlynnError({
    code: 'usage',
    message: `'${text}' is not a host: ${why}`,
    hint: 'write [name=][user@]host[:port], e.g. node1=root@203.0.113.7 or root@[2001:db8::7]:2222',
  });

const NAME = /^[a-z0-9]+(-[a-z0-9]+)*$/;
const HOST = /^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9_])?$/;
const IPV6 = /^[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(%[A-Za-z0-9_.-]+)?$/;
// A user that began with a dash could be read as an option by tools the target is shown to.
const USER = /^[A-Za-z0-9_.][A-Za-z0-9_.@\\+-]*\$?$/;

/** Reads `[name=][user@]host[:port]`; an IPv6 address goes in brackets when a port follows. Throws `usage`. */
export const parseTarget = (text: string): TargetSpec => {
  const spec: TargetSpec = { host: '' };
  let rest = text.trim();
  const equals = rest.indexOf('=');
  if (equals >= 0) {
    spec.name = rest.slice(0, equals);
    if (!NAME.test(spec.name))
      throw bad(text, 'the name before = is lower-case letters, digits and single hyphens');
    rest = rest.slice(equals + 1);
  }
  const at = rest.lastIndexOf('@');
  if (at >= 0) {
    spec.user = rest.slice(0, at);
    if (!USER.test(spec.user)) throw bad(text, `'${spec.user}' is not a user name`);
    rest = rest.slice(at + 1);
  }
  const bracketed = /^\[([^\]]*)\](?::(.*))?$/.exec(rest);
  let port: string | undefined;
  if (bracketed) {
    spec.host = bracketed[1] ?? '';
    port = bracketed[2];
    if (!IPV6.test(spec.host)) throw bad(text, 'only an IPv6 address goes in brackets');
  } else if (IPV6.test(rest) && rest.indexOf(':') !== rest.lastIndexOf(':')) {
    spec.host = rest;
  } else {
    const colon = rest.lastIndexOf(':');
    spec.host = colon >= 0 ? rest.slice(0, colon) : rest;
    port = colon >= 0 ? rest.slice(colon + 1) : undefined;
    if (!HOST.test(spec.host))
      throw bad(text, spec.host ? `'${spec.host}' is no host name` : 'the host is empty');
  }
  if (port !== undefined) {
    const number = Number(port);
    if (!/^\d{1,5}$/.test(port) || number < 1 || number > 65_535)
      throw bad(text, `'${port}' is no port from 1 to 65535`);
    spec.port = number;
  }
  return spec;
};

/** `host`, or `[host]` for an IPv6 address. */
export const bracketHost = (host: string): string => (host.includes(':') ? `[${host}]` : host);

/** `host:port` for messages. */
export const hostPort = (target: { host: string; port: number }): string =>
  `${bracketHost(target.host)}:${target.port}`;

/** How messages name a target: `node1 (root@203.0.113.7:22)`, or without the name if it has none. */
export const describeTarget = (target: SshTarget): string => {
  const address = `${target.user}@${hostPort(target)}`;
  return target.name ? `${target.name} (${address})` : address;
};

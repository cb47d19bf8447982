// Whether a port of ours answers, asked where others reach it: at the addresses of this container or host, not at loopback.
import { connect } from 'node:net';
import { networkInterfaces, type NetworkInterfaceInfo } from 'node:os';
import { FlynnError } from '../../api/errors.js';
import type { At } from './args.js';

type Interfaces = Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>;

const loopback = '127.0.0.1';

/**
 * Addresses to ask, the likeliest first: those that were named, else every one that others can reach; loopback alone
 * where there is no other. Throws `not_found` for an interface that is not there. Pure but for its default.
 */
export const addressesToAsk = (at: At, interfaces: Interfaces = networkInterfaces()): string[] => {
  if (at.address !== undefined) return [at.address];
  if (at.iface !== undefined) {
    const own = (interfaces[at.iface] ?? []).filter(({ scopeid }) => !scopeid);
    if (own.length > 0) return own.map(({ address }) => address);
    const known = Object.keys(interfaces).join(', ');
    throw new FlynnError({ code: 'not_found', message: `there is no interface ${at.iface}: ${known}` });
  }
  const usable = Object.values(interfaces)
    .flatMap((list) => list ?? [])
    // Link-local addresses need their interface's name beside.
    .filter(({ internal, scopeid }) => !internal && !scopeid)
    .sort((a, b) => (a.family === b.family ? 0 : a.family === 'IPv4' ? -1 : 1));
  return usable.length > 0 ? usable.map(({ address }) => address) : [loopback];
};

/** Whether something accepts there within `timeoutMs`. */
const accepts = (host: string, port: number, timeoutMs: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect({ host, port });
    const done = (open: boolean): void => {
      socket.destroy();
      resolve(open);
    };
    socket.setTimeout(timeoutMs, () => done(false));
    socket.once('connect', () => done(true));
    socket.once('error', () => done(false));
  });

/** `yes`; `no`; or `loopback`: it answers, and nobody else can reach it. */
export const portAnswers = async (
  at: At,
  port: number,
  timeoutMs = 2_000,
): Promise<'yes' | 'no' | 'loopback'> => {
  const asked = await Promise.all(addressesToAsk(at).map((address) => accepts(address, port, timeoutMs)));
  if (asked.includes(true)) return 'yes';
  if (at.address !== undefined || at.iface !== undefined) return 'no';
  return (await accepts(loopback, port, timeoutMs)) ? 'loopback' : 'no';
};

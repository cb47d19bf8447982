// The operator's door: a socket that only root of this host can use, and from it the APIs of all agents and of Sampi.
import { chmod, mkdir, rm } from 'node:fs/promises';
import http, { type IncomingMessage, type Server } from 'node:http';
import { dirname } from 'node:path';
import type { Duplex } from 'node:stream';
import type { DoorInfo } from '../../api/door.js';
import { FlynnError } from '../../api/errors.js';
import { ports } from '../../api/grid.js';
import type { Identity } from '../../appliance/config.js';
import type { Log } from '../../util/log.js';
import type { Clock } from '../../util/clock.js';
import { answerJson, answerThrown, passOn, passUpgradeOn, refuseUpgrade } from './door-http.js';
import { dialUpstream, type Upstream } from './door-upstream.js';

/** What the door opens to. */
export interface DoorOptions {
  /** Path of the socket; its directory is made for root alone. */
  path: string;
  /** What `GET /` answers. */
  info(): Promise<DoorInfo>;
  /** Internal address of a host; undefined for one that nobody knows. */
  addressOf(host: string): string | undefined;
  /** Addresses of the copies of Sampi, the nearest first. */
  sampis(): readonly string[];
  /** What the other side is shown: the control plane's certificate on control hosts, elsewhere the host's own. */
  identity: Identity;
  clock: Clock;
  log: Log;
}

const routePattern = /^\/(?:hosts\/([^/?]+)|(sampi))(\/[^?]*)?(\?.*)?$/;

/** Where a request goes and what it asks there. Throws `not_found` for paths and hosts that are none. Pure. */
export const routeOf = (
  url: string,
  known: Pick<DoorOptions, 'addressOf' | 'sampis'>,
): Upstream & { path: string } => {
  const [, name, sampi, path = '/', query = ''] = routePattern.exec(url) ?? [];
  if (sampi !== undefined) {
    return { what: 'sampi', addresses: known.sampis(), port: ports.sampi, path: `${path}${query}` };
  }
  if (name === undefined) {
    throw new FlynnError({ code: 'not_found', message: `${url} is not part of this API` });
  }
  const address = known.addressOf(name);
  if (address === undefined) {
    throw new FlynnError({
      code: 'not_found',
      message: `the cluster has no host ${name.slice(0, 60)}`,
      hint: 'flynn hosts',
    });
  }
  return { what: `host ${name}`, addresses: [address], port: ports.agent, path: `${path}${query}` };
};

/** Listens at the socket; resolves once it is there. A socket that an earlier process left is replaced. */
export const openDoor = async (options: DoorOptions): Promise<Server> => {
  const { path, log, identity, clock } = options;
  const server = http.createServer({ headersTimeout: 30_000, requestTimeout: 0, keepAliveTimeout: 60_000 });
  const dial = async (request: IncomingMessage, signal: AbortSignal) => {
    const route = routeOf(request.url ?? '/', options);
    return { path: route.path, socket: await dialUpstream(route, { identity, clock, signal }) };
  };
  server.on('request', (request, response) => {
    const answered =
      request.url === '/' ? options.info().then((info) => answerJson(response, 200, info)) : undefined;
    (answered ?? passOn(dial, request, response)).catch((error: unknown) =>
      answerThrown(log, response, error),
    );
  });
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    // Until it is piped, an error of the socket has no other listener and would end the process.
    socket.on('error', () => socket.destroy());
    passUpgradeOn(dial, request, socket, head).catch((error: unknown) => refuseUpgrade(socket, error));
  });
  server.on('clientError', (_error, socket) => socket.destroy());
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await chmod(dirname(path), 0o700);
  await rm(path, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => {
      server.off('error', reject);
      resolve();
    });
  });
  return server;
};

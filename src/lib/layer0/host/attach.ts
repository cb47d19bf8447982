// `POST /v1/jobs/:id/attach` and `/exec` with `Upgrade: flynn`: who may, and the switch from HTTP to frames.
import { STATUS_CODES, type IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { FlynnError, httpStatus } from '../../api/errors.js';
import { JobId } from '../../api/names.js';
import { callerOf, codedError } from '../../appliance/server.js';
import { attachJob, type AttachAgent } from './attach-job.js';
import { AttachPeer } from './attach-peer.js';
import { execInJob } from './exec-job.js';
import { ExecQuery } from './shapes.js';

const upgradePath = /^\/v1\/jobs\/([^/?]+)\/(attach|exec)(?:\?(.*))?$/;

/** What a server calls with an upgraded connection. */
export type UpgradeHandler = (request: IncomingMessage, socket: Duplex, head: Buffer) => void;

/**
 * The handler of an agent's upgrades. `allow` is asked with the caller's certificate name; an abort of `stop` ends
 * every attach and leaves the jobs as they are.
 */
export const attachUpgrade =
  (agent: AttachAgent, allow: (name: string) => boolean, stop: AbortSignal): UpgradeHandler =>
  (request, socket, head) => {
    try {
      const { job, exec } = asked(request, allow);
      if (head.length > 0) socket.unshift(head);
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: flynn\r\n\r\n');
      const peer = new AttachPeer(socket, agent.deps.clock);
      void (exec ? execInJob(agent, job, exec, peer, stop) : attachJob(agent, job, peer, stop));
    } catch (error) {
      refuse(socket, codedError(error));
    }
  };

/** The job that the request names, and the command for it. Throws `forbidden`, `not_found` or `invalid`. */
const asked = (
  request: IncomingMessage,
  allow: (name: string) => boolean,
): { job: string; exec: ExecQuery | undefined } => {
  const { method, url = '/' } = request;
  const caller = callerOf(request);
  if (caller === undefined || !allow(caller)) {
    throw new FlynnError({
      code: 'forbidden',
      message: `${caller ?? 'an unknown caller'} may not attach to jobs`,
    });
  }
  const [, id, what, query = ''] = upgradePath.exec(url) ?? [];
  if (method !== 'POST' || id === undefined) {
    throw new FlynnError({ code: 'not_found', message: `${method ?? 'GET'} ${url} cannot be upgraded` });
  }
  if (request.headers.upgrade?.toLowerCase() !== 'flynn') {
    throw new FlynnError({
      code: 'invalid',
      message: `attach speaks flynn, not ${request.headers.upgrade ?? 'nothing'}`,
    });
  }
  return { job: JobId.parse(id), exec: what === 'exec' ? execQuery(query) : undefined };
};

const execQuery = (query: string): ExecQuery => {
  const params = new URLSearchParams(query);
  const one = (name: string): string | undefined => params.get(name) ?? undefined;
  return ExecQuery.parse({
    argv: params.getAll('argv'),
    env: params.getAll('env'),
    tty: one('tty'),
    user: one('user'),
    workdir: one('workdir'),
  });
};

const refuse = (socket: Duplex, error: FlynnError): void => {
  const status = httpStatus(error.code);
  const body = JSON.stringify(error.toBody());
  socket.on('error', () => socket.destroy());
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\ncontent-type: application/json\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
    () => socket.destroy(),
  );
};

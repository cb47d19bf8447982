// HTTP through the door: requests, streams and upgrades passed on as they are, failures as coded errors.
import http, { type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import { pipeline, type Duplex } from 'node:stream';
import { FlynnError, httpStatus } from '../../api/errors.js';
import { codedError } from '../../appliance/server.js';
import type { Log } from '../../util/log.js';

/** Finds and connects where a request goes. */
export type DialFor = (
  request: IncomingMessage,
  signal: AbortSignal,
) => Promise<{ path: string; socket: Duplex }>;

const hopByHop = new Set([
  ...['connection', 'keep-alive', 'proxy-authenticate', 'proxy-authorization', 'proxy-connection'],
  ...['te', 'trailer', 'transfer-encoding', 'upgrade'],
]);

const kept = (headers: IncomingHttpHeaders): http.OutgoingHttpHeaders =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => !hopByHop.has(name)));

const request = async (
  dial: DialFor,
  incoming: IncomingMessage,
  signal: AbortSignal,
  extra: http.OutgoingHttpHeaders,
): Promise<http.ClientRequest> => {
  const { path, socket } = await dial(incoming, signal);
  const up = http.request({
    createConnection: () => socket,
    method: incoming.method,
    path,
    headers: { ...kept(incoming.headers), host: 'door', connection: 'close', ...extra },
  });
  signal.addEventListener('abort', () => up.destroy(), { once: true });
  if (signal.aborted) up.destroy();
  return up;
};

/** Passes a request on and its answer back, neither read ahead of the other side. */
export const passOn = async (
  dial: DialFor,
  incoming: IncomingMessage,
  response: ServerResponse,
): Promise<void> => {
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  const up = await request(dial, incoming, gone.signal, {});
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    up.once('response', resolve);
    up.once('error', (error) => reject(lost(error)));
    pipeline(incoming, up, (error) => {
      if (error) up.destroy(error);
    });
  });
  response.writeHead(answer.statusCode ?? 502, kept(answer.headers));
  // Streams say something before their first line: that they are there.
  response.flushHeaders();
  pipeline(answer, response, (error) => {
    if (error) response.destroy();
  });
};

/** Passes an upgraded connection on; resolves when the two are joined, or the other side refused. */
export const passUpgradeOn = async (
  dial: DialFor,
  incoming: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): Promise<void> => {
  const gone = new AbortController();
  socket.once('close', () => gone.abort());
  const protocol = incoming.headers.upgrade;
  const up = await request(dial, incoming, gone.signal, { connection: 'Upgrade', upgrade: protocol });
  await new Promise<void>((resolve, reject) => {
    up.once('upgrade', (answer, peer: Duplex, peerHead: Buffer) => {
      const headers = { ...kept(answer.headers), connection: 'Upgrade', upgrade: protocol };
      socket.write(rawHead(101, 'Switching Protocols', headers));
      if (peerHead.length > 0) socket.write(peerHead);
      if (head.length > 0) peer.write(head);
      pipeline(peer, socket, () => peer.destroy());
      pipeline(socket, peer, () => socket.destroy());
      resolve();
    });
    up.once('response', (answer) => {
      const headers = { ...kept(answer.headers), connection: 'close' };
      socket.write(rawHead(answer.statusCode ?? 502, answer.statusMessage ?? '', headers));
      pipeline(answer, socket, () => resolve());
    });
    up.once('error', (error) => reject(lost(error)));
    up.end();
  });
};

const lost = (error: Error): FlynnError =>
  error instanceof FlynnError
    ? error
    : new FlynnError({
        code: 'unreachable',
        message: `the connection was lost in the middle of a request: ${error.message}`,
        hint: 'run the command again',
        cause: error,
      });

const rawHead = (status: number, message: string, headers: http.OutgoingHttpHeaders): string => {
  const lines = Object.entries(headers).flatMap(([name, value]) =>
    [value].flat().flatMap((each) => (each === undefined ? [] : [`${name}: ${String(each)}`])),
  );
  return `HTTP/1.1 ${status} ${message}\r\n${lines.join('\r\n')}\r\n\r\n`;
};

/** Answers with one JSON document. */
export const answerJson = (response: ServerResponse, status: number, body: unknown): void => {
  const text = JSON.stringify(body);
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
  });
  response.end(text);
};

/** Answers with whatever was thrown, coded; a stream that has begun is cut. */
export const answerThrown = (log: Log, response: ServerResponse, thrown: unknown): void => {
  if (response.destroyed) return;
  const error = codedError(thrown);
  if (error.code === 'internal') log.error({ err: String(thrown) }, 'a request at the door failed');
  if (response.headersSent) response.destroy();
  else answerJson(response, httpStatus(error.code), error.toBody());
};

/** Answers an upgrade that cannot be. */
export const refuseUpgrade = (socket: Duplex, thrown: unknown): void => {
  if (socket.destroyed) return;
  const error = codedError(thrown);
  const body = JSON.stringify(error.toBody());
  const headers = {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    connection: 'close',
  };
  socket.end(rawHead(httpStatus(error.code), error.code, headers) + body);
};

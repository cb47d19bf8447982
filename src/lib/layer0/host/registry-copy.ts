// One request to one copy of the registry over mTLS: bounded, and its failure is a value.
import type { ClientRequest, IncomingMessage, OutgoingHttpHeaders } from 'node:http';
import { Agent, request as httpsRequest } from 'node:https';
import { isIP } from 'node:net';
import type { Identity } from '../../appliance/config.js';
import type { Clock } from '../../util/clock.js';
import type { RequestLine } from './registry-route.js';

/** A request as it is put to a copy. */
export interface CopyRequest extends RequestLine {
  headers: OutgoingHttpHeaders;
  /** Streamed once the copy has finished its handshake; without it the request is ended at once. */
  body?: IncomingMessage;
  /** Gets every attempt as it begins: destroying it ends the attempt. */
  onAttempt: (attempt: ClientRequest) => void;
}

/** The copy's answer with its body unread, or why there is none and whether the body was begun upon. */
export type CopyOutcome = { answer: IncomingMessage } | { error: Error; bodyBegan: boolean };

/** Connections to the copies. */
export interface Copies {
  /** Rejects only when the request itself cannot be written. */
  ask(address: string, request: CopyRequest): Promise<CopyOutcome>;
  /** Cuts every connection. */
  close(): void;
}

/** What `openCopies` needs; times in ms. */
export interface CopiesOptions {
  identity: Identity;
  port: number;
  /** Bound of connecting and the handshake together. */
  handshakeMs: number;
  /** Bound of an answer's headers, for requests without a body: the end of an upload may take a copy long. */
  headersMs: number;
  /** A connection in use on which nothing moves for that long is closed. */
  idleMs: number;
  clock: Clock;
}

const keptMs = 30_000;
const keepAliveMs = 10_000;
const nothing = (): void => undefined;

/** Makes the connections' pool for one identity; nothing is opened before the first request. */
export const openCopies = (options: CopiesOptions): Copies => {
  const { ca, cert, key } = options.identity;
  const tls = { ca, cert, key, minVersion: 'TLSv1.3' as const };
  const kept = new Agent({ ...tls, keepAlive: true, maxFreeSockets: 16, timeout: keptMs });
  // A body must not begin on a connection that its copy may have closed already: uploads never share one.
  const fresh = new Agent({ ...tls, keepAlive: false });
  return {
    ask: async (address, request) => {
      if (request.body) return attempt(options, fresh, address, request);
      const outcome = await attempt(options, kept, address, request);
      // Closed while it was idle: this says nothing about the copy.
      if ('error' in outcome && outcome.stale) return attempt(options, fresh, address, request);
      return outcome;
    },
    close: () => {
      kept.destroy();
      fresh.destroy();
    },
  };
};

type Attempted = { answer: IncomingMessage } | { error: Error; bodyBegan: boolean; stale: boolean };

const attempt = (
  { port, handshakeMs, headersMs, idleMs, clock }: CopiesOptions,
  agent: Agent,
  address: string,
  { method, path, headers, body, onAttempt }: CopyRequest,
): Promise<Attempted> =>
  new Promise((resolve) => {
    // Without a server name of our own, the certificate would be checked against the client's Host header.
    const servername = isIP(address) ? '' : address;
    const request = httpsRequest({ agent, host: address, port, servername, method, path, headers });
    let bodyBegan = false;
    let late = false;
    const fail = (why: string): void => {
      late = true;
      request.destroy(new Error(why));
    };
    // A frozen host still accepts connections: only a finished handshake counts.
    const cancelHandshake = clock.after(handshakeMs, () => fail(`no handshake within ${handshakeMs} ms`));
    const cancelHeaders = body
      ? nothing
      : clock.after(headersMs, () => fail(`no answer within ${headersMs} ms`));
    const settle = (outcome: Attempted): void => {
      cancelHandshake();
      cancelHeaders();
      resolve(outcome);
    };
    const lost = (error: Error): void => {
      const stale = request.reusedSocket && !late;
      settle({ error, bodyBegan, stale });
    };
    request.once('socket', (socket) => {
      const ready = (): void => {
        cancelHandshake();
        socket.setKeepAlive(true, keepAliveMs);
        if (!body) return;
        bodyBegan = true;
        body.pipe(request);
      };
      if (request.reusedSocket) ready();
      else socket.once('secureConnect', ready);
    });
    request.once('response', (answer) => {
      // Whoever reads the body hears of its failure; until then an error must not end the process.
      answer.on('error', nothing);
      settle({ answer });
    });
    request.setTimeout(idleMs, () => fail(`nothing moved for ${idleMs} ms`));
    // Stays for the request's whole life: an error without a listener would end the process.
    request.on('error', lost);
    request.once('close', () => lost(new Error('closed without an answer')));
    onAttempt(request);
    if (!body) request.end();
  });

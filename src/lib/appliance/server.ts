// HTTP server of an appliance: mTLS with the cluster's own authority, coded errors as JSON, who called by certificate.
import { createAdaptorServer } from '@hono/node-server';
import type { Context, Hono } from 'hono';
import type { IncomingMessage, Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { TLSSocket } from 'node:tls';
import { ZodError } from 'zod';
import { FlynnError, httpStatus, isFlynnError, toFlynnError } from '../api/errors.js';
import type { Identity } from './config.js';
import type { Log } from './log.js';

/** Certificate name of the caller: `host-a`, `router`, `control`, `root`; undefined over plain HTTP. */
export function callerOf(incoming: IncomingMessage): string | undefined {
  const socket = incoming.socket as Partial<TLSSocket>;
  const name = socket.getPeerCertificate?.().subject?.CN as unknown;
  return typeof name === 'string' ? name : undefined;
}

/** The node request behind a hono context. */
export function incomingOf(c: Context): IncomingMessage {
  return (c.env as { incoming: IncomingMessage }).incoming;
}

/** Refuses callers whose certificate does not satisfy `allow`. */
export function requireCaller(c: Context, allow: (name: string) => boolean): void {
  const name = callerOf(incomingOf(c));
  if (name === undefined || !allow(name)) {
    throw new FlynnError({
      code: 'forbidden',
      message: `${name ?? 'an unknown caller'} may not call ${c.req.path}`,
    });
  }
}

/** Turns whatever a handler threw into the coded JSON body that every appliance answers with. */
export function answerError(app: Hono, log: Log): void {
  app.onError((thrown, c) => {
    const error = codedError(thrown);
    if (error.code === 'internal') log.error({ err: thrown, path: c.req.path }, 'request failed');
    return c.json(error.toBody(), httpStatus(error.code) as 400);
  });
  app.notFound((c) =>
    c.json(
      new FlynnError({
        code: 'not_found',
        message: `${c.req.method} ${c.req.path} is not part of this API`,
      }).toBody(),
      404,
    ),
  );
}

/** A body that does not fit its schema is the caller's mistake, named by field. */
export function codedError(thrown: unknown): FlynnError {
  if (isFlynnError(thrown)) return thrown;
  if (thrown instanceof ZodError) {
    const issue = thrown.issues[0];
    const where = issue && issue.path.length > 0 ? `${issue.path.join('.')}: ` : '';
    return new FlynnError({
      code: 'invalid',
      message: `${where}${issue?.message ?? 'invalid'}`,
      cause: thrown,
    });
  }
  if (thrown instanceof SyntaxError)
    return new FlynnError({ code: 'invalid', message: 'the body is not JSON', cause: thrown });
  return toFlynnError(thrown);
}

export interface ServeOptions {
  app: Hono;
  host?: string;
  port?: number;
  /** A Unix socket, instead of host and port. */
  path?: string;
  /** Absent: plain HTTP (loopback and health only). */
  identity?: Identity;
  /** Handles `Upgrade:` requests (attach); the handler owns the socket. */
  onUpgrade?: (request: IncomingMessage, socket: import('node:stream').Duplex, head: Buffer) => void;
}

/** Listens; resolves with the server once the port is open, rejects when it cannot be had. */
export function serve(options: ServeOptions): Promise<Server> {
  const server = createAdaptorServer({
    fetch: options.app.fetch,
    ...(options.identity
      ? {
          createServer: createTlsServer,
          serverOptions: {
            ca: options.identity.ca,
            cert: options.identity.cert,
            key: options.identity.key,
            requestCert: true,
            rejectUnauthorized: true,
            minVersion: 'TLSv1.3',
          },
        }
      : {}),
  }) as Server;
  if (options.onUpgrade) server.on('upgrade', options.onUpgrade);
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    // A port that is there and undefined would win over the path.
    const where = options.path ? { path: options.path } : { port: options.port, host: options.host };
    server.listen(where, () => {
      server.off('error', reject);
      resolve(server);
    });
  });
}

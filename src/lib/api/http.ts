// The one HTTP client: JSON calls and NDJSON streams over any agent (mTLS inside the grid, an SSH channel outside).
import http from 'node:http';
import https from 'node:https';
import type { Duplex, Readable } from 'node:stream';
import type { z } from 'zod';
import { errorFromBody, FlynnError } from './errors.js';

export interface HttpClientOptions {
  /** `https://10.0.0.1:1117` or `http://controller` when the agent decides where that is. */
  baseUrl: string;
  agent?: http.Agent;
  headers?: Record<string, string>;
  /** Deadline of a unary call, ms. */
  timeoutMs?: number;
}

export interface CallOptions {
  body?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal;
  timeoutMs?: number;
}

export type Method = 'GET' | 'POST' | 'PUT' | 'DELETE';

/** JSON over HTTP with coded errors; every call has a deadline. */
export class HttpClient {
  constructor(private readonly options: HttpClientOptions) {}

  /** One call; the answer is checked against `schema`. Throws the coded error of the answer, or `unreachable`, `timeout`. */
  async call<S extends z.ZodType>(
    method: Method,
    path: string,
    schema: S,
    options: CallOptions = {},
  ): Promise<z.infer<S>> {
    const response = await this.send(
      method,
      path,
      options,
      options.timeoutMs ?? this.options.timeoutMs ?? 10_000,
    );
    const text = await readAll(response);
    const body = parseJson(text);
    if ((response.statusCode ?? 500) >= 300) throw errorFromBody(body, response.statusCode ?? 500);
    return schema.parse(body);
  }

  /** A stream of JSON lines; ends when the server ends it. Blank lines are heartbeats. A line `{error}` throws its error. */
  async *stream<S extends z.ZodType>(
    method: Method,
    path: string,
    schema: S,
    options: CallOptions = {},
  ): AsyncGenerator<z.infer<S>> {
    const response = await this.send(method, path, options, options.timeoutMs ?? 0);
    if ((response.statusCode ?? 500) >= 300) {
      throw errorFromBody(parseJson(await readAll(response)), response.statusCode ?? 500);
    }
    for await (const line of jsonLines(response)) {
      if (typeof line === 'object' && line !== null && 'error' in line) throw errorFromBody(line.error, 500);
      yield schema.parse(line);
    }
  }

  /** The answer's body as it comes, for what is no JSON. There is no deadline once it has begun. Errors as `call`. */
  async download(path: string, options: CallOptions = {}): Promise<Readable> {
    const response = await this.send('GET', path, options, 0);
    const status = response.statusCode ?? 500;
    if (status >= 300) throw errorFromBody(parseJson(await readAll(response)), status);
    return response;
  }

  /** Sends a stream as the body, no faster than it is taken; there is no deadline. Errors as `call`. */
  async upload<S extends z.ZodType>(
    method: Method,
    path: string,
    schema: S,
    source: Readable,
    options: CallOptions = {},
  ): Promise<z.infer<S>> {
    const response = await new Promise<http.IncomingMessage>((resolve, reject) => {
      const request = this.open(method, path, options);
      // An answer before the end of the body is a refusal: the rest of it is not sent.
      request.once('response', (answer) => {
        source.unpipe(request);
        resolve(answer);
      });
      request.once('error', (error) => reject(this.lost(path, error)));
      source.once('error', (error) => request.destroy(error));
      source.pipe(request);
    });
    const body = parseJson(await readAll(response));
    if ((response.statusCode ?? 500) >= 300) throw errorFromBody(body, response.statusCode ?? 500);
    return schema.parse(body);
  }

  /** Upgrades to a raw two-way stream (`Upgrade: flynn`), for attach and run. */
  async upgrade(method: Method, path: string, options: CallOptions = {}): Promise<Duplex> {
    return new Promise((resolve, reject) => {
      const request = this.open(method, path, {
        ...options,
        headers: { ...options.headers, connection: 'Upgrade', upgrade: 'flynn' },
      });
      request.once('upgrade', (_response, socket: Duplex, head: Buffer) => {
        if (head.length > 0) socket.unshift(head);
        resolve(socket);
      });
      request.once('response', (response) => {
        readAll(response).then(
          (text) => reject(errorFromBody(parseJson(text), response.statusCode ?? 500)),
          reject,
        );
      });
      request.once('error', (error) => reject(this.lost(path, error)));
      request.end();
    });
  }

  private open(method: Method, path: string, options: CallOptions): http.ClientRequest {
    const url = new URL(path, this.options.baseUrl);
    const module = url.protocol === 'https:' ? https : http;
    return module.request(url, {
      method,
      ...(this.options.agent ? { agent: this.options.agent } : {}),
      headers: { ...this.options.headers, ...options.headers },
      ...(options.signal ? { signal: options.signal } : {}),
    });
  }

  private send(
    method: Method,
    path: string,
    options: CallOptions,
    timeoutMs: number,
  ): Promise<http.IncomingMessage> {
    return new Promise((resolve, reject) => {
      const text = options.body === undefined ? undefined : JSON.stringify(options.body);
      const headers: Record<string, string> =
        text === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(text)) };
      const request = this.open(method, path, { ...options, headers: { ...headers, ...options.headers } });
      // The deadline covers the body too: a frozen peer may send headers and then nothing.
      const timer =
        timeoutMs > 0
          ? setTimeout(() => request.destroy(new DeadlineError(timeoutMs)), timeoutMs)
          : undefined;
      request.once('close', () => clearTimeout(timer));
      request.once('response', (response) => {
        response.once('close', () => clearTimeout(timer));
        resolve(response);
      });
      request.once('error', (error) => reject(this.lost(path, error)));
      request.end(text);
    });
  }

  private lost(path: string, error: Error): Error {
    if (error instanceof FlynnError) return error;
    if (error.name === 'AbortError')
      return new FlynnError({ code: 'interrupted', message: `${path} was interrupted`, cause: error });
    if (error instanceof DeadlineError) {
      return new FlynnError({
        code: 'timeout',
        message: `${this.options.baseUrl}${path}: ${error.message}`,
        cause: error,
      });
    }
    return new FlynnError({
      code: 'unreachable',
      message: `${this.options.baseUrl} cannot be reached: ${error.message}`,
      cause: error,
    });
  }
}

class DeadlineError extends Error {
  constructor(ms: number) {
    super(`no answer within ${ms} ms`);
  }
}

function parseJson(text: string): unknown {
  if (text.trim() === '') return null;
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new FlynnError({
      code: 'internal',
      message: `the answer is not JSON: ${text.slice(0, 120)}`,
      cause,
    });
  }
}

async function readAll(stream: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

/** Parses a byte stream as JSON lines; characters that span chunks stay whole, blank lines are skipped. */
export async function* jsonLines(stream: AsyncIterable<Buffer>): AsyncGenerator<unknown> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of stream) {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let from = 0;
    for (let at = rest.indexOf(10, from); at >= 0; at = rest.indexOf(10, from)) {
      const line = rest.toString('utf8', from, at).trim();
      if (line !== '') yield parseJson(line);
      from = at + 1;
    }
    rest = rest.subarray(from);
  }
  const last = rest.toString('utf8').trim();
  if (last !== '') yield parseJson(last);
}

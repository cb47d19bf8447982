// How sdutil talks to discovery: plain HTTP to the endpoint of jobs, or the agent's socket on a host. No dependencies.
import { request, type ClientRequest, type IncomingMessage } from 'node:http';
import type { Registration, ServiceEvent, ServiceList, ServiceView } from '../../api/discovery.js';
import { errorFromBody, FlynnError } from '../../api/errors.js';

/** The agent's socket on a host; root alone may open it. */
export const hostSocket = '/var/lib/flynn/agent/discovery.sock';

/** Where discovery is. */
export interface Endpoint {
  url?: URL;
  token?: string;
  socketPath?: string;
}

/** The endpoint that the environment names: of a job its own, else the socket of the host. Throws `invalid`. */
export const endpointOf = (env: Readonly<Record<string, string | undefined>>): Endpoint => {
  const { FLYNN_DISCOVERY: url, FLYNN_TOKEN: token } = env;
  if (url === undefined || url === '') return { socketPath: env.FLYNN_DISCOVERY_SOCKET ?? hostSocket };
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed?.protocol !== 'http:') {
    throw new FlynnError({
      code: 'invalid',
      message: `FLYNN_DISCOVERY is '${url}', which is no http:// URL`,
    });
  }
  return { url: parsed, ...(token ? { token } : {}) };
};

/** One line of an answer at most; a service of ten thousand instances is a few MB. */
const maxAnswer = 16 * 1024 * 1024;

/** Discovery's client. Every call has a deadline; every failure is coded. */
export class DiscoveryClient {
  constructor(private readonly endpoint: Endpoint) {}

  /** Where it is, for people. */
  get where(): string {
    return this.endpoint.url?.origin ?? this.endpoint.socketPath ?? '';
  }

  register(name: string, port: number, signal?: AbortSignal): Promise<Registration> {
    return this.call('PUT', `/v1/services/${name}/registration`, { body: { port }, signal });
  }
  unregister(name: string, port: number, timeoutMs: number): Promise<unknown> {
    return this.call('DELETE', `/v1/services/${name}/registration/${port}`, { timeoutMs });
  }
  services(timeoutMs?: number): Promise<ServiceList> {
    return this.call('GET', '/v1/services', { timeoutMs });
  }
  service(name: string, timeoutMs?: number): Promise<ServiceView> {
    return this.call('GET', `/v1/services/${encodeURIComponent(name)}`, { timeoutMs });
  }

  /** Events of a service until the connection ends (then it returns or throws) or the signal is aborted. */
  async *watch(name: string, signal: AbortSignal): AsyncGenerator<ServiceEvent> {
    const response = await this.open('GET', `/v1/services/${encodeURIComponent(name)}/watch`, signal)
      .response;
    if (response.statusCode !== 200) throw await failure(response);
    let rest = '';
    response.setEncoding('utf8');
    // A blank line comes every five seconds: a host that is frozen says nothing at all.
    response.socket.setTimeout(15_000, () => response.destroy(new Error('nothing was heard for 15 s')));
    for await (const chunk of response as AsyncIterable<string>) {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      if (rest.length > maxAnswer) throw tooLarge();
      for (const line of lines.filter((text) => text !== '')) {
        const event = JSON.parse(line) as ServiceEvent & { error?: unknown };
        if (event.error !== undefined) throw errorFromBody(event.error, 500);
        yield event;
      }
    }
  }

  private async call<T>(
    method: string,
    path: string,
    options: { body?: object; timeoutMs?: number | undefined; signal?: AbortSignal | undefined },
  ): Promise<T> {
    const { body, timeoutMs = 3_000 } = options;
    const late = AbortSignal.timeout(timeoutMs);
    const signal = options.signal ? AbortSignal.any([options.signal, late]) : late;
    const { sent, response } = this.open(method, path, signal, body);
    try {
      const answer = await response;
      if (answer.statusCode !== 200) throw await failure(answer);
      return JSON.parse(await text(answer)) as T;
    } catch (cause) {
      if (cause instanceof FlynnError && cause.code !== 'interrupted') throw cause;
      if (late.aborted) {
        const message = `discovery at ${this.where} did not answer within ${timeoutMs} ms`;
        throw new FlynnError({ code: 'timeout', message, cause });
      }
      throw cause instanceof FlynnError ? cause : this.lost(cause);
    } finally {
      sent.destroy();
    }
  }

  private open(
    method: string,
    path: string,
    signal: AbortSignal,
    body?: object,
  ): { sent: ClientRequest; response: Promise<IncomingMessage> } {
    const { url, token, socketPath } = this.endpoint;
    const payload = body === undefined ? undefined : JSON.stringify(body);
    const sent = request({
      ...(url ? { host: url.hostname.replace(/^\[|\]$/g, ''), port: url.port || 80 } : { socketPath }),
      ...{ method, path, signal, agent: false },
      headers: {
        ...(token ? { authorization: `Bearer ${token}` } : {}),
        ...(payload === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) }),
      },
    });
    const response = new Promise<IncomingMessage>((resolve, reject) => {
      sent.once('response', resolve);
      sent.on('error', (error) => reject(this.lost(error)));
    });
    response.catch(() => undefined);
    sent.end(payload);
    return { sent, response };
  }

  private lost(cause: unknown): FlynnError {
    const error = cause instanceof Error ? (cause as NodeJS.ErrnoException) : undefined;
    if (error?.name === 'AbortError') {
      return new FlynnError({ code: 'interrupted', message: 'interrupted', cause });
    }
    const noJob = this.endpoint.socketPath && (error?.code === 'ENOENT' || error?.code === 'EACCES');
    return new FlynnError({
      code: 'unreachable',
      message: `discovery at ${this.where} cannot be reached: ${error?.code ?? error?.message ?? String(cause)}`,
      hint: noJob
        ? 'in a job: FLYNN_DISCOVERY must be set (discovery: true in its spec); on a host: as root, with its agent up'
        : 'sdutil check',
      cause,
    });
  }
}

const tooLarge = (): FlynnError => new FlynnError({ code: 'too_large', message: 'the answer has no end' });

const text = async (response: IncomingMessage): Promise<string> => {
  let all = '';
  response.setEncoding('utf8');
  for await (const chunk of response as AsyncIterable<string>) {
    all += chunk;
    if (all.length > maxAnswer) throw tooLarge();
  }
  return all;
};

const failure = async (response: IncomingMessage): Promise<FlynnError> => {
  const body = await text(response);
  try {
    return errorFromBody(JSON.parse(body), response.statusCode ?? 500);
  } catch {
    return errorFromBody(undefined, response.statusCode ?? 500);
  }
};

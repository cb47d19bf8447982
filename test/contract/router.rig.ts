// A router with real HAProxy on loopback ports, a store in memory, and app instances that can be started and ended.
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { Agent, createServer, request, type IncomingMessage, type Server as HttpServer } from 'node:http';
import { createServer as createTcpServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Consumer } from '../../src/lib/api/grid.js';
import { keys } from '../../src/lib/api/keys.js';
import { routerFiles, type RouterSettings } from '../../src/lib/layer1/router/config.js';
import { HaproxyProcess } from '../../src/lib/layer1/router/process.js';
import { followRoutes } from '../../src/lib/layer1/router/run.js';
import { systemClock } from '../../src/lib/util/clock.js';
import { silentLog, type Log } from '../../src/lib/util/log.js';
import { poll } from '../../src/lib/util/retry.js';
import { fakeEtcd, type FakeStore } from '../fakes/store.js';

/** A port of 127.0.0.1 that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createTcpServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** An instance of an app: answers with its job's id. */
export interface App {
  job: string;
  port: number;
  requests: number;
  server: HttpServer;
  sockets: Set<Socket>;
}

/** What a handler of an app may do instead of the plain answer. */
export type Handler = (
  request: IncomingMessage,
  app: App,
) => string | undefined | Promise<string | undefined>;

/** What the suspects are, in the test's hands. */
class FakeProber {
  readonly map = new Map<string, number>();
  private listeners: ((host: string, suspect: boolean) => void)[] = [];
  start = (): void => undefined;
  suspects = (): ReadonlyMap<string, number> => this.map;
  onChange = (listener: (host: string, suspect: boolean) => void): (() => void) => {
    this.listeners.push(listener);
    return () => undefined;
  };
  set(host: string, suspect: boolean): void {
    if (suspect) this.map.set(host, systemClock.mono());
    else this.map.delete(host);
    for (const listener of this.listeners) listener(host, suspect);
  }
}

export class RouterRig {
  readonly etcd = fakeEtcd();
  readonly store: FakeStore = this.etcd.client();
  readonly prober = new FakeProber();
  readonly apps = new Map<string, App>();
  readonly lines: { level: string; fields: object; message: string }[] = [];
  private stop: AbortController | undefined;
  private running: Promise<void> | undefined;

  private constructor(
    readonly settings: RouterSettings,
    readonly process: HaproxyProcess,
  ) {}

  static async make(): Promise<RouterRig> {
    const dir = await mkdtemp(join(tmpdir(), 'flynn-router-'));
    const settings: RouterSettings = {
      dir,
      httpAddress: '127.0.0.1',
      httpPort: await freePort(),
      monitorAddress: '127.0.0.1',
      monitorPort: await freePort(),
      maxconn: 2000,
      threads: 2,
    };
    return new RouterRig(settings, new HaproxyProcess({ dir, clock: systemClock, log: silentLog }));
  }

  /** Starts the syncer; `store` for one that is cut off. */
  start(store: FakeStore = this.store): void {
    this.stop = new AbortController();
    const write =
      (level: string) =>
      (fields: object, message: string): void =>
        void this.lines.push({ level, fields, message });
    const log: Log = {
      debug: write('debug'),
      info: write('info'),
      warn: write('warn'),
      error: write('error'),
    };
    const { settings, prober } = this;
    this.running = followRoutes(
      { store, settings, host: 'self', clock: systemClock, log, prober },
      this.stop.signal,
    );
  }

  /** Ends the syncer, not HAProxy. */
  async stopSyncer(): Promise<void> {
    this.stop?.abort();
    await this.running;
  }

  /** Ends everything that was started. */
  async end(): Promise<void> {
    await this.stopSyncer();
    const processes = await this.process.processes();
    if (processes) {
      process.kill(processes.master, 'SIGTERM');
      await this.until(async () => (await this.process.processes()) === undefined, 'end of HAProxy');
    }
    for (const app of this.apps.values()) this.endNow(app);
    await rm(this.settings.dir, { recursive: true, force: true });
  }

  async until(condition: () => boolean | Promise<boolean>, what: string, timeoutMs = 10_000): Promise<void> {
    await poll(systemClock, async () => ((await condition()) ? true : undefined), {
      timeoutMs,
      intervalMs: 5,
      what,
    });
  }

  /** Starts an app's process; it is not registered yet. */
  async app(job: string, handler: Handler = () => undefined, address = '127.0.0.1'): Promise<App> {
    const sockets = new Set<Socket>();
    const server = createServer({ keepAliveTimeout: 60_000 }, (incoming, response) => {
      app.requests += 1;
      incoming.resume();
      void Promise.resolve(handler(incoming, app)).then((text) => response.end(text ?? app.job));
    });
    server.on('connection', (socket) => {
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
      socket.on('error', () => undefined);
    });
    await new Promise<void>((resolve) => server.listen(0, address, resolve));
    const app: App = { job, port: (server.address() as AddressInfo).port, requests: 0, server, sockets };
    this.apps.set(job, app);
    return app;
  }

  endNow(app: App): void {
    app.server.close();
    for (const socket of app.sockets) socket.destroy();
    this.apps.delete(app.job);
  }

  async route(domain: string, service: string): Promise<void> {
    await this.store.put(keys.route(domain), JSON.stringify({ domain, app: 'hello', service, createdAt: 0 }));
  }

  /** Registers an instance; resolves with the revision. */
  async register(app: App, service: string, host = 'a'): Promise<number> {
    const value = JSON.stringify({ address: '127.0.0.1', port: app.port, since: 0 });
    return (await this.store.put(keys.instance(host, service, app.job), value)).revision;
  }

  consumer = async (): Promise<Consumer | undefined> => {
    const entry = await this.store.get(keys.consumer('*', 'self'));
    return entry && (JSON.parse(entry.value) as Consumer);
  };

  async applied(revision: number): Promise<void> {
    await this.until(async () => ((await this.consumer())?.applied ?? 0) >= revision, `applied ${revision}`);
  }

  /** Withdraws an instance and ends it as an agent does: only when the router has applied that and let go. */
  async withdraw(app: App, service: string, host = 'a'): Promise<void> {
    const { revision } = await this.store.delete(keys.instance(host, service, app.job));
    await this.until(async () => {
      const consumer = await this.consumer();
      return consumer !== undefined && consumer.applied >= revision && !consumer.draining[app.job];
    }, `drained ${app.job}`);
    this.endNow(app);
  }

  get(
    host: string,
    options: { agent?: Agent; path?: string; method?: string; headers?: object } = {},
  ): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const req = request(
        {
          host: '127.0.0.1',
          port: this.settings.httpPort,
          path: options.path ?? '/',
          method: options.method ?? 'GET',
          agent: options.agent ?? false,
          headers: { host, ...options.headers },
          timeout: 10_000,
        },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('error', reject);
          response.on('end', () =>
            resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString('utf8') }),
          );
        },
      );
      req.on('timeout', () => req.destroy(new Error('no answer in 10 s')));
      req.on('error', reject);
      req.end();
    });
  }

  /** Sends requests over kept connections until told to stop; `total` in all at most. */
  load(host: string, clients: number, total: number): Load {
    const agent = new Agent({ keepAlive: true, maxSockets: clients });
    const load: Load = { sent: 0, ok: 0, failed: [], stop: () => undefined, done: Promise.resolve() };
    let stopped = false;
    load.stop = () => void (stopped = true);
    const client = async (): Promise<void> => {
      while (!stopped && load.sent < total) {
        load.sent += 1;
        try {
          const answer = await this.get(host, { agent });
          if (answer.status === 200) load.ok += 1;
          else load.failed.push(`${answer.status} ${answer.body}`);
        } catch (error) {
          load.failed.push(String(error));
        }
      }
    };
    load.done = Promise.all(Array.from({ length: clients }, client)).then(() => agent.destroy());
    return load;
  }

  config = (): Promise<string> => readFile(routerFiles(this.settings.dir).config, 'utf8');
}

export interface Answer {
  status: number;
  body: string;
}

export interface Load {
  sent: number;
  ok: number;
  failed: string[];
  stop: () => void;
  done: Promise<void>;
}

// A controller in memory behind a real HTTP port: it keeps apps, jobs, deployments, routes and keys, and streams changes.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { EventEmitter } from 'node:events';
import type {
  App,
  AppState,
  Deployment,
  Event,
  GridStatus,
  JobLine,
  Release,
  Route,
  SshKey,
} from '../../src/lib/api/app.js';
import { FlynnError, httpStatus, toFlynnError, type ErrorCode } from '../../src/lib/api/errors.js';

interface FakeApp {
  app: App;
  formation: Record<string, number>;
  jobs: JobLine[];
  releases: (Omit<Release, 'sealedEnv' | 'sealedKey'> & { env: Record<string, string> })[];
  deployments: Deployment[];
  problem?: string;
}

type Handler = (request: Request) => unknown;

interface Request {
  parts: string[];
  query: URLSearchParams;
  body: Record<string, unknown>;
  headers: IncomingMessage['headers'];
  response: ServerResponse;
}

/** Time a job takes from one state to the next, ms. */
const stepMs = 20;

/** A stateful controller. `handle` serves one request; `listen` puts it behind a port of its own. */
export class FakeController extends EventEmitter {
  readonly apps = new Map<string, FakeApp>();
  readonly keys = new Map<string, SshKey>();
  routes: Route[] = [];
  events: Event[] = [];
  /** Jobs stay where they are: nothing ever comes up. */
  stuck = false;
  /** The next deployments fail with this reason and tail. */
  failDeploys: { reason: string; tail: string[] } | undefined;
  /** Every request answers with this error. */
  broken: { code: ErrorCode; message: string } | undefined;
  /** Open watches are cut, once each, after their first state. */
  cutWatches = 0;
  /** Headers of the requests so far. */
  readonly seen: IncomingMessage['headers'][] = [];
  healthy = true;
  private server: Server | undefined;
  private counter = 0;
  private readonly timers = new Set<NodeJS.Timeout>();

  /** Listens on loopback; resolves with the base URL. */
  async listen(): Promise<string> {
    const server = createServer((request, response) => this.handle(request, response));
    this.server = server;
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    return `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`;
  }

  /** Ends everything. */
  async close(): Promise<void> {
    for (const timer of this.timers) clearTimeout(timer);
    this.emit('end');
    const { server } = this;
    if (!server) return;
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }

  /** Makes an app with a release, as tests start from. */
  seed(name: string, formation: Record<string, number> = {}, version = 1): FakeApp {
    const entry: FakeApp = {
      app: {
        name,
        id: `id-${name}`,
        createdAt: Date.now() - 60_000,
        release: version,
        lastRelease: version,
        strategy: 'all-at-once',
        deployTimeoutMs: 120_000,
      },
      formation,
      jobs: [],
      releases: [],
      deployments: [],
    };
    this.apps.set(name, entry);
    this.addRelease(entry, 'hello:1', 'deploy --image hello:1', {});
    entry.app.lastRelease = version;
    for (const [type, count] of Object.entries(formation)) {
      for (let n = 0; n < count; n++) entry.jobs.push(this.job(type, version, 'serving'));
    }
    this.rename(entry);
    return entry;
  }

  /** Serves one request; also for a server of the test's own. */
  handle(request: IncomingMessage, response: ServerResponse): void {
    this.seen.push(request.headers);
    this.route(request, response).catch((thrown: unknown) => {
      const error = toFlynnError(thrown);
      response.writeHead(httpStatus(error.code), { 'content-type': 'application/json' });
      response.end(JSON.stringify(error.toBody()));
    });
  }

  private async route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://fake');
    const parts = url.pathname.split('/').slice(2).map(decodeURIComponent);
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString();
    const body = text === '' ? {} : (JSON.parse(text) as Record<string, unknown>);
    if (this.broken) throw new FlynnError(this.broken);
    const handler = this.find(request.method ?? 'GET', parts);
    const answer = await handler({
      parts,
      query: url.searchParams,
      body,
      headers: request.headers,
      response,
    });
    if (answer === undefined) return; // it streams
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify(answer));
  }

  private find(method: string, parts: string[]): Handler {
    const shape = `${method} ${parts.map((part, at) => ((parts[0] === 'apps' && (at === 1 || at === 3)) || (parts[0] === 'keys' && at === 1) ? '*' : part)).join('/')}`;
    const table: Record<string, Handler> = {
      'GET status': () => this.status(),
      'GET whoami': ({ headers }) => ({
        fingerprint: String(headers['x-flynn-key']),
        name: String(headers['x-flynn-name']),
        role: String(headers['x-flynn-role']),
        apps: [],
      }),
      'GET apps': () => ({ apps: [...this.apps.values()].map((each) => each.app) }),
      'POST apps': (request) => this.create(request),
      'GET apps/*': ({ parts }) => this.state(this.need(parts[1])),
      'DELETE apps/*': ({ parts }) => this.destroy(this.need(parts[1])),
      'GET apps/*/watch': ({ parts, response }) => this.watch(this.need(parts[1]), response),
      'POST apps/*/scale': ({ parts, body }) =>
        this.scale(this.need(parts[1]), body.processes as Record<string, number>),
      'POST apps/*/deploy': ({ parts, body }) => this.deploy(this.need(parts[1]), String(body.image)),
      'POST apps/*/rollback': ({ parts, body }) =>
        this.rollback(this.need(parts[1]), body.version as number | undefined),
      'GET apps/*/releases': ({ parts }) => {
        const { app, releases } = this.need(parts[1]);
        return { releases: releases.map(({ env: _env, ...open }) => open), current: app.release };
      },
      'GET apps/*/env': ({ parts }) => ({ env: this.envOf(this.need(parts[1])) }),
      'POST apps/*/env': ({ parts, body }) => this.changeEnv(this.need(parts[1]), body),
      'GET apps/*/deployments/*': ({ parts }) => {
        const found = this.need(parts[1]).deployments.find((each) => each.id === parts[3]);
        if (!found) throw new FlynnError({ code: 'not_found', message: `no deployment ${parts[3]}` });
        return found;
      },
      'GET apps/*/logs': ({ parts, query, response }) => this.logs(this.need(parts[1]), query, response),
      'GET routes': ({ query }) => ({
        routes: this.routes.filter((route) => !query.get('app') || route.app === query.get('app')),
      }),
      'POST apps/*/routes': ({ parts, body }) =>
        this.addRoute(this.need(parts[1]), String(body.domain), String(body.process)),
      'DELETE apps/*/routes/*': ({ parts }) => this.removeRoute(this.need(parts[1]), String(parts[3])),
      'GET keys': () => ({ keys: [...this.keys.values()] }),
      'POST keys': ({ body }) => this.addKey(body),
      'DELETE keys/*': ({ parts }) => {
        if (!this.keys.delete(String(parts[1])))
          throw new FlynnError({ code: 'not_found', message: `no key ${parts[1]}` });
        return {};
      },
      'GET events': ({ query, response }) => this.streamEvents(query, response),
    };
    const handler = table[shape];
    if (!handler) throw new FlynnError({ code: 'not_found', message: `${shape} is not part of this API` });
    return handler;
  }

  private need(name: string | undefined): FakeApp {
    const found = this.apps.get(name ?? '');
    if (!found)
      throw new FlynnError({ code: 'not_found', message: `there is no app ${name}`, hint: 'flynn apps' });
    return found;
  }

  private create({ body }: Request): unknown {
    const name = typeof body.name === 'string' ? body.name : `app-${++this.counter}`;
    const existing = this.apps.get(name);
    if (existing && body.ifMissing !== true) {
      throw new FlynnError({ code: 'exists', message: `there is an app ${name} already` });
    }
    const app: App = {
      name,
      id: `id-${name}`,
      createdAt: Date.now(),
      lastRelease: 0,
      strategy: 'all-at-once',
      deployTimeoutMs: 120_000,
    };
    if (!existing) this.apps.set(name, { app, formation: {}, jobs: [], releases: [], deployments: [] });
    return { app: existing?.app ?? app, created: !existing, domain: `${name}.example.test` };
  }

  private destroy({ app }: FakeApp): unknown {
    this.apps.delete(app.name);
    this.routes = this.routes.filter((route) => route.app !== app.name);
    return { destroyed: true };
  }

  /** An app as a watcher sees it. */
  state(entry: FakeApp): AppState {
    const running = entry.deployments.find((each) => each.state === 'running');
    const wanted = Object.values(entry.formation).reduce((sum, count) => sum + count, 0);
    return {
      app: entry.app,
      formation: entry.formation,
      jobs: entry.jobs,
      ...(running ? { deployment: running } : {}),
      settled: true,
      converged:
        !running && entry.jobs.length === wanted && entry.jobs.every((job) => job.state === 'serving'),
      ...(entry.problem ? { problem: entry.problem } : {}),
    };
  }

  private watch(entry: FakeApp, response: ServerResponse): undefined {
    response.writeHead(200, { 'content-type': 'application/x-ndjson' });
    const send = (): void => void response.write(`${JSON.stringify(this.state(entry))}\n`);
    const end = (): void => void response.end();
    send();
    if (this.cutWatches > 0) {
      this.cutWatches -= 1;
      setTimeout(() => response.destroy(), 2);
      return undefined;
    }
    this.on('change', send);
    this.on('end', end);
    response.on('close', () => {
      this.off('change', send);
      this.off('end', end);
    });
    return undefined;
  }

  private scale(entry: FakeApp, processes: Record<string, number>): unknown {
    const types = Object.keys(entry.releases.at(-1)?.processes ?? {});
    for (const type of Object.keys(processes)) {
      if (types.includes(type)) continue;
      throw new FlynnError({
        code: 'invalid',
        message: `${entry.app.name} has no process type ${type}: it has ${types.join(', ')}`,
      });
    }
    const before = entry.formation;
    entry.formation = { ...before, ...processes };
    const changed = JSON.stringify(before) !== JSON.stringify(entry.formation);
    if (changed) this.later(() => this.converge(entry, entry.app.release ?? 1));
    return { before, after: entry.formation, changed };
  }

  private converge(entry: FakeApp, version: number, done?: () => void): void {
    if (this.stuck) return;
    for (const [type, count] of Object.entries(entry.formation)) {
      const now = entry.jobs.filter((job) => job.type === type && job.release === version);
      for (let n = now.length; n < count; n++) entry.jobs.push(this.job(type, version, 'starting'));
    }
    this.rename(entry);
    this.emit('change');
    this.later(() => {
      entry.jobs = entry.jobs.filter((job) => {
        if (job.release !== version) return false;
        const same = entry.jobs.filter((other) => other.type === job.type && other.release === version);
        return same.indexOf(job) < (entry.formation[job.type] ?? 0);
      });
      entry.jobs = entry.jobs.map((job) => ({ ...job, state: 'serving' }));
      this.rename(entry);
      done?.();
      this.emit('change');
    });
  }

  private later(work: () => void): void {
    const timer = setTimeout(() => {
      this.timers.delete(timer);
      work();
    }, stepMs);
    this.timers.add(timer);
  }

  private job(type: string, release: number, state: JobLine['state']): JobLine {
    const id = `host-a-${String(++this.counter).padStart(26, '0')}`;
    return { id, name: type, type, release, host: 'host-a', state, since: Date.now(), starts: 1 };
  }

  private rename(entry: FakeApp): void {
    const counts: Record<string, number> = {};
    entry.jobs = entry.jobs.map((job) => {
      const n = (counts[job.type] = (counts[job.type] ?? 0) + 1);
      return { ...job, name: `${job.type}.${n}` };
    });
  }

  private addRelease(entry: FakeApp, image: string, why: string, env: Record<string, string>): number {
    const version = entry.releases.length === 0 ? entry.app.lastRelease || 1 : entry.app.lastRelease + 1;
    entry.app.lastRelease = version;
    entry.releases.push({
      app: entry.app.name,
      version,
      image,
      processes: { web: {}, worker: { port: 0 } },
      envKeys: Object.keys(env),
      createdAt: Date.now(),
      by: 'tester',
      why,
      env,
    });
    return version;
  }

  private envOf(entry: FakeApp): Record<string, string> {
    return entry.releases.find((each) => each.version === entry.app.release)?.env ?? {};
  }

  private start(entry: FakeApp, to: number): Deployment {
    const deployment: Deployment = {
      id: `d${++this.counter}`,
      app: entry.app.name,
      ...(entry.app.release === undefined ? {} : { from: entry.app.release }),
      to,
      strategy: 'all-at-once',
      state: 'running',
      startedAt: Date.now(),
      timeoutMs: 120_000,
      failedStarts: 0,
      by: 'tester',
    };
    entry.deployments.push(deployment);
    const answer = { ...deployment };
    if (Object.keys(entry.formation).length === 0) entry.formation = { web: 1 };
    this.later(() => {
      if (this.failDeploys) {
        Object.assign(deployment, { state: 'failed', finishedAt: Date.now(), ...this.failDeploys });
        this.emit('change');
      } else {
        this.converge(entry, to, () => {
          deployment.state = 'complete';
          entry.app.release = to;
        });
      }
    });
    return answer;
  }

  private deploy(entry: FakeApp, image: string): unknown {
    const current = entry.releases.find((each) => each.version === entry.app.release);
    if (current?.image === image) return { release: current.version, changed: false };
    const to = this.addRelease(entry, image, `deploy --image ${image}`, this.envOf(entry));
    return { release: to, changed: true, deployment: this.start(entry, to) };
  }

  private rollback(entry: FakeApp, wanted: number | undefined): unknown {
    const version = wanted ?? (entry.app.release ?? 1) - 1;
    if (!entry.releases.some((each) => each.version === version)) {
      throw new FlynnError({ code: 'not_found', message: `${entry.app.name} has no release v${version}` });
    }
    return { release: version, changed: true, deployment: this.start(entry, version) };
  }

  private changeEnv(entry: FakeApp, body: Record<string, unknown>): unknown {
    const before = this.envOf(entry);
    const env = { ...before, ...(body.set as Record<string, string> | undefined) };
    for (const key of (body.unset as string[] | undefined) ?? []) delete env[key];
    if (JSON.stringify(env) === JSON.stringify(before))
      return { release: entry.app.release ?? 0, changed: false, env };
    const to = this.addRelease(entry, entry.releases.at(-1)?.image ?? 'x', 'env', env);
    return { release: to, changed: true, deployment: this.start(entry, to), env };
  }

  private logs(entry: FakeApp, query: URLSearchParams, response: ServerResponse): undefined {
    response.writeHead(200, { 'content-type': 'application/x-ndjson' });
    const count = Number(query.get('lines') ?? 100);
    const all = ['one', 'two', 'three'].map((line, at) => ({
      job: 'host-a-1',
      name: `${query.get('type') ?? 'web'}.1`,
      stream: at === 1 ? 'stderr' : 'stdout',
      at: '2026-01-01T00:00:00.000Z',
      line,
    }));
    for (const line of all.slice(-count)) response.write(`${JSON.stringify(line)}\n`);
    if (query.get('follow') === '1') this.once('end', () => response.end());
    else response.end();
    return undefined;
  }

  private streamEvents(query: URLSearchParams, response: ServerResponse): undefined {
    response.writeHead(200, { 'content-type': 'application/x-ndjson' });
    const app = query.get('app');
    for (const event of this.events) {
      if (!app || event.app === app) response.write(`${JSON.stringify(event)}\n`);
    }
    response.end();
    return undefined;
  }

  private addRoute(entry: FakeApp, domain: string, type: string): unknown {
    const taken = this.routes.find((route) => route.domain === domain);
    if (taken && taken.app !== entry.app.name) {
      throw new FlynnError({ code: 'conflict', message: `${domain} leads to ${taken.app}` });
    }
    const route: Route = {
      domain,
      app: entry.app.name,
      service: `${type}.${entry.app.name}`,
      createdAt: 1,
      auto: false,
    };
    if (!taken) this.routes.push(route);
    return route;
  }

  private removeRoute(entry: FakeApp, domain: string): unknown {
    const before = this.routes.length;
    this.routes = this.routes.filter((route) => route.domain !== domain || route.app !== entry.app.name);
    if (this.routes.length === before)
      throw new FlynnError({ code: 'not_found', message: `no route ${domain}` });
    return {};
  }

  private addKey(body: Record<string, unknown>): SshKey {
    const [type = '', blob = '', comment = 'key'] = String(body.publicKey).split(' ');
    const key: SshKey = {
      fingerprint: `SHA256:${blob.slice(-10)}`,
      type,
      blob,
      name: String(body.name ?? comment),
      role: body.role as SshKey['role'],
      apps: body.apps as string[],
      createdAt: Date.now(),
    };
    this.keys.set(key.fingerprint, key);
    return key;
  }

  /** What `cluster status` shows. */
  status(): GridStatus {
    return {
      cluster: 'test',
      domain: 'example.test',
      revision: 7,
      leader: 'host-a',
      etcd: { members: 1, healthy: this.healthy, dbSizeBytes: 1, alarms: [] },
      hosts: [
        {
          name: 'host-a',
          address: '10.0.0.1',
          roles: ['control', 'etcd'],
          alive: true,
          cordoned: false,
          capacity: { m: 4096, c: 2000 },
          used: { m: 1024, c: 500 },
          jobs: [...this.apps.values()].flatMap((entry) =>
            entry.jobs.map((job) => ({
              id: job.id,
              name: job.name,
              owner: `app/${entry.app.name}/${job.release}/${job.type}`,
              state: job.state,
              ...(job.reason ? { reason: job.reason } : {}),
            })),
          ),
        },
      ],
    };
  }
}

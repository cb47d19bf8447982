// A grid of the tests: fake etcd, Sampi's real transaction function, fake hosts, and copies of the real controller.
import type { z } from 'zod';
import { AppState, type JobLine } from '../../../src/lib/api/app.js';
import { FlynnError } from '../../../src/lib/api/errors.js';
import { keys } from '../../../src/lib/api/keys.js';
import { silentLog } from '../../../src/lib/appliance/log.js';
import { putTemplate, transact } from '../../../src/lib/layer0/index.js';
import { createController, type Controller } from '../../../src/lib/layer1/controller/controller.js';
import type { JobLogs } from '../../../src/lib/layer1/controller/logs.js';
import { seededRng } from '../../../src/lib/util/rng.js';
import { fakeClock, type FakeClock } from '../../fakes/clock.js';
import { fakeEtcd, type FakeEtcd, type FakeStore } from '../../fakes/store.js';
import { FakeHost } from './agent.js';

/** Who asks, in a test. */
export interface Asker {
  role?: string;
  apps?: string;
  name?: string;
}

/** An answer with its status and parsed body. */
export interface Answer {
  status: number;
  body: Record<string, unknown>;
}

/** One copy of the controller with its own client of the store. */
export interface Copy extends Controller {
  store: FakeStore;
  end: AbortController;
}

/** The grid. Everything runs on its clock. */
export class Grid {
  readonly clock: FakeClock = fakeClock();
  readonly etcd: FakeEtcd = fakeEtcd(this.clock);
  readonly store: FakeStore = this.etcd.client();
  readonly suspects = new Map<string, number>();
  readonly hosts = new Map<string, FakeHost>();
  readonly copies: Copy[] = [];
  readonly clusterKey = Buffer.alloc(32, 7);
  /** Transactions that went to Sampi. */
  readonly transactions: string[] = [];
  sampiFaults = 0;
  jobLogs: JobLogs = async function* () {
    // No agent, no lines.
  };

  async start(names: readonly string[], capacity?: { m: number; c: number }, copies = 1): Promise<this> {
    const cluster = {
      id: 'c1',
      name: 'test',
      domain: 'example.com',
      createdAt: 1,
      gatewayFingerprint: 'SHA256:x',
      images: {},
    };
    await this.store.put(keys.cluster, JSON.stringify(cluster));
    for (const name of names) await this.addHost(name, capacity);
    for (let i = 0; i < copies; i++) this.addCopy(`control${i}`);
    await this.clock.advance(1_000);
    return this;
  }

  async addHost(name: string, capacity?: { m: number; c: number }): Promise<FakeHost> {
    const host = await new FakeHost(name, this.etcd.client(), this.clock, this.suspects).join(capacity);
    this.hosts.set(name, host);
    return host;
  }

  host(name: string): FakeHost {
    const host = this.hosts.get(name);
    if (!host) throw new Error(`no host ${name}`);
    return host;
  }

  addCopy(host: string): Copy {
    const end = new AbortController();
    const store = this.etcd.client();
    const rng = seededRng(this.copies.length + 11);
    const copy = createController({
      host,
      store,
      sampi: {
        transact: async (request) => {
          this.transactions.push(request.id);
          const answer = await transact(store, request, { clock: this.clock, rng });
          if (this.sampiFaults > 0) {
            this.sampiFaults -= 1;
            throw new FlynnError({ code: 'timeout', message: 'the answer was lost' });
          }
          return answer;
        },
        putTemplate: (input) => putTemplate(store, input),
      },
      jobLogs: () => (job, options) => this.jobLogs(job, options),
      clusterKey: this.clusterKey,
      clock: this.clock,
      rng,
      log: silentLog,
      checkCaller: () => undefined,
      signal: end.signal,
    });
    copy.ready.catch(() => undefined);
    const full = { ...copy, store, end };
    this.copies.push(full);
    return full;
  }

  /** Waits for a promise while time goes on, 20 s of the clock's time at most. */
  async during<T>(promise: Promise<T>): Promise<T> {
    let over = false;
    const marked = promise.finally(() => (over = true));
    marked.catch(() => undefined);
    await this.clock.advanceUntil(() => over, 20_000, 10);
    return marked;
  }

  /** One request to a copy, as an admin unless told otherwise. */
  async ask(method: string, path: string, body?: unknown, who: Asker = {}, copy = 0): Promise<Answer> {
    const target = this.copies[copy];
    if (!target) throw new Error(`no copy ${copy}`);
    const response = await this.during(
      Promise.resolve(
        target.api.request(path, {
          method,
          headers: headersOf(who),
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        }),
      ),
    );
    const text = await response.text();
    return { status: response.status, body: JSON.parse(text) as Record<string, unknown> };
  }

  /** A request that must succeed; its body. */
  async must(method: string, path: string, body?: unknown, who?: Asker): Promise<Record<string, unknown>> {
    const answer = await this.ask(method, path, body, who);
    if (answer.status >= 300)
      throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  }

  async state(app: string, copy = 0): Promise<z.infer<typeof AppState>> {
    const { body } = await this.ask('GET', `/v1/apps/${app}`, undefined, {}, copy);
    return AppState.parse(body);
  }

  /** Advances until the app's state fulfils the condition. */
  async until(
    app: string,
    condition: (state: z.infer<typeof AppState>) => boolean,
    maxMs = 30_000,
  ): Promise<z.infer<typeof AppState>> {
    const from = this.clock.mono();
    for (;;) {
      const state = await this.state(app);
      if (condition(state)) return state;
      if (this.clock.mono() - from > maxMs)
        throw new Error(`not within ${maxMs} ms: ${JSON.stringify(state, undefined, 1)}`);
      await this.clock.advance(100);
    }
  }

  /** Creates an app, deploys an image, scales it and waits until all of it serves. */
  async runApp(name: string, web: number, image = `${name}:1`): Promise<z.infer<typeof AppState>> {
    await this.must('POST', '/v1/apps', { name });
    await this.must('POST', `/v1/apps/${name}/deploy`, { image });
    await this.until(name, ({ converged }) => converged);
    await this.must('POST', `/v1/apps/${name}/scale`, { processes: { web } });
    return this.until(name, ({ converged }) => converged);
  }

  /** Changes an app's record, as an operator of the store could. */
  async patchApp(app: string, change: Record<string, unknown>): Promise<void> {
    const entry = await this.store.get(keys.app(app));
    await this.store.put(keys.app(app), JSON.stringify({ ...JSON.parse(entry?.value ?? ''), ...change }));
    await this.clock.advance(100);
  }

  /** Names of hosts with the number of jobs that run there and are wanted. */
  spread(lines: readonly JobLine[]): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const { host, state } of lines) {
      if (state !== 'lost' && state !== 'stopping' && state !== 'failed')
        counts[host] = (counts[host] ?? 0) + 1;
    }
    return counts;
  }

  async stop(): Promise<void> {
    for (const copy of this.copies) copy.end.abort(new Error('test over'));
    await this.clock.advance(100);
  }
}

export function headersOf({ role = 'admin', apps = '', name = 'ann' }: Asker): Record<string, string> {
  return {
    'x-flynn-key': 'SHA256:test',
    'x-flynn-role': role,
    'x-flynn-apps': apps,
    'x-flynn-name': name,
    'content-type': 'application/json',
  };
}

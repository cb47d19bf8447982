// A grid in real time behind real HTTP ports: the controller's own server, and agents that jobs can be attached to.
import http, { type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { decodeFrames, frame, writeFrame, type Frame } from '../../../src/lib/api/attach.js';
import { FlynnError, httpStatus } from '../../../src/lib/api/errors.js';
import { HttpClient } from '../../../src/lib/api/http.js';
import type { Claim, JobTemplate } from '../../../src/lib/api/job.js';
import { keys } from '../../../src/lib/api/keys.js';
import { silentLog } from '../../../src/lib/appliance/log.js';
import { serve } from '../../../src/lib/appliance/server.js';
import { putTemplate, transact } from '../../../src/lib/layer0/index.js';
import { createController, type Controller } from '../../../src/lib/layer1/controller/controller.js';
import { systemClock } from '../../../src/lib/util/clock.js';
import { poll } from '../../../src/lib/util/retry.js';
import { cryptoRng } from '../../../src/lib/util/rng.js';
import { FakeRegistry } from '../../fakes/registry.js';
import { fakeEtcd, type FakeStore } from '../../fakes/store.js';
import { FakeHost } from './agent.js';
import { headersOf, type Asker } from './grid.js';

/** What a job does with its attach. */
export type JobBody = (socket: Duplex, template: JobTemplate, frames: AsyncGenerator<Frame>) => Promise<void>;

/** The attach side of a host's agent. */
export class AttachAgent {
  /** Attaches that are refused as too early before one is taken. */
  notReady = 0;
  /** Attaches are taken and nothing is said. */
  holds = false;
  readonly refused: string[] = [];
  /** Jobs whose attach is gone. */
  readonly gone: string[] = [];
  readonly pushed: { image: string; as: string }[] = [];
  private server!: Server;

  constructor(
    private readonly host: FakeHost,
    private readonly rig: WorkRig,
  ) {}

  async listen(): Promise<string> {
    this.server = http.createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        this.pushed.push(JSON.parse(Buffer.concat(chunks).toString()) as { image: string; as: string });
        void this.rig.onPush(this.pushed.at(-1)!.as).then(() => response.end('{}'));
      });
    });
    this.server.on('upgrade', (request, socket: Duplex, head: Buffer) => {
      socket.on('error', () => socket.destroy());
      void this.attach(request.url ?? '', socket, head);
    });
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  close(): void {
    this.server.close();
    this.server.closeAllConnections();
  }

  private async attach(url: string, socket: Duplex, head: Buffer): Promise<void> {
    const job = url.split('/')[3] ?? '';
    const claim = await this.host.store.get(keys.claim(this.host.name, job));
    if (!claim) return this.refuse(socket, 'not_found');
    const { t } = JSON.parse(claim.value) as Claim;
    const template = JSON.parse((await this.host.store.get(keys.template(t)))!.value) as JobTemplate;
    socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: flynn\r\n\r\n');
    if (head.length > 0) socket.unshift(head);
    if (this.notReady > 0) {
      // Like the real agent: the switch to frames first, what stands in the way as a frame.
      this.notReady -= 1;
      await writeFrame(socket, frame.error, { code: 'not_found', message: 'no such job yet' });
      return void socket.end();
    }
    if (this.holds) return;
    socket.once('close', () => this.gone.push(job));
    await writeFrame(socket, frame.started, { job, host: this.host.name });
    await this.rig
      .body(socket, template, decodeFrames(socket as AsyncIterable<Buffer>))
      .catch(() => socket.destroy());
  }

  private refuse(socket: Duplex, code: 'not_found'): void {
    this.refused.push(code);
    const body = JSON.stringify(new FlynnError({ code, message: 'not yet' }).toBody());
    socket.end(
      `HTTP/1.1 ${httpStatus(code)} x\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`,
    );
  }
}

/** All of stdin. Not a `for await` with a break: that would destroy the connection. */
export async function stdinOf(frames: AsyncGenerator<Frame>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for (;;) {
    const next = await frames.next();
    if (next.done || next.value.type === frame.eof) return Buffer.concat(chunks);
    if (next.value.type === frame.stdin) chunks.push(Buffer.from(next.value.payload));
  }
}

/** The builder's end of an attach: reads header and source, says two lines, answers with a slug. */
export const goodBuilder =
  (
    processes: Record<string, string> = { web: 'node server.js' },
    seen: { source?: Buffer; header?: string } = {},
  ): JobBody =>
  async (socket, _template, frames) => {
    const input = await stdinOf(frames);
    const end = input.indexOf(10);
    seen.header = input.toString('utf8', 0, end);
    seen.source = input.subarray(end + 1);
    await writeFrame(socket, frame.stderr, '-----> Node.js app detected\n');
    const slug = gzipSync(Buffer.concat([Buffer.from('a tar of '), seen.source]));
    const head = `${JSON.stringify({ buildpack: 'Node.js', processes })}\n`;
    await writeFrame(socket, frame.stdout, Buffer.concat([Buffer.from(head), slug]));
    await writeFrame(socket, frame.exit, { code: 0 });
    socket.end();
  };

export class WorkRig {
  readonly etcd = fakeEtcd(systemClock);
  readonly store: FakeStore = this.etcd.client();
  readonly hosts = new Map<string, FakeHost>();
  readonly agents = new Map<string, AttachAgent>();
  readonly registries = new Map<string, FakeRegistry>();
  readonly clusterKey = Buffer.alloc(32, 7);
  /** Called before each transaction is carried out, and after; what it throws is what the caller gets. */
  afterTransact: () => void = () => undefined;
  controller!: Controller;
  base!: string;
  body: JobBody = goodBuilder();
  private readonly urls = new Map<string, string>();
  private readonly end = new AbortController();
  private server!: Server;

  async start(
    names: readonly string[],
    options: { capacity?: { m: number; c: number }; maxSourceBytes?: number } = {},
  ): Promise<this> {
    await this.store.put(
      keys.cluster,
      JSON.stringify({
        ...{
          id: 'c1',
          name: 'test',
          domain: 'example.com',
          createdAt: 1,
          gatewayFingerprint: 'SHA256:x',
          httpPort: 8080,
        },
        images: { slugbuilder: 'flynn/slugbuilder:b1', slugrunner: 'flynn/slugrunner:r1' },
      }),
    );
    for (const name of names) {
      const host = new FakeHost(name, this.etcd.client(), systemClock, new Map());
      await host.join(options.capacity, ['control']);
      const address = `10.0.0.${name.charCodeAt(0)}`;
      const agent = new AttachAgent(host, this);
      this.hosts.set(name, host);
      this.agents.set(name, agent);
      this.urls.set(address, await agent.listen());
      this.registries.set(address, new FakeRegistry(`https://${address}:1118`));
    }
    this.controller = createController({
      host: names[0]!,
      store: this.etcd.client(),
      sampi: {
        transact: async (request) => {
          const answer = await transact(this.store, request, { clock: systemClock, rng: cryptoRng });
          this.afterTransact();
          return answer;
        },
        putTemplate: (input) => putTemplate(this.store, input),
      },
      jobLogs: () => async function* () {},
      work: {
        agent: (address) => new HttpClient({ baseUrl: this.urls.get(address)! }),
        registry: (address) => this.registries.get(address)!,
        checkUpgrade: () => undefined,
        ...(options.maxSourceBytes === undefined ? {} : { maxSourceBytes: options.maxSourceBytes }),
      },
      clusterKey: this.clusterKey,
      clock: systemClock,
      rng: cryptoRng,
      log: silentLog,
      checkCaller: () => undefined,
      signal: this.end.signal,
    });
    await this.controller.ready;
    this.server = await serve({
      app: this.controller.api,
      host: '127.0.0.1',
      port: 0,
      onUpgrade: this.controller.work!.onUpgrade,
    });
    this.base = `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
    await this.until(() => names.every((name) => this.controller.hosts.hosts().get(name)?.usable), 'hosts');
    return this;
  }

  /** What a push of an image does to the registry: the first copy has it then. */
  async onPush(as: string): Promise<void> {
    const [, repository = '', tag = ''] = /^127\.0\.0\.1:5555\/(.+):([^:]+)$/.exec(as) ?? [];
    await [...this.registries.values()].at(-1)!.seed(repository, tag);
  }

  client(who: Asker = {}): HttpClient {
    const { 'content-type': _type, ...headers } = headersOf(who);
    return new HttpClient({ baseUrl: this.base, headers });
  }

  async post(path: string, body: unknown): Promise<Record<string, unknown>> {
    const response = await fetch(this.base + path, {
      method: 'POST',
      headers: headersOf({}),
      body: JSON.stringify(body),
    });
    const json = (await response.json()) as Record<string, unknown>;
    if (!response.ok) throw new Error(JSON.stringify(json));
    return json;
  }

  /** Pushes and reads all lines of the answer. */
  async push(app: string, source: Buffer, options: { signal?: AbortSignal; commit?: string } = {}) {
    const query = options.commit ? `?commit=${options.commit}` : '';
    const response = await fetch(`${this.base}/v1/apps/${app}/builds${query}`, {
      method: 'POST',
      headers: headersOf({ role: 'deploy', apps: app }),
      body: new Uint8Array(source),
      ...(options.signal ? { signal: options.signal } : {}),
    });
    const text = await response.text();
    const values = text
      .split('\n')
      .filter((line) => line !== '')
      .map(
        (line) =>
          JSON.parse(line) as {
            line?: string;
            result?: Record<string, unknown>;
            error?: { code: string; message: string };
          },
      );
    return {
      status: response.status,
      values,
      lines: values.flatMap(({ line }) => line ?? []),
      last: values.at(-1)!,
    };
  }

  until(condition: () => unknown, what: string, timeoutMs = 8_000): Promise<unknown> {
    return poll(systemClock, async () => ((await condition()) ? true : undefined), {
      timeoutMs,
      intervalMs: 20,
      what,
    });
  }

  async claims(): Promise<Claim[]> {
    return (await this.store.list(keys.claims)).entries.map(({ value }) => JSON.parse(value) as Claim);
  }

  async oneOffClaims(): Promise<Claim[]> {
    return (await this.claims()).filter(({ o }) => /^(build|run)\//.test(o));
  }

  async templates(): Promise<JobTemplate[]> {
    return (await this.store.list(keys.templates)).entries.map(
      ({ value }) => JSON.parse(value) as JobTemplate,
    );
  }

  async stop(): Promise<void> {
    for (const host of this.hosts.values()) host.freeze();
    this.end.abort(new Error('test over'));
    this.server.close();
    if ('closeAllConnections' in this.server) this.server.closeAllConnections();
    for (const agent of this.agents.values()) agent.close();
    await this.controller.stopped;
  }
}

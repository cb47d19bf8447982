// A rig for pushes: gateways on loopback, a controller that builds by rules of the test, and real git with real ssh.
import { spawn } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import tar from 'tar-stream';
import { keys as storeKeys } from '../../src/lib/api/keys.js';
import type { Identity } from '../../src/lib/appliance/config.js';
import { startGateway, type Gateway, type GatewayOptions } from '../../src/lib/layer1/gateway/index.js';
import { issue, newAuthority } from '../../src/lib/operator/pki.js';
import { newOpensshKey } from '../../src/lib/util/openssh-key.js';
import { systemClock } from '../../src/lib/util/clock.js';
import type { Person } from '../fakes/people.js';
import { fakeEtcd, type FakeStore } from '../fakes/store.js';

export const root = fileURLToPath(new URL('../..', import.meta.url));
const host = newOpensshKey('host');
/** Of the host key that all gateways of the rig share. */
export const { fingerprint } = host;

/** One build that a controller was asked for. */
export interface Build {
  app: string;
  commit: string;
  name: string;
  /** Files of the source, by path. */
  files: Map<string, string>;
  aborted: boolean;
}

/** Builds by rule: says lines, then succeeds (and moves the app's release), fails, or never ends. */
export class BuildController extends EventEmitter {
  readonly apps = new Map<string, { id: string; release?: number; commit?: string }>();
  readonly builds: Build[] = [];
  outcome: 'success' | 'failure' | 'hang' | 'cut' = 'success';
  /** Bytes of source after which it stops reading and says so. */
  maxBytes = Infinity;

  handle(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '/', 'http://fake');
    const [, , , name = '', what] = url.pathname.split('/');
    const app = this.apps.get(name);
    const json = (status: number, body: unknown): void => {
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify(body));
    };
    if (!app) json(404, { code: 'not_found', message: `there is no app ${name}` });
    else if (what === 'builds')
      void this.build(request, response, name, url.searchParams.get('commit') ?? '');
    else if (what === 'releases')
      json(200, { releases: [{ version: app.release, git: app.commit }], current: app.release });
    else json(200, { app: { name, ...app } });
  }

  private async build(request: IncomingMessage, response: ServerResponse, app: string, commit: string) {
    const build: Build = {
      app,
      commit,
      name: String(request.headers['x-flynn-name']),
      files: new Map(),
      aborted: false,
    };
    this.builds.push(build);
    response.on('close', () => {
      build.aborted = !response.writableFinished;
      this.emit('closed');
    });
    response.on('error', () => undefined);
    const say = (value: unknown): void => void response.write(`${JSON.stringify(value)}\n`);
    response.writeHead(200, { 'content-type': 'application/x-ndjson' });
    say({ line: `-----> Building ${app}` });
    const extract = tar.extract();
    extract.on('entry', (header, stream, next) => {
      let text = '';
      stream.on(
        'data',
        (chunk) => (text += text.length < 1_000 ? Buffer.from(chunk as Buffer).toString('latin1') : ''),
      );
      stream.on('end', () => {
        if (header.type === 'file') build.files.set(header.name, text);
        next();
      });
    });
    const ended = new Promise<void>((resolve) => {
      extract.once('finish', resolve);
      extract.once('error', () => resolve());
    });
    let size = 0;
    try {
      for await (const chunk of request as AsyncIterable<Buffer>) {
        size += chunk.length;
        if (size > this.maxBytes) {
          say({ error: { code: 'too_large', message: 'the source is too large' } });
          response.end();
          return;
        }
        extract.write(chunk);
      }
    } catch {
      return; // the gateway went away
    }
    extract.end(undefined);
    await ended;
    this.emit('received');
    say({ line: '       compiled 1 file' });
    response.write('\n');
    if (this.outcome === 'hang') return;
    if (this.outcome === 'cut') return void response.destroy();
    if (this.outcome === 'failure') {
      say({
        error: { code: 'build_failed', message: 'the build ended with code 3', hint: 'fix package.json' },
      });
    } else {
      const state = this.apps.get(app);
      const release = (state?.release ?? 0) + 1;
      this.apps.set(app, { id: state?.id ?? app, release, commit });
      say({ line: `-----> Release ${release} serves` });
      say({ result: { app, release, image: 'x', url: `http://${app}.test` } });
    }
    response.end();
  }
}

/** What a program left behind. */
export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Everything that a test of pushes needs; `close` ends and removes it. */
export class PushRig {
  readonly controller = new BuildController();
  readonly cleanups: (() => Promise<unknown> | unknown)[] = [];
  private constructor(
    readonly dir: string,
    readonly store: FakeStore,
    private readonly identity: Identity,
    private readonly endpoint: { address: string; port: number },
  ) {}

  static async start(): Promise<PushRig> {
    const dir = await mkdtemp(join(tmpdir(), 'flynn-push-'));
    const authority = await newAuthority('test', Date.now());
    const pair = await issue(
      authority,
      { name: 'control', addresses: ['127.0.0.1', 'localhost'] },
      Date.now(),
    );
    const identity = { ca: authority.cert, ...pair };
    let rig: PushRig | undefined = undefined;
    const server: Server = createServer(
      { ...identity, requestCert: true, rejectUnauthorized: true },
      (request, response) => (rig as PushRig | undefined)?.controller.handle(request, response),
    );
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    rig = new PushRig(dir, fakeEtcd().client(), identity, { address: '127.0.0.1', port });
    rig.cleanups.push(
      () => rm(dir, { recursive: true, force: true }),
      () => {
        server.closeAllConnections();
        server.close();
      },
    );
    return rig;
  }

  async close(): Promise<void> {
    for (const cleanup of this.cleanups.splice(0).reverse()) await cleanup();
  }

  async admit(who: Person): Promise<void> {
    await this.store.put(storeKeys.sshKey(who.record.fingerprint), JSON.stringify(who.record));
    const file = this.keyFile(who);
    await writeFile(file, who.privateKey);
    await chmod(file, 0o600);
  }

  keyFile(who: Person): string {
    return join(this.dir, `key-${who.record.name}`);
  }

  /** A gateway with a state directory of its own. */
  async gateway(name: string, git: Partial<GatewayOptions['git']> = {}): Promise<Gateway> {
    const quiet = (): void => undefined;
    const gateway = await startGateway(
      {
        store: this.store,
        identity: this.identity,
        hostKey: host.privateKey,
        local: { name: 'host-a', address: '127.0.0.1' },
        clock: systemClock,
        log: { debug: quiet, info: quiet, warn: quiet, error: (fields, text) => console.error(text, fields) },
        endpoints: () => [this.endpoint],
        git: { dir: join(this.dir, name), ...git },
      },
      0,
      '127.0.0.1',
    );
    this.cleanups.push(() => gateway.close());
    await gateway.ready;
    return gateway;
  }

  /** A work tree with one commit on main. */
  async workTree(name = 'work'): Promise<string> {
    const tree = join(this.dir, name);
    await mkdir(tree);
    await this.git(tree, ['init', '-q', '-b', 'main']);
    await this.commit(tree, 'server.js', 'one');
    return tree;
  }

  /** Commits a file; the commit's hash. */
  async commit(tree: string, file: string, text: string | Buffer): Promise<string> {
    await writeFile(join(tree, file), text);
    await this.git(tree, ['add', '-A']);
    await this.git(tree, ['commit', '-q', '-m', file]);
    return (await this.git(tree, ['rev-parse', 'HEAD'])).stdout.trim();
  }

  /** Runs git and its way to ssh; standard input is empty. */
  git(tree: string, args: string[], extra: Record<string, string> = {}): Promise<Ended> {
    return this.start(tree, args, extra).ended;
  }

  start(tree: string, args: string[], extra: Record<string, string> = {}) {
    const child = spawn('git', args, {
      cwd: tree,
      env: {
        PATH: process.env.PATH ?? '',
        HOME: this.dir,
        GIT_AUTHOR_NAME: 'a',
        GIT_AUTHOR_EMAIL: 'a@b',
        GIT_COMMITTER_NAME: 'a',
        GIT_COMMITTER_EMAIL: 'a@b',
        ...extra,
      },
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const out = { stdout: '', stderr: '' };
    child.stdout.on('data', (chunk: Buffer) => (out.stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (out.stderr += chunk.toString()));
    const ended = new Promise<Ended>((resolve) => child.once('close', (code) => resolve({ code, ...out })));
    const interrupt = (): void => void process.kill(-(child.pid ?? 0), 'SIGINT');
    return { ended, interrupt, out };
  }

  /** A push by an OpenSSH client, as anybody's. */
  push(
    tree: string,
    gateway: Gateway,
    who: Person,
    refs = ['main'],
    app = 'hello',
    extra: Record<string, string> = {},
  ) {
    const url = `ssh://flynn@127.0.0.1:${gateway.port}/${app}.git`;
    return this.start(tree, ['push', url, ...refs], {
      GIT_SSH_COMMAND: `ssh -i ${this.keyFile(who)} -o IdentitiesOnly=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -F /dev/null`,
      ...extra,
    });
  }
}

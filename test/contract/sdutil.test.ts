// sdutil in containers of this machine's Docker: servers that know nothing of it, in an image without Node.
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pack } from 'tar-stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JobStatus, JobTemplateInput } from '../../src/lib/api/job.js';
import { keys } from '../../src/lib/api/keys.js';
import { openDocker } from '../../src/lib/docker/index.js';
import { HostAgent } from '../../src/lib/layer0/host/agent.js';
import { findBridge } from '../../src/lib/layer0/host/bridge.js';
import { openDiscovery, type HostDiscovery } from '../../src/lib/layer0/host/discovery.js';
import { fileCopy } from '../../src/lib/layer0/host/disk.js';
import { granting } from '../../src/lib/layer0/host/grants.js';
import { networkProbe } from '../../src/lib/layer0/host/probe.js';
import { emptyState } from '../../src/lib/layer0/host/state.js';
import { bringTool } from '../../src/lib/layer0/host/tool.js';
import { createHostBook, putTemplate, releaseClaim, transact } from '../../src/lib/layer0/sampi/index.js';
import { systemClock as clock } from '../../src/lib/util/clock.js';
import { silentLog } from '../../src/lib/appliance/log.js';
import { packageRoot } from '../../src/lib/util/package-root.js';
import { poll } from '../../src/lib/util/retry.js';
import { cryptoRng as rng } from '../../src/lib/util/rng.js';
import { newWrapKeys } from '../../src/lib/util/seal.js';
import { ulid } from '../../src/lib/util/ulid.js';
import { fakeEtcd } from '../fakes/store.js';

const host = `s${randomBytes(3).toString('hex')}`;
const docker = openDocker();
const etcd = fakeEtcd();
const store = etcd.client();
const over = new AbortController();
const servers = 'flynn-test/servers:1';
const bare = 'flynn-test/musl:1';
let dir: string;
let discovery: HostDiscovery;
let running: Promise<unknown>;

/** Builds from a Dockerfile alone; Docker's cache makes a second time cheap. */
const image = async (tag: string, dockerfile: string): Promise<void> => {
  const context = pack();
  context.entry({ name: 'Dockerfile' }, dockerfile);
  context.finalize();
  await docker.images.build(Readable.from(context), { tags: [tag], timeoutMs: 300_000 });
};

beforeAll(async () => {
  await image(
    servers,
    `FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends redis-server python3 \\
 && rm -rf /var/lib/apt/lists/*
`,
  );
  // No glibc, as in Alpine: a shell and nothing else.
  await image(
    bare,
    `FROM debian:bookworm-slim AS shell
RUN apt-get update && apt-get install -y --no-install-recommends busybox-static
FROM scratch
COPY --from=shell /bin/busybox /bin/sh
`,
  );
  dir = await mkdtemp(join(tmpdir(), 'flynn-sdutil-'));
  await createHostBook(store, host, { m: 4096, c: 4000 }, { clock, rng });
  const state = emptyState({ name: host, address: '127.0.0.1', control: false }, clock.mono());
  const bridge = findBridge(docker);
  const common = { state, store, docker, clock, rng, log: silentLog };
  const port = 11_190 + (process.pid % 100);
  discovery = await openDiscovery({ ...common, bridge, dir, port }, over.signal);
  const tool = { dir: join(packageRoot(), 'dist/sdutil'), node: process.execPath };
  const agent = new HostAgent({
    ...common,
    sampi: { transact, releaseClaim },
    wrapPrivateKey: newWrapKeys().privateKey,
    probe: networkProbe,
    grant: granting({
      discovery: discovery.grant,
      tool: () => bringTool(join(dir, 'tool'), tool),
      resolvers: () => Promise.resolve([]),
    }),
    disk: fileCopy(join(dir, 'state.json'), (error) => {
      throw error;
    }),
  });
  agent.watch(discovery.prune);
  running = Promise.all([agent.run(over.signal), discovery.run(over.signal)]);
}, 300_000);

afterAll(async () => {
  over.abort();
  await running;
  for (const c of await docker.containers.list({ labels: ['flynn.job'] })) {
    if (c.labels['flynn.job']?.startsWith(`${host}-`)) await docker.containers.remove(c.id, { force: true });
  }
  docker.close();
  await rm(dir, { recursive: true });
});

const start = async (argv: string[], over: Partial<JobTemplateInput> = {}): Promise<string> => {
  const resources = { memory: 128 * 1024 * 1024, cpu: 100 };
  const template: JobTemplateInput = {
    kind: 'service',
    image: servers,
    entrypoint: argv,
    sdutil: true,
    ports: [{ name: 'main', container: 6379 }],
    resources,
    ...over,
  };
  const { hash } = await putTemplate(store, template);
  const job = `${host}-${ulid(clock.now(), rng)}`;
  const ports = template.ports?.length ?? 0;
  const request = { job, template: hash, owner: 'app/cache/1/main', resources, ports };
  await transact(
    store,
    { id: ulid(clock.now(), rng), hosts: { [host]: { claims: [request] } } },
    { clock, rng },
  );
  return job;
};
const stop = (job: string) =>
  transact(
    store,
    { id: ulid(clock.now(), rng), hosts: { [host]: { want: [{ job, want: 'stop' }] } } },
    { clock, rng },
  );
const until = <T>(what: string, look: () => Promise<T | undefined> | T | undefined): Promise<T> =>
  poll(clock, look, { timeoutMs: 20_000, what });
const instances = (name: string) => discovery.directory.view(name).instances;
const registered = (name: string) => until(`${name} registered`, () => instances(name)[0]);
const ended = (job: string): Promise<JobStatus> =>
  until(`${job} ended`, async () => {
    const entry = await store.get(keys.status(host, job));
    const status = entry && (JSON.parse(entry.value) as JobStatus);
    return status && ['done', 'failed'].includes(status.state) ? status : undefined;
  });
/** What the job's container has written; nothing before there is one. */
const output = async (job: string): Promise<string> => {
  const [container] = await docker.containers.list({ labels: [`flynn.job=${job}`] });
  if (!container) return '';
  let all = '';
  for await (const { line } of docker.containers.logs(container.id, {})) all += `${line}\n`;
  return all;
};
/** What a server says to a line. */
const say = ({ address, port }: { address: string; port: number }, line: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = connect({ host: address, port }, () => socket.write(line));
    socket.once('data', (chunk: Buffer) => {
      socket.destroy();
      resolve(chunk.toString());
    });
    socket.once('error', reject);
  });

describe('a server that is wrapped', () => {
  it("given Debian's redis-server, then it is found at the host, answers there, and is withdrawn when it is stopped", async () => {
    const job = await start([
      ...['/.flynn/sdutil', 'exec', 'redis:6379', 'redis-server'],
      ...['--protected-mode', 'no', '--save', ''],
    ]);
    const found = await registered('redis');
    expect(found).toMatchObject({ id: `${job}.6379`, host, address: '127.0.0.1' });
    expect(await say(found, 'PING\r\n')).toBe('+PONG\r\n');
    await stop(job);
    await until('redis withdrawn', () => instances('redis').length === 0 || undefined);
    await until('job released', async () =>
      (await store.get(keys.claim(host, job))) === undefined ? true : undefined,
    );
  });

  it("given Python's http.server under two names, then both are found, and it resolves others from inside", async () => {
    await start(
      [
        ...['/.flynn/sdutil', 'exec', '-s', 'files:6379', '-s', 'more:6379'],
        ...['python3', '-m', 'http.server', '6379', '--bind', '0.0.0.0'],
      ],
      { workingDir: '/etc' },
    );
    const found = await registered('files');
    expect(await registered('more')).toMatchObject({ port: found.port });
    expect(await say(found, 'GET /debian_version HTTP/1.0\r\n\r\n')).toContain('200 OK');
    const job = await start(['sh', '-c', '/.flynn/sdutil check && /.flynn/sdutil services -1 files'], {
      kind: 'oneoff',
      ports: [],
    });
    expect(await ended(job)).toMatchObject({ state: 'done', exitCode: 0 });
    expect(await output(job)).toContain(`127.0.0.1:${found.port}\n`);
  });

  it('given it listens on loopback alone, then it is never registered, and its log says why', async () => {
    const argv = ['python3', '-m', 'http.server', '6379', '--bind', '127.0.0.1'];
    const job = await start(['/.flynn/sdutil', 'exec', 'hidden:6379', ...argv]);
    await until('its log', async () => (await output(job)).includes('127.0.0.1 alone') || undefined);
    expect(instances('hidden')).toEqual([]);
  });
});

describe('its end', () => {
  it.each([
    ['a code', ['sh', '-c', 'exit 7'], 7],
    ['a signal', ['sh', '-c', 'kill -9 $$'], 137],
    ['no such program', ['/none'], 127],
  ])('given %s, then it is passed on', async (_what, argv, code) => {
    const job = await start(['/.flynn/sdutil', 'exec', 'x:6379', ...argv], { kind: 'oneoff' });
    expect(await ended(job)).toMatchObject({ state: 'failed', exitCode: code });
  });

  it('given a name that it may not have, then the server is told to end, and the log names the reason', async () => {
    const argv = ['python3', '-m', 'http.server', '6379'];
    const job = await start(['/.flynn/sdutil', 'exec', 'web.other:6379', ...argv], { kind: 'oneoff' });
    expect(await ended(job)).toMatchObject({ exitCode: 5 });
    expect(await output(job)).toContain('may not register web.other');
  });

  it('given an image without glibc, then sdutil refuses, and names the way there is', async () => {
    const job = await start(['/.flynn/sdutil', 'exec', 'x:6379', '/bin/sh'], { kind: 'oneoff', image: bare });
    expect(await ended(job)).toMatchObject({ exitCode: 7 });
    expect(await output(job)).toContain("service in the job's spec instead");
  });
});

describe('the endpoint from inside a job', () => {
  it("given the job's own token, then it may do its own and nothing else; given another, nothing at all", async () => {
    const script = `
import json, os, urllib.request, urllib.error
def ask(method, path, body=None, token=os.environ['FLYNN_TOKEN']):
    data = None if body is None else json.dumps(body).encode()
    req = urllib.request.Request(os.environ['FLYNN_DISCOVERY'] + path, data, method=method,
        headers={'authorization': 'Bearer ' + token, 'content-type': 'application/json'})
    try:
        return urllib.request.urlopen(req, timeout=5).status
    except urllib.error.HTTPError as e:
        return e.code
print('GOT', ask('PUT', '/v1/services/mine/registration', {'port': 6379}), ask('GET', '/v1/services/mine'),
  ask('PUT', '/v1/services/mine/registration', {'port': 22}), ask('PUT', '/v1/services/sampi/registration', {'port': 6379}),
  ask('GET', '/v1/jobs'), ask('GET', '/v1/services', token='x'), ask('PUT', '/v1/services/mine/registration', {'port': 6379, 'meta': {'a': 'x' * 20000}}))
`;
    const job = await start(['python3', '-c', script], { kind: 'oneoff', sdutil: undefined });
    await ended(job);
    expect(await output(job)).toContain('GOT 200 200 403 403 404 401 413');
  });
});

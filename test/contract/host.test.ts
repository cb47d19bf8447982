// The host agent against this machine's Docker: a claim becomes a container that answers, dies, comes back and is stopped.
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Instance } from '../../src/lib/api/grid.js';
import { keys } from '../../src/lib/api/keys.js';
import type { JobStatus, JobTemplateInput } from '../../src/lib/api/job.js';
import { openDocker } from '../../src/lib/docker/index.js';
import { HostAgent } from '../../src/lib/layer0/host/agent.js';
import { fileCopy } from '../../src/lib/layer0/host/disk.js';
import { jobLogs } from '../../src/lib/layer0/host/logs.js';
import { networkProbe } from '../../src/lib/layer0/host/probe.js';
import { emptyState } from '../../src/lib/layer0/host/state.js';
import { createHostBook, putTemplate, releaseClaim, transact } from '../../src/lib/layer0/sampi/index.js';
import { systemClock as clock } from '../../src/lib/util/clock.js';
import { silentLog } from '../../src/lib/util/log.js';
import { cryptoRng as rng } from '../../src/lib/util/rng.js';
import { newWrapKeys } from '../../src/lib/util/seal.js';
import { poll } from '../../src/lib/util/retry.js';
import { ulid } from '../../src/lib/util/ulid.js';
import { fakeEtcd } from '../fakes/store.js';

const image = 'node:24-bookworm-slim';
const host = `c${randomBytes(3).toString('hex')}`;
const ports = { clock, rng };
const docker = openDocker();
const script = `
  require('http').createServer((q, s) => {
    if (q.url === '/die') process.exit(3);
    if (q.url === '/eat') for (const all = [];;) all.push(Buffer.alloc(1e6, 1));
    s.end('hello ' + process.env.FLYNN_JOB_ID + ' ' + process.pid);
  }).listen(process.env.PORT, () => console.log('listens'));
  process.on('SIGTERM', () => { console.log('told to end'); process.exit(0); });
`;
const template: JobTemplateInput = {
  kind: 'service',
  image,
  args: ['node', '-e', script],
  ports: [{ name: 'http', container: 8080 }],
  service: { name: 'web.contract' },
  health: { type: 'http' },
  meta: { app: 'contract', release: '1', type: 'web' },
};

let dir: string;
let etcd: ReturnType<typeof fakeEtcd>;
let store: ReturnType<ReturnType<typeof fakeEtcd>['client']>;
const agents: (() => Promise<void>)[] = [];

const boot = (): HostAgent => {
  const over = new AbortController();
  const agent = new HostAgent({
    state: emptyState({ name: host, address: '127.0.0.1', control: false }, clock.mono()),
    store: etcd.client(),
    docker,
    sampi: { transact, releaseClaim },
    clock,
    rng,
    log: silentLog,
    wrapPrivateKey: newWrapKeys().privateKey,
    probe: networkProbe,
    disk: fileCopy(join(dir, 'state.json'), (error) => {
      throw error;
    }),
  });
  const running = agent.run(over.signal);
  agents.push(async () => {
    over.abort();
    await running;
  });
  return agent;
};
const halt = async (): Promise<void> => {
  for (const stop of agents.splice(0)) await stop();
};
const removeAll = async (): Promise<void> => {
  for (const c of await docker.containers.list({ labels: ['flynn.job'] })) {
    if (c.labels['flynn.job']?.startsWith(`${host}-`)) await docker.containers.remove(c.id, { force: true });
  }
};

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'flynn-host-'));
  etcd = fakeEtcd();
  store = etcd.client();
  await createHostBook(store, host, { m: 4096, c: 4000 }, ports);
});
afterEach(async () => {
  await halt();
  await removeAll();
  await rm(dir, { recursive: true });
});
afterAll(() => docker.close());

const claim = async (over: Partial<JobTemplateInput> = {}): Promise<string> => {
  const { hash } = await putTemplate(store, { ...template, ...over });
  const job = `${host}-${ulid(clock.now(), rng)}`;
  const memory = 128 * 1024 * 1024;
  const request = {
    job,
    template: hash,
    owner: 'app/contract/1/web',
    resources: { memory, cpu: 100 },
    ports: 1,
  };
  const answer = await transact(
    store,
    { id: ulid(clock.now(), rng), hosts: { [host]: { claims: [request] } } },
    ports,
  );
  if (!answer.hosts[host]?.ok) throw new Error(JSON.stringify(answer));
  return job;
};
const want = (job: string, w: 'stop') =>
  transact(store, { id: ulid(clock.now(), rng), hosts: { [host]: { want: [{ job, want: w }] } } }, ports);
const status = async (job: string): Promise<JobStatus | undefined> => {
  const entry = await store.get(keys.status(host, job));
  return entry && (JSON.parse(entry.value) as JobStatus);
};
const until = (job: string, what: (s: JobStatus | undefined) => boolean, timeoutMs = 20_000): Promise<true> =>
  poll(clock, async () => (what(await status(job)) ? true : undefined), {
    timeoutMs,
    intervalMs: 10,
    what: 'status',
  });
const instanceKey = (job: string) => keys.instance(host, 'web.contract', job);
const ask = async (job: string, path = '/'): Promise<string> => {
  const { address, port } = Instance.parse(JSON.parse((await store.get(instanceKey(job)))?.value ?? '{}'));
  return (await fetch(`http://${address}:${port}${path}`)).text();
};

describe('the agent on a real engine', () => {
  it('given a claim, then it answers at its published port; it is stopped in order, and its logs are kept', async () => {
    boot();
    const job = await claim();
    await until(job, (s) => s?.state === 'up');
    expect(await ask(job)).toContain(`hello ${job} `);
    await want(job, 'stop');
    await until(job, (s) => s === undefined);
    expect(await store.get(keys.claim(host, job))).toBeUndefined();
    const lines: string[] = [];
    const logs = jobLogs({ docker, clock, alive: () => false }, job, {
      follow: false,
      signal: AbortSignal.timeout(5_000),
    });
    for await (const { line } of logs) lines.push(line);
    expect(lines).toEqual(['listens', 'told to end']);
  });

  it('given a crash, then the instance is withdrawn within 100 ms of the news, and comes back at the same port', async () => {
    boot();
    const job = await claim();
    await until(job, (s) => s?.state === 'up');
    const news = (async () => {
      const events = docker.events({ types: ['container'], actions: ['die'], labels: [`flynn.job=${job}`] });
      for await (const { attributes } of events) return { at: clock.mono(), code: attributes.exitCode };
      return undefined;
    })();
    const gone = new Promise<number>((resolve) => {
      const watch = store.watch(instanceKey(job), etcd.revision, {
        onEvents: (events) => {
          if (!events.some((e) => e.type === 'delete')) return;
          resolve(clock.mono());
          watch.close();
        },
        onEnd: () => undefined,
      });
    });
    const before = JSON.parse((await store.get(instanceKey(job)))?.value ?? '{}') as Instance;
    await ask(job, '/die').catch(() => undefined);
    const withdrawn = await gone;
    const died = await news;
    expect(died?.code).toBe('3');
    expect(withdrawn - (died?.at ?? 0)).toBeLessThan(100);
    await until(job, (s) => s?.state === 'up' && s.starts === 2);
    const after = JSON.parse((await store.get(instanceKey(job)))?.value ?? '{}') as Instance;
    expect(after.port).toBe(before.port);
    expect(await ask(job)).toContain(`hello ${job} `);
  });

  it('given too much memory, then the status says at what limit it was killed', async () => {
    const told: (string | undefined)[] = [];
    boot();
    const job = await claim();
    await until(job, (s) => s?.state === 'up');
    store.watch(keys.status(host, job), etcd.revision, {
      onEvents: (events) => {
        for (const e of events)
          if (e.type === 'put') told.push((JSON.parse(e.entry.value) as JobStatus).reason);
      },
      onEnd: () => undefined,
    });
    await ask(job, '/eat').catch(() => undefined);
    await until(job, (s) => s?.state === 'up' && s.starts === 2);
    expect(told).toContain('killed: out of memory at 128 MiB');
  });

  it('given the agent restarts, then the container goes on, registered as before', async () => {
    boot();
    const job = await claim();
    await until(job, (s) => s?.state === 'up');
    const pid = await ask(job);
    const before = await store.get(instanceKey(job));
    await halt();
    const copy = await readFile(join(dir, 'state.json'), 'utf8');
    expect(copy).toContain(job);
    const agent = boot();
    await poll(clock, () => (agent.deps.state.jobs.get(job)?.verdict === 'up' ? true : undefined), {
      timeoutMs: 10_000,
    });
    expect((await store.get(instanceKey(job)))?.modRevision).toBe(before?.modRevision);
    expect(await ask(job)).toBe(pid);
  });

  it('given an image that is nowhere, then the reason is told', async () => {
    boot();
    const job = await claim({ image: '127.0.0.1:1/nowhere:1' });
    await until(job, (s) => s?.state === 'crashed');
    expect((await status(job))?.reason).toContain('image 127.0.0.1:1/nowhere:1 cannot be pulled');
  });
});

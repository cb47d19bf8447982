// The agent's API on a real engine over TLS: commands in jobs, volumes out and in as tar streams, images.
import { createHash, randomBytes } from 'node:crypto';
import type { Server } from 'node:http';
import { Agent, request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { Readable, type Duplex } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decodeFrames, frame, writeFrame, type Frame } from '../../src/lib/api/attach.js';
import { HttpClient } from '../../src/lib/api/http.js';
import type { JobTemplateInput } from '../../src/lib/api/job.js';
import { serve } from '../../src/lib/appliance/server.js';
import { openDocker } from '../../src/lib/docker/index.js';
import { HostAgent } from '../../src/lib/layer0/host/agent.js';
import { hostApi } from '../../src/lib/layer0/host/api.js';
import { attachUpgrade } from '../../src/lib/layer0/host/attach.js';
import { hostRoutes } from '../../src/lib/layer0/host/contract.js';
import { networkProbe } from '../../src/lib/layer0/host/probe.js';
import { emptyState } from '../../src/lib/layer0/host/state.js';
import { createHostBook, putTemplate, releaseClaim, transact } from '../../src/lib/layer0/sampi/index.js';
import { systemClock as clock } from '../../src/lib/util/clock.js';
import { silentLog } from '../../src/lib/appliance/log.js';
import { poll } from '../../src/lib/util/retry.js';
import { cryptoRng as rng } from '../../src/lib/util/rng.js';
import { newWrapKeys } from '../../src/lib/util/seal.js';
import { ulid } from '../../src/lib/util/ulid.js';
import { fakeEtcd } from '../fakes/store.js';
import { makeCerts } from '../fakes/test-certs.js';

const MiB = 1024 * 1024;
const image = 'debian:bookworm-slim';
const host = `v${randomBytes(3).toString('hex')}`;
const docker = openDocker();
const store = fakeEtcd().client();
const over = new AbortController();
let server: Server;
let client: HttpClient;
let tls: Agent;
let running: Promise<void>;

beforeAll(async () => {
  const certs = await makeCerts();
  await createHostBook(store, host, { m: 4096, c: 4000 }, { clock, rng });
  const agent = new HostAgent({
    state: emptyState({ name: host, address: '127.0.0.1', control: false }, clock.mono()),
    ...{ store, docker, clock, rng, log: silentLog, probe: networkProbe },
    sampi: { transact, releaseClaim },
    wrapPrivateKey: newWrapKeys().privateKey,
    disk: { load: () => Promise.resolve(undefined), save: () => Promise.resolve() },
  });
  running = agent.run(over.signal);
  server = await serve({
    app: hostApi(agent, {
      log: silentLog,
      putTemplate: (input) => putTemplate(store, input),
      guarded: false,
    }),
    ...{ host: '127.0.0.1', port: 0, identity: certs.server },
    onUpgrade: attachUpgrade(agent, (name) => name === 'client', over.signal),
  });
  tls = new Agent({ ...certs.client, keepAlive: true });
  client = new HttpClient({
    baseUrl: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    agent: tls,
  });
});
afterAll(async () => {
  over.abort();
  await running;
  server.closeAllConnections();
  server.close();
  for (const c of await docker.containers.list({ labels: ['flynn.job'] })) {
    if (c.labels['flynn.job']?.startsWith(`${host}-`)) await docker.containers.remove(c.id, { force: true });
  }
  for (const v of await docker.volumes.list({ labels: [`flynn.volume.host=${host}`] })) {
    await docker.volumes.remove(v.name);
  }
  docker.close();
});

const jobOf = async (script: string, more: Partial<JobTemplateInput> = {}): Promise<string> => {
  const id = `${host}-${ulid(clock.now(), rng)}`;
  const template = {
    ...{ kind: 'service', image, args: ['sh', '-c', script], stopTimeoutMs: 1000 },
    ...{ resources: { memory: 64 * MiB }, ...more },
  };
  await client.call('PUT', `/v1/jobs/${id}`, hostRoutes.putJob.answer, {
    body: { owner: 'job/x', template },
  });
  const up = async () => {
    const { status } = await client.call('GET', `/v1/jobs/${id}`, hostRoutes.getJob.answer);
    return ['up', 'done', 'failed'].includes(status?.state ?? '') ? true : undefined;
  };
  await poll(clock, up, { timeoutMs: 20_000, intervalMs: 50, what: 'job up' });
  return id;
};
const stop = async (id: string): Promise<void> => {
  await client.call('DELETE', `/v1/jobs/${id}`, hostRoutes.deleteJob.answer);
  const over = async () => ((await store.get(`claims/${host}/${id}`)) ? undefined : true);
  await poll(clock, over, { timeoutMs: 20_000, intervalMs: 50, what: 'job stopped' });
};
const exec = (id: string, argv: string[], more = ''): Promise<Duplex> =>
  client.upgrade(
    'POST',
    `/v1/jobs/${id}/exec?${argv.map((a) => `argv=${encodeURIComponent(a)}`).join('&')}${more}`,
  );
const follow = async (socket: Duplex, each: (one: Frame) => void = () => undefined) => {
  const all = { stdout: '', stderr: '', last: undefined as unknown };
  for await (const one of decodeFrames(socket)) {
    if (one.type === frame.stdout) all.stdout += one.payload.toString();
    else if (one.type === frame.stderr) all.stderr += one.payload.toString();
    else if (one.type !== frame.started) all.last = JSON.parse(one.payload.toString());
    each(one);
  }
  return all;
};
const raw = (method: string, path: string, body?: Readable): Promise<{ status: number; stream: Readable }> =>
  new Promise((resolve, reject) => {
    const { port } = server.address() as AddressInfo;
    const sent = request({ host: '127.0.0.1', port, path, method, agent: tls }, (answer) =>
      resolve({ status: answer.statusCode ?? 0, stream: answer }),
    );
    sent.once('error', reject);
    if (body) body.pipe(sent);
    else sent.end();
  });
const bytesOf = async (stream: Readable): Promise<Buffer> =>
  Buffer.concat((await stream.toArray()) as Buffer[]);

describe('a command in a job', () => {
  let id: string;
  beforeAll(async () => {
    id = await jobOf('sleep 600', { env: { FROM_JOB: 'yes' } });
  });

  it('given outputs and a code, then they come apart, with the environment of the job and of the call', async () => {
    const script = 'printf "$FROM_JOB $MORE $(id -un) $(pwd)"; printf err >&2; exit 7';
    const done = await follow(
      await exec(id, ['sh', '-c', script], '&env=MORE=a%3Db&user=nobody&workdir=/tmp'),
    );
    expect(done).toEqual({ stdout: 'yes a=b nobody /tmp', stderr: 'err', last: { code: 7 } });
  });

  it('given input, then the command reads it to its end', async () => {
    const socket = await exec(id, ['sha256sum']);
    const data = randomBytes(5 * MiB);
    const seen = follow(socket);
    await writeFrame(socket, frame.stdin, data);
    await writeFrame(socket, frame.eof);
    expect((await seen).stdout).toContain(createHash('sha256').update(data).digest('hex'));
  });

  it('given a terminal, then it has the size that is told, and an interrupt reaches the command', async () => {
    const socket = await exec(
      id,
      ['sh', '-c', 'trap "stty size; exit 9" INT; echo ready; while :; do sleep 0.1; done'],
      '&tty=1',
    );
    const done = await follow(socket, ({ payload, type }) => {
      if (type !== frame.stdout || !payload.toString().includes('ready')) return;
      void writeFrame(socket, frame.resize, { columns: 91, rows: 33 }).then(() =>
        setTimeout(() => void writeFrame(socket, frame.signal, { signal: 'SIGINT' }), 300),
      );
    });
    expect(done.stdout).toContain('33 91');
    expect(done.last).toEqual({ code: 9 });
  });

  it('given no such program, job, or command, then a coded end', async () => {
    expect((await follow(await exec(id, ['/no/such']))).last).toMatchObject({
      code: expect.any(Number) as number,
    });
    const nowhere = `${host}-${'0'.repeat(26)}`;
    expect((await follow(await exec(nowhere, ['true']))).last).toMatchObject({ code: 'not_found' });
    await expect(exec(id, [])).rejects.toMatchObject({ code: 'invalid' });
    await expect(exec(id, ['true'], '&env=bad')).rejects.toMatchObject({ code: 'invalid' });
  });
});

describe('the volume of a job', () => {
  const mounts: JobTemplateInput['mounts'] = [{ type: 'volume', source: 'data', target: '/data' }];
  const write =
    'printf kept > /data/file; mkdir -p /data/sub; head -c 3000000 /dev/urandom > /data/sub/big; sleep 600';

  it('is snapshotted, destroyed when nobody uses it, and restored byte by byte', async () => {
    const first = await jobOf(write, { mounts });
    const read = async (id: string) =>
      (await follow(await exec(id, ['sh', '-c', 'cat /data/file; sha256sum /data/sub/big']))).stdout;
    const before = await read(first);
    expect(before).toMatch(/^kept[0-9a-f]{64}/);
    const snapshot = await raw('GET', '/v1/volumes/data/snapshot');
    expect(snapshot.status).toBe(200);
    const tar = await bytesOf(snapshot.stream);
    await expect(
      client.call('DELETE', '/v1/volumes/data', hostRoutes.deleteVolume.answer),
    ).rejects.toMatchObject({ code: 'conflict' });
    expect((await raw('POST', '/v1/volumes/data/restore', Readable.from([tar]))).status).toBe(409);
    await stop(first);
    await client.call('DELETE', '/v1/volumes/data', hostRoutes.deleteVolume.answer);
    const restored = await raw('POST', '/v1/volumes/data/restore?owner=job/x', Readable.from([tar]));
    expect([restored.status, (await bytesOf(restored.stream)).toString()]).toEqual([
      200,
      expect.stringContaining('"owner":"job/x"'),
    ]);
    const second = await jobOf('sleep 600', { mounts });
    expect(await read(second)).toBe(before);
    expect(await docker.containers.list({ labels: [`flynn.volume.helper=${host}`] })).toEqual([]);
  }, 60_000);

  it('is not made from what is no tar, and nothing of it is left', async () => {
    const bad = await raw('POST', '/v1/volumes/junk/restore', Readable.from([randomBytes(100_000)]));
    expect(bad.status).toBeGreaterThanOrEqual(400);
    await expect(client.call('GET', '/v1/volumes/junk', hostRoutes.getVolume.answer)).rejects.toMatchObject({
      code: 'not_found',
    });
  });
});

// The agent's API over its fakes: jobs, logs that are pulled by their reader, signals, images, what is broken.
import { Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { jsonLines } from '../../../src/lib/api/http.js';
import { createLog, silentLog } from '../../../src/lib/appliance/log.js';
import { hostApi, mayCallAgent, mayCommandAgent } from '../../../src/lib/layer0/host/api.js';
import { jobLogs } from '../../../src/lib/layer0/host/logs.js';
import { putTemplate } from '../../../src/lib/layer0/sampi/index.js';
import { ndjsonStream } from '../../../src/lib/layer0/host/ndjson.js';
import { jobId } from './world.js';
import { Rig } from './rig.js';

let rig: Rig;
let template: string;
let once: string;
beforeEach(async () => {
  rig = new Rig();
  const hashes = await rig.init({
    web: { ports: [{ name: 'http', container: 8080 }], service: { name: 'w' } },
    once: { kind: 'oneoff' },
  });
  template = hashes.web ?? '';
  once = hashes.once ?? '';
  rig.boot();
});
afterEach(() => rig.halt());

const api = () => {
  if (!rig.agent) throw new Error('no agent');
  return hostApi(rig.agent, {
    log: silentLog,
    putTemplate: (input) => putTemplate(rig.store, input),
    guarded: false,
  });
};
const get = async (path: string) => {
  const answer = await api().request(path);
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
};
const post = (path: string, body: unknown) =>
  api().request(path, {
    method: 'POST',
    body: JSON.stringify(body),
    headers: { 'content-type': 'application/json' },
  });

describe('the API of an agent', () => {
  it('given a job, then it is shown with claim and status; given another id, then not_found with a hint', async () => {
    const job = await rig.claim({ template, ports: 1 });
    await rig.until(job, 'up');
    expect(await get(`/v1/jobs/${job}`)).toMatchObject({
      status: 200,
      body: { id: job, status: { state: 'up' } },
    });
    expect((await get('/v1/jobs')).body.jobs).toHaveLength(1);
    expect(await get(`/v1/jobs/${jobId(5)}`)).toMatchObject({ status: 404, body: { code: 'not_found' } });
    expect(await get('/v1/jobs/nonsense')).toMatchObject({ status: 400, body: { code: 'invalid' } });
  });

  it('given docker is away, then the health names it and the facts go on', async () => {
    await rig.clock.advance(100);
    expect(await get('/healthz')).toEqual({
      status: 200,
      body: { ok: true, docker: 'ok', store: 'ok', firewall: 'none' },
    });
    rig.docker.stopEngine();
    await rig.clock.advance(1_000);
    expect(await get('/healthz')).toMatchObject({ status: 503, body: { docker: 'docker does not answer' } });
    expect((await get('/v1/facts')).body).toMatchObject({
      host: 'a',
      docker: 'unreachable',
      claimsFrom: 'store',
    });
  });

  it('given a container without a claim, then the facts name it', async () => {
    const job = await rig.claim({ template, ports: 1 });
    await rig.until(job, 'up');
    await rig.store.delete(`claims/a/${job}`);
    await rig.clock.advance(1_000);
    expect((await get('/v1/facts')).body).toMatchObject({ unclaimed: [{ job }], running: 1, jobs: 0 });
  });

  it('given a signal, then the container gets it; given one that is none, then it is refused', async () => {
    const job = await rig.claim({ template, ports: 1 });
    await rig.until(job, 'up');
    expect((await post(`/v1/jobs/${job}/signal`, { signal: 'SIGHUP' })).status).toBe(200);
    expect(rig.docker.calls).toContain('kill SIGHUP');
    expect((await post(`/v1/jobs/${job}/signal`, { signal: 'rm -rf' })).status).toBe(400);
  });

  it('given images, then their presence is told, and a pull brings one', async () => {
    rig.docker.registry.add('far/app:2');
    expect((await get(`/v1/images/${encodeURIComponent('far/app:2')}`)).body).toMatchObject({
      present: false,
    });
    expect((await post('/v1/images/pull', { image: 'far/app:2' })).status).toBe(200);
    expect((await get(`/v1/images/${encodeURIComponent('far/app:2')}`)).body).toMatchObject({
      present: true,
    });
    expect((await post('/v1/images/pull', { image: 'nowhere:1' })).status).toBe(404);
  });

  it('given the callers there are, then only the control plane and agents may call', () => {
    expect(['control', 'host-b', 'router', 'root', 'hosts', ''].filter(mayCallAgent)).toEqual([
      'control',
      'host-b',
    ]);
    const callers = ['control', 'host-a', 'host-b', 'router', 'root', ''];
    expect(callers.filter((name) => mayCommandAgent(name, 'a'))).toEqual(['control', 'host-a']);
    expect(createLog('host').info).toBeTypeOf('function');
  });
});

describe('logs of a job', () => {
  const lines = async (path: string): Promise<unknown[]> => {
    const answer = await api().request(path);
    const out: unknown[] = [];
    if (!answer.body) return out;
    for await (const item of jsonLines(Readable.from([Buffer.from(await answer.arrayBuffer())])))
      out.push(item);
    return out;
  };

  it('given a job that was restarted, then its lines run over both containers, also the last n', async () => {
    const job = await rig.claim({ template, ports: 1 });
    await rig.until(job, 'up');
    const first = rig.docker.byName(`flynn-${job}`);
    first?.lines.push('one', 'two');
    rig.docker.end(first?.id ?? '', 1);
    await rig.untilTrue(() => rig.docker.byName(`flynn-${job}`)?.state === 'running');
    rig.docker.byName(`flynn-${job}`)?.lines.push('three');
    const texts = async (query: string) =>
      (await lines(`/v1/jobs/${job}/logs${query}`)).map((l) => (l as { line: string }).line);
    expect(await texts('')).toEqual(['one', 'two', 'three']);
    expect(await texts('?lines=2')).toEqual(['two', 'three']);
    expect(await texts('?lines=1')).toEqual(['three']);
  });

  it('given a one-off that has ended and is still claimed, when followed, then the lines end', async () => {
    const job = await rig.claim({ template: once, ports: 0 });
    await rig.until(job, 'up');
    const container = rig.docker.byName(`flynn-${job}`);
    container?.lines.push('one');
    rig.docker.end(container?.id ?? '', 0);
    await rig.until(job, 'done');
    expect(await lines(`/v1/jobs/${job}/logs?follow=1`)).toMatchObject([{ line: 'one' }]);
  });

  it('given no such job, then the stream says so', async () => {
    expect(await lines(`/v1/jobs/${jobId(9)}/logs`)).toMatchObject([{ error: { code: 'not_found' } }]);
  });

  it('given a reader that leaves, then the source is let go', async () => {
    const over = new AbortController();
    const alive = () => true;
    const deps = { docker: rig.docker.port(), clock: rig.clock, alive };
    const source = jobLogs(deps, jobId(3), { follow: true, signal: over.signal });
    const stream = ndjsonStream(source, () => over.abort());
    const reader = stream.getReader();
    const pending = reader.read();
    await rig.clock.settle();
    await reader.cancel();
    expect(over.signal.aborted).toBe(true);
    await pending;
  });

  it('given a reader that does not read, then nothing is taken from the source beyond one piece', async () => {
    let taken = 0;
    async function* endless(): AsyncGenerator<string> {
      for (;;) {
        taken += 1;
        await Promise.resolve();
        yield 'x'.repeat(1000);
      }
    }
    const stream = ndjsonStream(endless(), () => undefined);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(taken).toBeLessThan(100);
    const reader = stream.getReader();
    for (let i = 0; i < 5; i++) await reader.read();
    expect(taken).toBeLessThan(500);
    await reader.cancel();
  });

  it('given silence, then a blank line shows that the stream lives', async () => {
    const never = { next: () => new Promise<IteratorResult<unknown>>(() => undefined) };
    const reader = ndjsonStream(never, () => undefined, 10).getReader();
    expect(new TextDecoder().decode((await reader.read()).value)).toBe('\n');
    await reader.cancel();
  });
});

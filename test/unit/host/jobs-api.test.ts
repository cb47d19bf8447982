// Jobs put, stopped and looked at over the agent's API: idempotent by id, and nothing changed by what is refused.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { silentLog } from '../../../src/lib/appliance/log.js';
import { hostApi } from '../../../src/lib/layer0/host/api.js';
import { hostRoutes } from '../../../src/lib/layer0/host/contract.js';
import { putTemplate, setCordon } from '../../../src/lib/layer0/sampi/index.js';
import { jobId } from './world.js';
import { Rig } from './rig.js';

let rig: Rig;
beforeEach(async () => {
  rig = new Rig();
  await rig.init();
  rig.boot();
  await rig.clock.advance(100);
});
afterEach(() => rig.halt());

const call = async (method: string, path: string, body?: unknown) => {
  if (!rig.agent) throw new Error('no agent');
  const app = hostApi(rig.agent, {
    log: silentLog,
    putTemplate: (input) => putTemplate(rig.store, input),
    guarded: false,
  });
  const answer = await app.request(path, {
    method,
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
};
const everything = async () =>
  (await rig.store.list('')).entries
    .map((e) => [e.key, e.value])
    .filter(([key]) => !key?.startsWith('templates/'));
const job = jobId(1);
const small = { memory: 64 * 1024 * 1024, cpu: 100 };
const wish = (more: object = {}) => ({
  owner: 'job/try',
  template: {
    kind: 'service',
    image: 'app:1',
    resources: small,
    ports: [{ name: 'http', container: 80 }],
    ...more,
  },
});

describe('putting a job', () => {
  it('given a template, then the job is claimed with its ports, started, and shown with its template', async () => {
    const put = await call('PUT', `/v1/jobs/${job}`, wish());
    expect(put).toMatchObject({
      status: 200,
      body: { id: job, host: 'a', claim: { o: 'job/try', m: 64, w: 'run' } },
    });
    expect((put.body.claim as { p: number[] }).p).toHaveLength(1);
    await rig.until(job, 'up');
    const got = await call('GET', `/v1/jobs/${job}`);
    expect(hostRoutes.getJob.answer.parse(got.body)).toMatchObject({ template: { image: 'app:1' } });
  });

  it('given the same again, also after it runs, then the answer is the same and nothing is booked twice', async () => {
    const first = await call('PUT', `/v1/jobs/${job}`, wish());
    await rig.until(job, 'up');
    const again = await call('PUT', `/v1/jobs/${job}`, wish());
    expect(again.status).toBe(200);
    expect(again.body.claim).toEqual(first.body.claim);
    expect(JSON.parse((await rig.store.get('hosts/a/book'))!.value)).toMatchObject({ jobs: 1 });
    expect(rig.docker.containersById.size).toBe(1);
  });

  it('given an equal claim of another scheduler, then it is as good as ours', async () => {
    const { hash } = await putTemplate(rig.store, wish().template as never);
    await rig.claim({ job, template: hash, owner: 'job/try', ports: 1 });
    expect((await call('PUT', `/v1/jobs/${job}`, wish())).status).toBe(200);
  });

  it('given another job under the id, or one that is over, then it is a conflict and nothing changes', async () => {
    await call('PUT', `/v1/jobs/${job}`, wish());
    await rig.until(job, 'up');
    const claims = (await rig.store.get(`claims/a/${job}`))?.value;
    for (const other of [wish({ image: 'app:2' }), { ...wish(), owner: 'job/else' }]) {
      const refused = await call('PUT', `/v1/jobs/${job}`, other);
      expect(refused).toMatchObject({ status: 409, body: { code: 'conflict' } });
    }
    expect((await rig.store.get(`claims/a/${job}`))?.value).toBe(claims);
    expect((await call('DELETE', `/v1/jobs/${job}`)).body).toEqual({ id: job, want: 'stop' });
    await rig.until(job, undefined);
    expect(await call('DELETE', `/v1/jobs/${job}`)).toMatchObject({ status: 200 });
    expect(await call('PUT', `/v1/jobs/${job}`, wish())).toMatchObject({
      status: 409,
      body: { message: expect.stringContaining('is over') as string },
    });
  });

  it('given nonsense, then each is a coded error and nothing in the store changes', async () => {
    const before = await everything();
    const bad: [string, string, unknown, number, string][] = [
      ['PUT', `/v1/jobs/b-${'0'.repeat(26)}`, wish(), 400, 'invalid'],
      ['PUT', '/v1/jobs/x', wish(), 400, 'invalid'],
      ['PUT', `/v1/jobs/${job}`, '{', 400, 'invalid'],
      ['PUT', `/v1/jobs/${job}`, '[]', 400, 'invalid'],
      ['PUT', `/v1/jobs/${job}`, { ...wish(), owner: '../x' }, 400, 'invalid'],
      ['PUT', `/v1/jobs/${job}`, { ...wish(), owner: 'omni/router' }, 400, 'invalid'],
      ['PUT', `/v1/jobs/${job}`, wish({ resources: { memory: -1 } }), 400, 'invalid'],
      ['PUT', `/v1/jobs/${job}`, wish({ resources: { memory: 1e30 } }), 400, 'invalid'],
      ['PUT', `/v1/jobs/${job}`, wish({ resources: { memory: 2 ** 40 } }), 503, 'no_capacity'],
      ['PUT', `/v1/jobs/${job}`, wish({ health: { type: 'exec' } }), 400, 'invalid'],
      ['PUT', `/v1/jobs/${job}`, JSON.stringify(wish({ args: ['x'.repeat(2_000_000)] })), 413, 'too_large'],
      ['DELETE', `/v1/jobs/${job}`, undefined, 404, 'not_found'],
      ['POST', `/v1/jobs/${job}/signal`, { signal: 'SIGHUP' }, 404, 'not_found'],
    ];
    for (const [method, path, body, status, code] of bad) {
      expect([path, await call(method, path, body)]).toMatchObject([path, { status, body: { code } }]);
    }
    expect(await everything()).toEqual(before);
    await setCordon(rig.store, 'a', true, rig.ports);
    expect(await call('PUT', `/v1/jobs/${job}`, wish())).toMatchObject({
      status: 503,
      body: { message: expect.stringContaining('cordoned') as string },
    });
  });

  it('given an omni job, then it is not stopped by hand: it would come back', async () => {
    const { hash } = await putTemplate(rig.store, { kind: 'omni', image: 'app:1' });
    await rig.claim({ job, template: hash, owner: 'omni/router' });
    await rig.until(job, 'up');
    expect(await call('DELETE', `/v1/jobs/${job}`)).toMatchObject({
      status: 409,
      body: { code: 'conflict' },
    });
  });
});

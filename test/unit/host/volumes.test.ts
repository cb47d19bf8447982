// Volumes: made for their owner, found again, never lost in silence, and destroyed only when nobody needs them.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { keys } from '../../../src/lib/api/keys.js';
import { VolumeRecord } from '../../../src/lib/api/volume.js';
import { silentLog } from '../../../src/lib/appliance/log.js';
import { hostApi } from '../../../src/lib/layer0/host/api.js';
import { volumesListed, volumeGone, volumeSeen } from '../../../src/lib/layer0/host/reduce-volumes.js';
import { emptyState } from '../../../src/lib/layer0/host/state.js';
import { host } from './world.js';
import { Rig } from './rig.js';

let rig: Rig;
let db: string;
beforeEach(async () => {
  rig = new Rig();
  const mounts = [{ type: 'volume' as const, source: 'data', target: '/data' }];
  db = (await rig.init({ db: { mounts } })).db ?? '';
  rig.boot();
  await rig.clock.advance(100);
});
afterEach(() => rig.halt());

const call = async (method: string, path: string, body?: object) => {
  if (!rig.agent) throw new Error('no agent');
  const putTemplate = () => Promise.reject(new Error('none'));
  const app = hostApi(rig.agent, { log: silentLog, putTemplate, guarded: false });
  const answer = await app.request(path, { method, ...(body ? { body: JSON.stringify(body) } : {}) });
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
};
const record = async (name = 'data') => {
  const entry = await rig.store.get(keys.volume('a', name));
  return entry && VolumeRecord.parse(JSON.parse(entry.value));
};
const gone = async (job: string) => {
  await rig.want(job, 'stop');
  await rig.until(job, undefined);
};

describe('the volume of a job', () => {
  it('given its first start, then it is made, recorded with its owner, and mounted under the name of its host', async () => {
    const job = await rig.claim({ template: db, owner: 'app/hello/1/db' });
    await rig.until(job, 'up');
    await rig.untilTrue(
      () => rig.agent?.deps.state.volumeRecords.get(keys.volume('a', 'data')) !== undefined,
    );
    expect(await record()).toMatchObject({ name: 'data', host: 'a', owner: 'app/hello' });
    const mounts = rig.docker.byName(`flynn-${job}`)?.spec.mounts;
    expect(mounts).toEqual([{ type: 'volume', source: 'flynn.a.data', target: '/data', readOnly: false }]);
  });

  it('given the job is gone, then its volume stays, and the next job of the same owner gets it', async () => {
    const first = await rig.claim({ template: db, owner: 'app/hello/1/db' });
    await rig.until(first, 'up');
    await gone(first);
    const before = await record();
    const second = await rig.claim({ template: db, owner: 'app/hello/2/db' });
    await rig.until(second, 'up');
    expect(await record()).toEqual(before);
    expect([...rig.docker.volumes.keys()]).toEqual(['flynn.a.data']);
  });

  it('given another owner, then its job does not start and says whose volume it is', async () => {
    const first = await rig.claim({ template: db, owner: 'app/hello/1/db' });
    await rig.until(first, 'up');
    const thief = await rig.claim({ template: db, owner: 'app/other/1/db' });
    await rig.until(thief, 'crashed');
    expect((await rig.status(thief))?.reason).toBe(
      'volume data of host a belongs to app/hello, not to app/other',
    );
    expect(rig.docker.byName(`flynn-${thief}`)).toBeUndefined();
  });

  it('given the data is gone from Docker and recorded, then nothing is started on an empty volume', async () => {
    const value = { name: 'data', host: 'a', owner: 'app/hello', createdAt: 1 };
    await rig.store.put(keys.volume('a', 'data'), JSON.stringify(value));
    await rig.untilTrue(
      () => rig.agent?.deps.state.volumeRecords.get(keys.volume('a', 'data')) !== undefined,
    );
    const job = await rig.claim({ template: db, owner: 'app/hello/1/db' });
    await rig.until(job, 'crashed');
    expect((await rig.status(job))?.reason).toBe('the data of volume data is gone from host a');
    expect(rig.docker.volumes.size).toBe(0);
    expect((await call('GET', '/v1/volumes/data')).body).toMatchObject({ missing: true, usedBy: [job] });
  });

  it('given an agent that was away when the volume was made, then it is recorded later', async () => {
    await rig.halt();
    rig.agentStore.cut();
    rig.docker.volumes.set('flynn.a.old', {
      name: 'flynn.a.old',
      driver: 'local',
      mountpoint: '',
      labels: { 'flynn.volume': 'old', 'flynn.volume.host': 'a', 'flynn.volume.owner': '' },
      createdAt: 5,
    });
    rig.agentStore.heal();
    rig.boot();
    await rig.untilTrue(() => rig.agent?.deps.state.volumeRecords.get(keys.volume('a', 'old')) !== undefined);
    expect(await record('old')).toEqual({ name: 'old', host: 'a', owner: '', createdAt: 5 });
  });
});

describe('volumes over the API', () => {
  it('given a name, then an empty volume is made; again it is the same; for another owner it is a conflict', async () => {
    const made = await call('PUT', '/v1/volumes/cache', { owner: 'app/x', sizeLimit: 1000 });
    expect(made).toMatchObject({
      status: 200,
      body: { name: 'cache', owner: 'app/x', sizeLimit: 1000, usedBy: [] },
    });
    expect(await call('PUT', '/v1/volumes/cache', { owner: 'app/x' })).toEqual(made);
    expect(await call('PUT', '/v1/volumes/cache', {})).toMatchObject({
      status: 409,
      body: { code: 'conflict' },
    });
    expect(await record('cache')).toMatchObject({ sizeLimit: 1000 });
    expect((await call('GET', '/v1/volumes')).body.volumes).toHaveLength(1);
    expect((await call('PUT', '/v1/volumes/..', {})).status).not.toBe(200);
    expect(await call('PUT', '/v1/volumes/A', {})).toMatchObject({ status: 400, body: { code: 'invalid' } });
  });

  it('given a job that uses it, then it is not destroyed; without one its dead containers go with it', async () => {
    const job = await rig.claim({ template: db, owner: 'app/hello/1/db' });
    await rig.until(job, 'up');
    expect(await call('DELETE', '/v1/volumes/data')).toMatchObject({
      status: 409,
      body: { message: expect.stringContaining(job) as string },
    });
    expect(rig.docker.volumes.size).toBe(1);
    await gone(job);
    expect(rig.docker.containersById.size).toBe(1);
    expect((await call('DELETE', '/v1/volumes/data')).body).toEqual({ name: 'data', destroyed: true });
    expect(rig.docker.volumes.size).toBe(0);
    expect(rig.docker.containersById.size).toBe(0);
    expect(await record()).toBeUndefined();
    expect(await call('DELETE', '/v1/volumes/data')).toMatchObject({
      status: 404,
      body: { code: 'not_found' },
    });
  });
});

describe('a list of volumes that was asked for before we changed them', () => {
  it('neither brings back what was destroyed nor hides what was made', () => {
    const state = emptyState(host);
    const volume = (name: string): VolumeRecord => ({ name, host: 'a', owner: '', createdAt: 1 });
    volumesListed(state, [volume('old'), volume('other')], 10);
    volumeGone(state, 'old', 20);
    volumeSeen(state, volume('new'), 20);
    volumesListed(state, [volume('old')], 15);
    expect([...state.volumes.keys()]).toEqual(['new']);
    volumesListed(state, [], 30);
    expect(state.volumes.size).toBe(0);
  });
});

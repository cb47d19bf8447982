// The agent's plan as tables: claims, containers and records in, actions out.
import { describe, expect, it } from 'vitest';
import { keys } from '../../../src/lib/api/keys.js';
import { planHost } from '../../../src/lib/layer0/host/plan.js';
import * as reduce from '../../../src/lib/layer0/host/reduce.js';
import { World, claim, details, jobId, kinds, template, web } from './world.js';

const job = jobId(1);
const statusOf = (w: World, id = job) => w.state.statuses.get(keys.status('a', id))?.value;
const instanceKey = keys.instance('a', 'web.hello', job);

/** A world in which the job runs, is healthy, registered and reported. */
const upWorld = (): World => {
  const w = new World().put(job, claim()).sync();
  w.settle();
  w.verdict(job, 'up');
  w.settle();
  return w;
};
const currentId = (w: World): string => w.state.jobs.get(job)?.container ?? '';

describe('bringing a claimed job up', () => {
  it('given a new claim, when planned, then its container is started, and nothing else is asked for', () => {
    const w = new World().put(job, claim()).sync();
    expect(kinds(w.plan())).toEqual(['start']);
  });

  it('given a release that is still under way, when the claim says run again, then nothing is started meanwhile', () => {
    const w = new World().put(job, claim()).sync();
    w.state.busy.set(`release:${job}`, 'release');
    expect(kinds(w.plan())).not.toContain('start');
    w.state.busy.delete(`release:${job}`);
    expect(kinds(w.plan())).toContain('start');
  });

  it('given a started job, when no check has passed, then it is starting and not registered', () => {
    const w = new World().put(job, claim()).sync();
    w.settle();
    expect(statusOf(w)).toMatchObject({ state: 'starting', starts: 1 });
    expect(w.state.instances.get(instanceKey)).toBeUndefined();
  });

  it('given a healthy job, then it is registered first and reported up with the revision of that', () => {
    const w = new World().put(job, claim()).sync();
    w.settle();
    w.verdict(job, 'up');
    expect(kinds(w.step())).toEqual(['register']);
    expect(kinds(w.step())).toEqual(['status']);
    const instance = w.state.instances.get(instanceKey);
    expect(instance?.value).toMatchObject({ address: '10.0.0.1', port: 20001, meta: { app: 'hello' } });
    expect(statusOf(w)).toMatchObject({
      state: 'up',
      registeredRevision: instance?.revision,
      addresses: { http: '10.0.0.1:20001' },
    });
    expect(w.plan()).toEqual([]);
  });

  it('given the template is unknown, then it is read before anything else', () => {
    const w = new World({ web }).put(job, claim({ t: 'other' })).sync();
    expect(w.plan()).toEqual([{ do: 'template', hash: 'other' }]);
  });

  it('given the image is missing, then it is pulled and the job says so', () => {
    const w = new World().put(job, claim()).sync();
    reduce.imageMissing(w.state, job);
    expect(kinds(w.plan())).toEqual(['status', 'pull']);
    w.step();
    expect(kinds(w.settle())).toEqual(['start', 'status']);
  });

  it('given a pull that fails, then that counts as a failed start and is told', () => {
    const w = new World().put(job, claim()).sync();
    reduce.imageMissing(w.state, job);
    reduce.pulled(w.state, 'app:1', 'image app:1 cannot be pulled: no such host', w.now);
    w.step();
    expect(statusOf(w)).toMatchObject({
      state: 'crashed',
      starts: 1,
      reason: 'image app:1 cannot be pulled: no such host',
    });
  });

  it('given ten claims, then four starts at a time, system jobs first', () => {
    const w = new World({ web, sys: template({ priority: 'system' }) });
    for (let n = 1; n <= 8; n++) w.put(jobId(n), claim());
    w.put(jobId(9), claim({ t: 'sys', o: 'omni/b' })).put(jobId(10), claim({ t: 'sys', o: 'omni/a' }));
    w.state.omnis.set('a', { name: 'a', on: 'all', template: 'sys', order: 1 });
    w.state.omnis.set('b', { name: 'b', on: 'all', template: 'sys', order: 2 });
    w.sync();
    const starts = w.plan().flatMap((a) => (a.do === 'start' ? [a.job] : []));
    expect(starts).toEqual([jobId(10), jobId(9), jobId(1), jobId(2)]);
    w.state.busy.set('container:x', 'start').set('container:y', 'start').set('container:z', 'start');
    expect(w.plan().filter((a) => a.do === 'start')).toHaveLength(1);
  });

  it('given docker has not been listed, then no container action is planned', () => {
    const w = new World().put(job, claim());
    expect(w.plan()).toEqual([]);
  });
});

describe('the end of a container', () => {
  it('given a registered job that dies, then it is withdrawn at once and looked at, before anything else', () => {
    const w = upWorld();
    w.die(currentId(w));
    expect(kinds(w.plan()).sort()).toEqual(['deregister', 'inspect']);
  });

  it.each([
    [1, 0],
    [4, 0],
    [5, 10_000],
    [14, 10_000],
    [15, 30_000],
    [40, 30_000],
  ])('given end number %i in a row, then the next start is %i ms later', (ends, delay) => {
    const w = new World().put(job, claim()).sync();
    let waited = -1;
    for (let i = 1; i <= ends; i++) {
      w.settle();
      const at = w.now.mono;
      w.die(currentId(w));
      while (w.plan().length > 0 && !w.plan().some((a) => a.do === 'start')) w.step();
      const plan = planHost(w.state, w.now);
      waited = plan.actions.some((a) => a.do === 'start') ? 0 : (plan.wakeAt ?? at) - at;
    }
    expect(waited).toBe(delay);
  });

  it('given five minutes up, when it dies, then it counts as the first end', () => {
    const w = upWorld();
    const record = w.state.jobs.get(job);
    if (record) record.attempts = 20;
    w.pass(300_000);
    w.die(currentId(w));
    w.settle();
    expect(w.state.jobs.get(job)?.attempts).toBe(1);
  });

  it('given a crash, then the new container has the same host ports and the old one is kept under another name', () => {
    const w = upWorld();
    const old = currentId(w);
    w.die(old);
    const start = w.settle().find((a) => a.do === 'start');
    expect(start).toMatchObject({
      claim: { p: [20001] },
      starts: 2,
      retire: { id: old, name: `flynn-${job}.1` },
    });
    expect(currentId(w)).not.toBe(old);
  });

  it('given an out-of-memory kill, then the status says at what limit, with the last lines', () => {
    const w = upWorld();
    const id = currentId(w);
    const c = w.containers.get(id);
    w.die(id, 137);
    if (c) w.containers.set(id, { ...c, state: 'exited', details: { ...details(137, ['boom']), oom: true } });
    while (!w.log.some((a) => a.do === 'status' && a.status.state === 'crashed')) w.step();
    const crashed = w.log.findLast((a) => a.do === 'status' && a.status.state === 'crashed');
    expect(crashed).toMatchObject({
      status: { reason: 'killed: out of memory at 64 MiB', tail: ['boom'], exitCode: 137 },
    });
  });

  it.each([
    [0, 'done'],
    [3, 'failed'],
  ])('given a one-off that ends with %i, then it is %s and never started again', (code, state) => {
    const w = new World({ web: template({ kind: 'oneoff' }) }).put(job, claim({ p: [] })).sync();
    w.settle();
    w.die(currentId(w), code);
    expect(kinds(w.settle())).not.toContain('start');
    expect(statusOf(w)).toMatchObject({ state, exitCode: code });
    w.pass(3_600_000);
    expect(w.plan()).toEqual([]);
  });

  it('given a one-off that was started once and whose container is gone, then it failed and is not started', () => {
    const w = new World({ web: template({ kind: 'oneoff' }) }).put(job, claim({ p: [] })).sync();
    w.settle();
    w.containers.clear();
    w.seeDocker();
    expect(kinds(w.settle())).not.toContain('start');
    expect(statusOf(w)).toMatchObject({ state: 'failed', reason: 'its container is gone' });
  });

  it('given a check that fails, then the job is withdrawn, reported unhealthy, and goes on running', () => {
    const w = upWorld();
    w.verdict(job, 'down', 'answered 500');
    expect(kinds(w.settle()).sort()).toEqual(['deregister', 'status']);
    expect(statusOf(w)).toMatchObject({ state: 'unhealthy', reason: 'answered 500' });
    w.verdict(job, 'up');
    expect(kinds(w.settle())).toEqual(['register', 'status']);
  });

  it('given an instance that somebody else withdrew, then it is offered again after a pause, not in a fight', () => {
    const w = upWorld();
    reduce.instanceGone(w.state, instanceKey, ++w.revision, w.now, true);
    expect(kinds(w.plan())).not.toContain('register');
    w.pass(4_999);
    expect(kinds(w.plan())).not.toContain('register');
    w.pass(1);
    expect(kinds(w.plan())).toContain('register');
  });
});

describe('stopping', () => {
  it('given want=stop and no consumer, then withdraw, SIGTERM, release, forget: in that order', () => {
    const w = upWorld();
    w.put(job, claim({ w: 'stop' }));
    expect(kinds(w.settle())).toEqual(['status', 'deregister', 'signal', 'release', 'forget']);
  });

  it('given a registration that is under way, then SIGTERM waits for it and for the withdrawal that follows', () => {
    const w = new World().put(job, claim()).sync();
    w.settle();
    w.verdict(job, 'up');
    w.state.busy.set(`instance:${job}`, 'register');
    w.put(job, claim({ w: 'stop' }));
    expect(kinds(w.plan())).not.toContain('signal');
    w.state.busy.delete(`instance:${job}`);
    reduce.instancePut(
      w.state,
      instanceKey,
      { address: '10.0.0.1', port: 20001, since: 1, meta: {} },
      ++w.revision,
    );
    expect(kinds(w.settle())).toEqual(['status', 'deregister', 'signal', 'release', 'forget']);
  });

  it('given a consumer, then SIGTERM waits until it applied the withdrawal and drained', () => {
    const w = upWorld().consumer('r1', { host: 'a', applied: 0, draining: {} });
    w.put(job, claim({ w: 'stop' }));
    w.step();
    expect(w.step()).toEqual([]);
    const revision = w.state.jobs.get(job)?.withdrawn?.revision ?? 0;
    w.consumer('r1', { host: 'a', applied: revision, draining: { [job]: 2 } });
    expect(w.plan()).toEqual([]);
    w.consumer('r1', { host: 'a', applied: revision, draining: {} });
    expect(kinds(w.plan())).toEqual(['signal']);
  });

  it('given a consumer that never answers, then it is waited for 10 s and no longer', () => {
    const w = upWorld().consumer('r1', { host: 'a', applied: 0, draining: {} });
    w.put(job, claim({ w: 'stop' }));
    w.step();
    w.pass(9_999);
    expect(w.plan()).toEqual([]);
    w.pass(1);
    expect(kinds(w.plan())).toEqual(['signal']);
  });

  it('given an agent that was restarted in the middle of a drain, then the 10 s are waited for', () => {
    const w = upWorld().consumer('r1', { host: 'a', applied: 0, draining: {} });
    w.put(job, claim({ w: 'stop' }));
    w.step();
    const after = new World();
    for (const c of w.containers.values()) after.containers.set(c.id, { ...c, details: undefined });
    after.state.statuses.put(keys.status('a', job), { ...statusOf(w)!, state: 'stopping' }, 1);
    after.consumer('r1', { host: 'a', applied: 0, draining: {} });
    after.put(job, claim({ w: 'stop' })).sync();
    expect(kinds(after.plan())).not.toContain('signal');
    after.pass(10_000);
    expect(kinds(after.plan())).toContain('signal');
  });

  it('given a container that ignores SIGTERM, then SIGKILL after its stop timeout', () => {
    const w = upWorld();
    w.put(job, claim({ w: 'stop' }));
    w.step();
    const [signal] = w.plan();
    expect(signal).toMatchObject({ do: 'signal', signal: 'SIGTERM' });
    reduce.signalled(w.state, job, 'SIGTERM', w.now);
    w.pass(29_999);
    expect(w.plan()).toEqual([]);
    w.pass(1);
    expect(w.plan()).toMatchObject([{ do: 'signal', signal: 'SIGKILL' }]);
  });

  it('given the claim is not released before the container has ended, then its resources are not sold twice', () => {
    const w = upWorld();
    w.put(job, claim({ w: 'stop' }));
    w.step();
    reduce.signalled(w.state, job, 'SIGTERM', w.now);
    expect(w.plan()).toEqual([]);
    w.die(currentId(w), 0);
    expect(kinds(w.plan())).toEqual(['release']);
  });

  it('given a claim that was never started, then it is released at once', () => {
    const w = new World().put(job, claim({ w: 'stop' })).sync();
    expect(kinds(w.settle())).toEqual(['status', 'release', 'forget']);
  });
});

describe('absence of information', () => {
  const stops = (w: World) =>
    w.plan().filter((a) => ['signal', 'release', 'deregister', 'collect'].includes(a.do));

  it('given claims that were never read, then nothing is stopped, not even on a copy that says stop', () => {
    const w = new World();
    w.container(job);
    w.seeDocker();
    expect(w.plan()).toEqual([]);
    w.state.claims.seed(keys.claim('a', job), claim({ w: 'stop' }));
    w.state.claimsFrom = 'disk';
    w.state.listed.instances = true;
    reduce.syncRecords(w.state);
    expect(stops(w)).toEqual([]);
  });

  it('given an emptied list of claims, then running containers are reported once and left alone', () => {
    const w = upWorld();
    w.claims.clear();
    w.seeStore();
    expect(kinds(w.settle())).toEqual(['adopt']);
    expect([...w.containers.values()].map((c) => c.state)).toEqual(['running']);
    expect(w.state.instances.get(instanceKey)).toBeDefined();
  });

  it('given a store that was restored, then a claim that says stop is not followed', () => {
    const w = upWorld();
    w.state.adoptMode = true;
    w.put(job, claim({ w: 'stop' }));
    expect(stops(w)).toEqual([]);
  });

  it('given a lost claim, then the job goes on, restarts included', () => {
    const w = upWorld();
    w.put(job, claim({ w: 'lost' }));
    expect(w.plan()).toEqual([]);
    w.die(currentId(w));
    expect(kinds(w.settle())).toContain('start');
  });

  it('given docker that does not answer, then records stay and nothing is done to containers', () => {
    const w = upWorld();
    w.state.dockerUp = false;
    w.put(job, claim({ w: 'stop' }));
    expect(w.plan().map((a) => a.do)).toEqual(['status']);
    expect(w.state.jobs.get(job)).toMatchObject({ verdict: 'up' });
  });

  it('given an agent to which Docker has not answered yet, then no instance is withdrawn', () => {
    const w = new World();
    w.state.instances.put(instanceKey, { address: '10.0.0.1', port: 20001, since: 0, meta: {} }, 5);
    w.put(job, claim());
    expect(w.plan()).toEqual([]);
    w.seeDocker();
    expect(kinds(w.plan())).toContain('deregister');
  });

  it('given claims from disk, then services start after the grace, one-offs and stops never', () => {
    const w = new World({ web, once: template({ kind: 'oneoff' }) });
    w.state.claims.seed(keys.claim('a', jobId(1)), claim());
    w.state.claims.seed(keys.claim('a', jobId(2)), claim({ t: 'once', p: [] }));
    w.state.claims.seed(keys.claim('a', jobId(3)), claim({ w: 'stop' }));
    w.state.claimsFrom = 'disk';
    w.state.diskStartsAt = w.now.mono + 3_000;
    w.seeDocker();
    expect(w.plan()).toEqual([]);
    w.pass(3_000);
    expect(w.plan()).toMatchObject([{ do: 'start', job: jobId(1) }]);
    expect(w.settle()).toHaveLength(1);
  });
});

describe('the agent itself restarts', () => {
  const restarted = (from: World): World => {
    const w = new World();
    for (const c of from.containers.values()) w.containers.set(c.id, c);
    for (const [key, kept] of from.state.statuses.entries())
      w.state.statuses.put(key, kept.value, kept.revision);
    for (const [key, kept] of from.state.instances.entries())
      w.state.instances.put(key, kept.value, kept.revision);
    for (const [id, value] of from.claims) w.claims.set(id, value);
    w.revision = from.revision;
    return w.sync();
  };

  it('given a healthy registered job, then it is neither restarted, withdrawn nor reported again', () => {
    const w = restarted(upWorld());
    expect(kinds(w.settle())).toEqual(['inspect']);
    w.verdict(job, 'up');
    expect(w.plan()).toEqual([]);
  });

  it('given a job that turns out to be down, then it is withdrawn', () => {
    const w = restarted(upWorld());
    w.settle();
    w.verdict(job, 'down', 'refused');
    expect(kinds(w.settle()).sort()).toEqual(['deregister', 'status']);
  });

  it('given the host was rebooted, then ended services are started anew, with the count going on', () => {
    const before = upWorld();
    for (const c of before.containers.values()) before.containers.set(c.id, { ...c, state: 'exited' });
    const w = restarted(before);
    expect(w.settle().find((a) => a.do === 'start')).toMatchObject({ starts: 2 });
  });
});

describe('what has no claim', () => {
  it('given omni jobs, then this host claims those of its roles, the lowest order first, one at a time', () => {
    const w = new World();
    w.state.omnis.set('router', { name: 'router', on: 'all', template: 'web', order: 20 });
    w.state.omnis.set('sampi', { name: 'sampi', on: 'control', template: 'web', order: 10 });
    w.sync();
    expect(w.plan()).toMatchObject([{ do: 'claim-omni', name: 'sampi' }]);
    w.settle();
    expect([...w.claims.values()].map((c) => c.o).sort()).toEqual(['omni/router', 'omni/sampi']);
    w.state.host = { ...w.state.host, control: false };
    w.claims.clear();
    w.seeStore();
    expect(w.plan().filter((a) => a.do === 'claim-omni')).toMatchObject([{ name: 'router' }]);
  });

  it('given an omni claim that is being stopped, then no second one is made', () => {
    const w = new World();
    w.state.omnis.set('router', { name: 'router', on: 'all', template: 'web', order: 20 });
    w.put(job, claim({ o: 'omni/router', w: 'stop' })).sync();
    w.container(job);
    w.seeDocker();
    expect(kinds(w.plan())).not.toContain('claim-omni');
  });

  it('given 27 dead containers of an app and 3 of another, then the two oldest of the first are collected', () => {
    const w = new World();
    for (let n = 1; n <= 27; n++) w.container(jobId(n), { state: 'exited' });
    for (let n = 30; n <= 32; n++) w.container(jobId(n), { state: 'exited', owner: 'app/other/1/web' });
    w.sync();
    expect(w.plan()).toMatchObject([
      { do: 'collect', container: 'c1' },
      { do: 'collect', container: 'c2' },
    ]);
    w.settle();
    expect(w.plan()).toEqual([]);
  });

  it('given any number of running containers without a claim, then none of them is collected', () => {
    const w = new World();
    for (let n = 1; n <= 40; n++) w.container(jobId(n));
    w.sync();
    expect(new Set(kinds(w.settle()))).toEqual(new Set(['adopt']));
  });

  it('given a record of an instance without claim or container, then it is removed', () => {
    const w = new World();
    w.state.instances.put(instanceKey, { address: '10.0.0.1', port: 1, since: 0, meta: {} }, 5);
    w.sync();
    expect(w.plan()).toEqual([{ do: 'deregister', job, key: instanceKey }]);
  });

  it('given what a program has registered by itself, then no plan withdraws it: it hangs on its lease', () => {
    const w = new World().put(job, claim()).sync();
    w.settle();
    w.state.instances.put(`${instanceKey}.8080`, { address: '10.0.0.1', port: 1, since: 0, meta: {} }, 5);
    expect(w.plan()).toEqual([]);
    w.state.instances.put(
      keys.instance('a', 'db', 'host.1'),
      { address: '10.0.0.1', port: 1, since: 0, meta: {} },
      6,
    );
    expect(w.plan()).toEqual([]);
  });
});

describe('failed actions', () => {
  it('given an action that failed, then it waits, and the plan says when to come back', () => {
    const w = new World().put(job, claim()).sync();
    reduce.actionFailed(w.state, `start/container:${job}`, 'x', w.now, 1);
    const plan = planHost(w.state, w.now);
    expect(plan.actions).toEqual([]);
    expect(plan.wakeAt).toBe(w.now.mono + 100);
    w.pass(100);
    expect(kinds(w.plan())).toEqual(['start']);
  });
});

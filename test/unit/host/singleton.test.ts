// Singletons: their turn, their epoch, and the order of events when the lease cannot be renewed. RULES' figures.
import { describe, expect, it } from 'vitest';
import { keys } from '../../../src/lib/api/keys.js';
import type { Action } from '../../../src/lib/layer0/host/actions.js';
import { leaseRenewed } from '../../../src/lib/layer0/host/reduce-singletons.js';
import { containerSpec } from '../../../src/lib/layer0/host/spec.js';
import { Rig } from './rig.js';
import { World, claim, host, jobId, kinds, template } from './world.js';

const job = jobId(1);
const cron = template({ kind: 'singleton', singleton: { name: 'hello/cron' } });
const single = () => claim({ t: 'cron', o: 'app/hello/3/cron', p: [] });
const otherKey = keys.singleton('b', 'b-1');
const newWorld = (): World => {
  const w = new World({ cron }).put(job, single()).sync();
  w.seeSingletons();
  return w;
};
/** A world in which the singleton runs. */
const running = (): World => {
  const w = newWorld();
  w.runFor(4_000);
  expect(kinds(w.log)).toContain('start');
  return w;
};
const leaseOf = (w: World) => w.state.jobs.get(job)?.lease;
const at = (w: World, what: (action: Action) => boolean): number => {
  let found = Number.NaN;
  w.watch = (action) => {
    if (Number.isNaN(found) && what(action)) found = w.now.mono;
  };
  w.runFor(40_000);
  return found;
};
const isSignal = (signal: string) => (action: Action) => action.do === 'signal' && action.signal === signal;

describe('the turn of a singleton', () => {
  it('given nobody else, then it has a lease first, and starts 3 s later with its epoch', () => {
    const w = newWorld();
    expect(kinds(w.step())).toEqual(['status', 'lease-open']);
    const began = w.now.mono;
    const started = at(w, (a) => a.do === 'start');
    expect(started - began).toBe(3_000);
    const start = w.log.find((a) => a.do === 'start');
    expect(start).toMatchObject({ epoch: leaseOf(w)?.epoch });
  });

  it('given the key of another host, then it waits, says for whom, and starts 3 s after that key is gone', () => {
    const w = newWorld();
    w.singletons.set(otherKey, { name: 'hello/cron', epoch: 7, lease: 'theirs' });
    w.seeSingletons();
    expect(kinds(w.runFor(30_000))).not.toContain('start');
    expect(w.state.statuses.get(keys.status('a', job))?.value).toMatchObject({
      state: 'pending',
      reason: 'waits for the end of b-1',
    });
    w.expire('theirs');
    w.seeSingletons();
    const gone = w.now.mono;
    expect(at(w, (a) => a.do === 'start') - gone).toBe(3_000);
    expect(leaseOf(w)?.epoch).toBeGreaterThan(7);
  });

  it('given keys of other names, or younger ones of the same, then it does not wait for them', () => {
    const w = newWorld();
    w.singletons.set(otherKey, { name: 'hello/else', epoch: 7, lease: 'x' });
    w.singletons.set(keys.singleton('c', 'c-1'), { name: 'hello/cron', epoch: 9_999, lease: 'y' });
    w.seeSingletons();
    expect(kinds(w.runFor(5_000))).toContain('start');
  });

  it('given its own key was not seen yet, then nothing is known of the others, and it does not start', () => {
    const w = newWorld();
    w.step();
    w.state.singletons.clear();
    const lease = leaseOf(w);
    if (lease) delete lease.firstSince;
    expect(kinds(w.runFor(8_000))).not.toContain('start');
  });

  it('given only the copy on disk, a lost claim, or a restored store, then it gets no lease and does not start', () => {
    const offline = newWorld();
    offline.state.claimsFrom = 'disk';
    expect(kinds(offline.runFor(60_000))).not.toContain('start');
    const lost = new World({ cron }).put(job, { ...single(), w: 'lost' }).sync();
    const restored = newWorld();
    restored.state.adoptMode = true;
    for (const w of [lost, restored, offline]) {
      const done = kinds(w.runFor(60_000));
      expect(done).not.toContain('start');
      expect(done).not.toContain('lease-open');
    }
  });
});

describe('a singleton whose lease cannot be renewed', () => {
  it('gets SIGTERM 10 s after the last renewal was sent, and SIGKILL 17 s after it', () => {
    const w = running();
    w.runFor(10_000);
    expect(kinds(w.log)).not.toContain('signal');
    w.away = true;
    w.deaf.add(job);
    const sent = leaseOf(w)?.sentAt ?? 0;
    const seen: Record<string, number> = {};
    w.watch = (action) => {
      if (action.do === 'signal') seen[action.signal] ??= w.now.mono - sent;
    };
    w.runFor(30_000);
    expect(seen).toEqual({ SIGTERM: 10_000, SIGKILL: 17_000 });
  });

  it('is not started again while the store is away, and then with a higher epoch, 3 s after its turn', () => {
    const w = running();
    const first = leaseOf(w)?.epoch ?? 0;
    w.away = true;
    w.runFor(60_000);
    const before = w.log.filter((a) => a.do === 'start').length;
    expect(before).toBe(1);
    expect(leaseOf(w)).toBeUndefined();
    w.away = false;
    w.singletons.clear();
    w.seeSingletons();
    w.runFor(60_000);
    const last = w.log.findLast((a) => a.do === 'start');
    expect(last).toMatchObject({ do: 'start' });
    expect(last?.do === 'start' && (last.epoch ?? 0)).toBeGreaterThan(first);
    expect(w.state.statuses.get(keys.status('a', job))?.value.reason).toBe(
      'ended: its lease could not be renewed',
    );
  });

  it('given an answer that comes after the SIGTERM, then it is ended all the same, and at the same time', () => {
    const w = running();
    w.away = true;
    w.deaf.add(job);
    const lease = { ...leaseOf(w)! };
    w.watch = (action) => {
      if (!isSignal('SIGTERM')(action)) return;
      w.away = false;
    };
    w.runFor(lease.sentAt + 11_000 - w.now.mono);
    const late = { id: lease.id, epoch: lease.epoch, sentAt: w.now.mono - 500 };
    leaseRenewed(w.state, job, late, w.now);
    expect(at(w, isSignal('SIGKILL')) - lease.sentAt).toBe(17_000);
  });

  it('given the store says that the lease is gone, then it is ended at once, and killed 2 s later', () => {
    const w = running();
    w.deaf.add(job);
    w.expire(leaseOf(w)?.id ?? '');
    const seen: Record<string, number> = {};
    let gone = 0;
    w.watch = (action) => {
      if (action.do === 'lease-renew') gone ||= w.now.mono;
      if (action.do === 'signal') seen[action.signal] ??= w.now.mono - gone;
    };
    w.runFor(10_000);
    expect(seen).toEqual({ SIGTERM: 0, SIGKILL: 2_000 });
  });

  it('given its host stood still until after the lease, then it is killed as soon as it moves again', () => {
    const w = running();
    w.deaf.add(job);
    w.singletons.clear();
    w.pass(60_000);
    const now = w.now.mono;
    expect(at(w, isSignal('SIGKILL')) - now).toBeLessThan(10);
  });
});

describe('an agent that is started again', () => {
  const reborn = (): World => {
    const w = running();
    w.restartAgent();
    w.seeStore().seeDocker();
    return w;
  };

  it('given its key is in the store with the epoch of the container, then the singleton goes on with its lease', () => {
    const w = reborn();
    w.seeSingletons();
    expect(w.runFor(60_000).filter(isSignal('SIGTERM'))).toEqual([]);
    expect(leaseOf(w)).toMatchObject({ epoch: [...w.singletons.values()][0]?.epoch });
  });

  it('given the key is gone or another one, then the singleton is ended at once', () => {
    for (const epoch of [undefined, 99_999]) {
      const w = reborn();
      w.singletons.clear();
      if (epoch) w.singletons.set(keys.singleton('a', job), { name: 'hello/cron', epoch, lease: 'new' });
      w.seeSingletons();
      const now = w.now.mono;
      expect(at(w, isSignal('SIGTERM')) - now).toBeLessThan(10);
    }
  });

  it('given the store is away, then it is ended after 2 s: nobody knows when its lease was renewed', () => {
    const w = reborn();
    Object.assign(w.state.listed, { singletons: false });
    w.state.claimsFrom = 'disk';
    w.away = true;
    w.deaf.add(job);
    const began = w.state.bootedAt;
    const term = at(w, isSignal('SIGTERM'));
    expect(term - began).toBeGreaterThanOrEqual(2_000);
    expect(term - began).toBeLessThan(2_100);
    expect(w.log.some(isSignal('SIGKILL'))).toBe(true);
  });
});

describe('a singleton that is to be stopped', () => {
  it('keeps its lease until its container has ended, gives it back, and only then its claim', () => {
    const w = running();
    w.deaf.add(job);
    w.put(job, { ...single(), w: 'stop' });
    const done = w.runFor(60_000);
    const order = kinds(done).filter((kind) => ['signal', 'lease-close', 'release'].includes(kind));
    expect(order).toEqual(['signal', 'signal', 'lease-close', 'release']);
    expect(kinds(done)).toContain('lease-renew');
    expect(w.singletons.size).toBe(0);
  });

  it('given the lease cannot be given back, then the claim stays until it can', () => {
    const w = running();
    w.put(job, { ...single(), w: 'stop' });
    w.watch = (action) => {
      if (action.do === 'signal') w.away = true;
    };
    expect(kinds(w.runFor(5_000))).not.toContain('release');
    w.away = false;
    expect(kinds(w.runFor(10_000))).toContain('release');
  });
});

describe('the container of a singleton', () => {
  it('is told its epoch, and says it itself', () => {
    const input = {
      job,
      claim: single(),
      template: cron,
      host,
      secrets: {},
      starts: 1,
      attempts: 0,
      epoch: 42,
    };
    const spec = containerSpec(input);
    expect(spec.env).toMatchObject({ FLYNN_EPOCH: '42' });
    expect(spec.labels).toMatchObject({ 'flynn.epoch': '42' });
  });
});

describe('an agent with a singleton', () => {
  it('keeps its lease in the store; one that dies with its container comes back with a higher epoch', async () => {
    const rig = new Rig();
    const { cron: hash = '' } = await rig.init({
      cron: { kind: 'singleton', singleton: { name: 'x/cron' } },
    });
    rig.boot();
    const id = await rig.claim({ template: hash, owner: 'app/x/1/cron' });
    await rig.until(id, 'up');
    const key = keys.singleton('a', id);
    const first = await rig.store.get(key);
    expect(JSON.parse(first?.value ?? '')).toEqual({ name: 'x/cron' });
    const epochs = () => rig.docker.byName(`flynn-${id}`)?.spec.env?.FLYNN_EPOCH;
    expect(epochs()).toBe(String(first?.createRevision));
    await rig.clock.advance(60_000);
    expect((await rig.store.get(key))?.createRevision).toBe(first?.createRevision);
    await rig.halt();
    rig.docker.end(rig.docker.byName(`flynn-${id}`)?.id ?? '', 1);
    rig.boot();
    // Within its lease: a new one was had, nobody waited for the old one to expire.
    await rig.untilTrue(() => epochs() !== String(first?.createRevision), 10_000);
    await rig.until(id, 'up');
    const second = await rig.store.get(key);
    expect(second?.createRevision).toBeGreaterThan(first?.createRevision ?? 0);
    expect(epochs()).toBe(String(second?.createRevision));
    await rig.want(id, 'stop');
    await rig.until(id, undefined);
    expect(await rig.store.get(key)).toBeUndefined();
    await rig.halt();
  });
});

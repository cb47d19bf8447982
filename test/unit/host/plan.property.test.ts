// Properties of the agent's plan over whatever can happen to a host, in any order.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { JobTemplate } from '../../../src/lib/api/job.js';
import { isRunning } from '../../../src/lib/layer0/host/state.js';
import { World, claim, host, jobId, template, web } from './world.js';

const templates: Record<string, JobTemplate> = {
  web,
  once: template({ kind: 'oneoff' }),
  sys: template({
    kind: 'omni',
    network: 'host',
    priority: 'system',
    ports: [{ name: 'api', container: 1116 }],
  }),
};

const job = fc.integer({ min: 1, max: 5 });
const event = fc.oneof(
  fc.record({
    type: fc.constant('claim'),
    job,
    t: fc.constantFrom('web', 'once', 'sys'),
    deaf: fc.boolean(),
  }),
  fc.record({ type: fc.constant('want'), job, w: fc.constantFrom('stop', 'lost', 'run') }),
  fc.record({ type: fc.constant('lose-claim'), job }),
  fc.record({ type: fc.constant('end'), job, code: fc.constantFrom(0, 1, 137) }),
  fc.record({ type: fc.constant('judge'), job, verdict: fc.constantFrom('up', 'down') }),
  fc.record({ type: fc.constant('vanish'), job }),
  fc.record({ type: fc.constant('stray'), job: fc.integer({ min: 10, max: 12 }), running: fc.boolean() }),
  fc.record({ type: fc.constant('consumer'), applied: fc.integer({ min: 0, max: 300 }), open: fc.boolean() }),
  fc.record({ type: fc.constant('docker'), up: fc.boolean() }),
  fc.record({ type: fc.constant('time'), ms: fc.integer({ min: 1, max: 400_000 }) }),
  fc.record({ type: fc.constant('steps'), n: fc.integer({ min: 1, max: 4 }) }),
  fc.record({ type: fc.constant('restart'), heard: fc.constantFrom('nothing', 'disk', 'store') }),
  fc.record({ type: fc.constant('see') }),
);
type Event = typeof event extends fc.Arbitrary<infer E> ? E : never;

const happen = (w: World, e: Event): void => {
  const id = 'job' in e ? jobId(e.job) : '';
  const current = w.state.jobs.get(id)?.container ?? '';
  switch (e.type) {
    case 'claim':
      if (w.claims.has(id) || w.state.jobs.has(id)) return;
      if (e.deaf) w.deaf.add(id);
      w.claims.set(id, claim({ t: e.t, p: e.t === 'web' ? [20000 + e.job] : [] }));
      return;
    case 'want': {
      const known = w.claims.get(id);
      // A scheduler never takes a stop back.
      if (known && known.w !== 'stop') w.claims.set(id, { ...known, w: e.w });
      return;
    }
    case 'lose-claim':
      w.claims.delete(id);
      return;
    case 'end':
      return w.die(current, e.code);
    case 'judge':
      w.verdict(id, e.verdict);
      return;
    case 'vanish':
      w.containers.delete(current);
      return;
    case 'stray':
      if (![...w.containers.values()].some((c) => c.job === id)) {
        w.container(id, { state: e.running ? 'running' : 'exited' });
      }
      return;
    case 'consumer':
      w.consumer('r', { host: 'a', applied: e.applied, draining: e.open ? { [jobId(1)]: 1 } : {} });
      return;
    case 'docker':
      if (e.up) w.seeDocker();
      else w.state.dockerUp = false;
      return;
    case 'time':
      w.pass(e.ms);
      return;
    case 'steps':
      for (let i = 0; i < e.n; i++) w.step();
      return;
    case 'restart':
      w.restartAgent();
      if (e.heard === 'store') w.sync();
      if (e.heard === 'disk') {
        for (const [name, value] of w.claims) w.state.claims.seed(`claims/${host.name}/${name}`, value);
        w.state.claimsFrom = 'disk';
        w.seeDocker();
      }
      return;
    case 'see':
      w.sync();
  }
};

/** Fails at once when a container is touched without leave. */
const guard = (w: World, violations: string[]): void => {
  w.watch = (action) => {
    const says =
      'job' in action ? w.state.claims.get(`claims/${host.name}/${action.job}`)?.value.w : undefined;
    if (action.do === 'signal' || action.do === 'release') {
      if (says !== 'stop' || w.state.claimsFrom !== 'store')
        violations.push(`${action.do} of a job that says ${says}`);
    }
    if (action.do === 'signal' && w.state.instances.get(`instances/${host.name}/web.hello/${action.job}`)) {
      violations.push('signalled before it was withdrawn');
    }
    if (
      action.do === 'release' &&
      isRunning(w.containers.get(w.state.jobs.get(action.job)?.container ?? ''))
    ) {
      violations.push('released while its container runs');
    }
    if (action.do === 'collect' && isRunning(w.containers.get(action.container))) {
      violations.push('collected a running container');
    }
    if (action.do === 'start' && action.template.kind === 'oneoff' && action.starts > 1) {
      violations.push('a one-off was started twice');
    }
  };
};

const world = (omni: boolean): World => {
  const w = new World(templates);
  if (omni) w.state.omnis.set('sampi', { name: 'sampi', on: 'control', template: 'sys', order: 1 });
  return w;
};

describe('for whatever happens to a host', () => {
  it('then nothing is stopped without a claim that says stop, and the plan converges and is idle', () => {
    fc.assert(
      fc.property(fc.boolean(), fc.array(event, { maxLength: 40 }), (omni, events) => {
        const w = world(omni);
        const violations: string[] = [];
        guard(w, violations);
        for (const e of events) happen(w, e);
        w.consumer('r', { host: 'a', applied: 1_000_000, draining: {} });
        w.sync();
        w.settle();
        w.sync();
        w.settle();
        expect(violations).toEqual([]);
        expect(w.plan()).toEqual([]);
        w.sync();
        expect(w.plan()).toEqual([]);
        for (const [id, c] of w.claims) {
          expect(c.w).not.toBe('stop');
          const runs = [...w.containers.values()].filter((x) => x.job === id && isRunning(x)).length;
          if (c.t !== 'once') expect(runs).toBe(1);
        }
      }),
      { numRuns: 600 },
    );
  });

  it('then a plan made twice of the same world is the same, and changes nothing', () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 25 }), (events) => {
        const w = world(true);
        for (const e of events) happen(w, e);
        const first = JSON.stringify(w.plan());
        expect(JSON.stringify(w.plan())).toBe(first);
      }),
      { numRuns: 200 },
    );
  });
});

// Restart policies: which ends are for good, also for an agent that did not see them.
import { describe, expect, it } from 'vitest';
import { keys } from '../../../src/lib/api/keys.js';
import type { RestartPolicy } from '../../../src/lib/api/job.js';
import { World, claim, jobId, kinds, template } from './world.js';

const job = jobId(1);
const worldOf = (policy: RestartPolicy['policy']): World => {
  const w = new World({ web: template({ restart: { policy } }) }).put(job, claim({ p: [] })).sync();
  w.settle();
  return w;
};
const stateOf = (w: World) => w.state.statuses.get(keys.status('a', job))?.value.state;
const end = (w: World, code: number): string[] => {
  w.die(w.state.jobs.get(job)?.container ?? '', code);
  return kinds(w.settle());
};

describe('a job that ended', () => {
  it.each([
    ['always', 0, true],
    ['always', 1, true],
    ['on-failure', 0, false],
    ['on-failure', 3, true],
    ['never', 0, false],
    ['never', 3, false],
  ] as const)('given policy %s and code %i, then started again: %s', (policy, code, again) => {
    const w = worldOf(policy);
    expect(end(w, code).includes('start')).toBe(again);
    if (!again) expect(stateOf(w)).toBe(code === 0 ? 'done' : 'failed');
  });

  it.each(['on-failure', 'never'] as const)(
    'given policy %s and an agent that comes later, then what ended well stays so, container or not',
    (policy) => {
      for (const kept of [true, false]) {
        const w = worldOf(policy);
        end(w, 0);
        if (!kept) w.containers.clear();
        w.restartAgent();
        w.seeStore().seeDocker();
        expect(kinds(w.settle())).not.toContain('start');
        expect(stateOf(w)).toBe('done');
      }
    },
  );

  it.each(['on-failure', 'never'] as const)(
    'given policy %s and only the copy on disk, then nothing is started whose end is not known',
    (policy) => {
      const w = worldOf(policy);
      end(w, 0);
      w.containers.clear();
      const claims = w.state.claims;
      w.restartAgent();
      w.state.statuses.remove(keys.status('a', job), Number.MAX_SAFE_INTEGER);
      Object.assign(w.state, { claims, claimsFrom: 'disk' });
      w.seeDocker();
      expect(kinds(w.settle())).not.toContain('start');
    },
  );
});

// Deployments as pure decisions: what may run, and the verdict.
import { describe, expect, it } from 'vitest';
import {
  judgeDeployment,
  rollout,
  stepsOf,
  type JudgeInput,
  type NewJobView,
  type RolloutInput,
} from '../../../src/lib/layer1/controller/deployments/plan.js';

const base: RolloutInput = {
  strategy: 'all-at-once',
  formation: { web: 4 },
  from: ['web'],
  to: ['web'],
  serving: {},
  booked: {},
  batch: 2,
};

describe('what may run of the old and the new release', () => {
  it.each([
    ['all-at-once', 0, { from: { web: 4 }, to: { web: 4 } }],
    ['one-by-one', 0, { from: { web: 4 }, to: { web: 1 } }],
    ['one-by-one', 1, { from: { web: 3 }, to: { web: 2 } }],
    ['one-by-one', 4, { from: { web: 0 }, to: { web: 4 } }],
    ['in-batches', 0, { from: { web: 4 }, to: { web: 2 } }],
    ['in-batches', 2, { from: { web: 2 }, to: { web: 4 } }],
  ] as const)('%s with %i new ones serving', (strategy, serving, expected) => {
    expect(rollout({ ...base, strategy, serving: { web: serving } })).toEqual(expected);
  });

  it('a new job that stumbles is not stopped, and an old one comes back for it', () => {
    expect(rollout({ ...base, strategy: 'one-by-one', serving: { web: 1 }, booked: { web: 3 } })).toEqual({
      from: { web: 3 },
      to: { web: 3 },
    });
  });

  it('a type that the new release lacks keeps running until the end; a new type starts', () => {
    const input = {
      ...base,
      formation: { web: 1, worker: 2, clock: 1 },
      from: ['web', 'worker'],
      to: ['web', 'clock'],
    };
    expect(rollout(input)).toEqual({ from: { web: 1, worker: 2 }, to: { web: 1, clock: 1 } });
  });

  it('steps are batches of the largest type', () => {
    expect(stepsOf('all-at-once', { web: 9 }, 3)).toBe(1);
    expect(stepsOf('one-by-one', { web: 9, worker: 2 }, 3)).toBe(9);
    expect(stepsOf('in-batches', { web: 10 }, 3)).toBe(4);
  });
});

const job = (more: Partial<NewJobView> = {}): NewJobView => ({
  name: 'web.1 on a',
  type: 'web',
  serving: false,
  failedStarts: 0,
  hopeless: false,
  ...more,
});
const judge = (more: Partial<JudgeInput> = {}) =>
  judgeDeployment({
    deployment: { startedAt: 0, timeoutMs: 120_000, failedStarts: 0 },
    formation: { web: 2 },
    types: ['web'],
    jobs: [],
    steps: 1,
    now: 1_000,
    watchedMs: 1_000,
    ...more,
  });

describe('the verdict', () => {
  it('is complete when every type of the new release serves in full', () => {
    expect(judge({ jobs: [job({ serving: true }), job({ serving: true })] })).toEqual({ state: 'complete' });
    expect(judge({ jobs: [job({ serving: true }), job()] }).state).toBe('running');
    expect(judge({ formation: { web: 0 } }).state).toBe('complete');
  });

  it('is failed after five failed starts, counted over jobs and kept over leaders', () => {
    const crashed = job({ failedStarts: 2, reason: 'exited with 1', tail: ['boom'] });
    expect(judge({ jobs: [crashed, crashed] })).toEqual({ state: 'running', failedStarts: 4 });
    const verdict = judge({ jobs: [crashed, crashed, job({ failedStarts: 1 })] });
    expect(verdict).toMatchObject({ state: 'failed', failedStarts: 5, tail: ['boom'] });
    expect(verdict).toHaveProperty('reason', '5 starts failed; web.1 on a: exited with 1');
    expect(judge({ deployment: { startedAt: 0, timeoutMs: 120_000, failedStarts: 5 } }).state).toBe('failed');
  });

  it('is failed at once when the image cannot be had', () => {
    const verdict = judge({
      jobs: [job({ hopeless: true, failedStarts: 1, reason: 'image x:1 cannot be pulled' })],
    });
    expect(verdict).toMatchObject({ reason: 'web.1 on a cannot start: image x:1 cannot be pulled' });
  });

  it('is failed at the timeout, and says what stood in the way', () => {
    const late = { now: 120_000, watchedMs: 120_000 };
    expect(judge({ ...late, jobs: [job({ serving: true })], problem: 'no capacity: ...' })).toMatchObject({
      state: 'failed',
      reason: 'not serving after 120 s: web 1 of 2; no capacity: ...',
    });
    expect(judge({ ...late, now: 119_999, watchedMs: 119_999 }).state).toBe('running');
    expect(judge({ ...late, steps: 2 }).state).toBe('running');
  });

  it('waits for a look of its own when it takes over, whatever the other clock said', () => {
    expect(judge({ now: 10_000_000, watchedMs: 9_000 }).state).toBe('running');
    expect(judge({ now: 10_000_000, watchedMs: 10_000 }).state).toBe('failed');
    expect(judge({ now: -50_000, watchedMs: 120_000 }).state).toBe('failed');
  });
});

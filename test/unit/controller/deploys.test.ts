// Deployments, releases and environments through the API, with each way to fail.
import { afterEach, describe, expect, it } from 'vitest';
import { keys } from '../../../src/lib/api/keys.js';
import type { Behaviour } from './agent.js';
import { Grid } from './grid.js';

let grid: Grid;
afterEach(() => grid.stop());

/** Containers of the given image behave so, the others come up. */
function behave(image: string, behaviour: Behaviour): void {
  for (const host of grid.hosts.values()) host.behaviour = (t) => (t.image === image ? behaviour : 'up');
}
const over = (state: Awaited<ReturnType<Grid['state']>>) => state.deployment?.state !== 'running';

describe('given an app that runs release 1', () => {
  it('when release 2 comes up, then it replaces release 1, and never fewer than wanted serve', async () => {
    grid = await new Grid().start(['a', 'b']);
    await grid.runApp('hello', 3);
    await grid.must('POST', '/v1/apps/hello/deploy', { image: 'hello:2' });
    for (let i = 0; i < 60; i++) {
      await grid.clock.advance(50);
      const { jobs } = await grid.state('hello');
      expect(jobs.filter(({ state }) => state === 'serving').length).toBeGreaterThanOrEqual(3);
    }
    const state = await grid.state('hello');
    expect(state.converged).toBe(true);
    expect(state.jobs.map(({ release }) => release)).toEqual([2, 2, 2]);
    expect(state.deployment).toMatchObject({ state: 'complete', from: 1, to: 2 });
  });

  it.each<[Behaviour, string, boolean]>([
    ['cannot-start', 'cannot start: image hello:2 cannot be pulled: not found', false],
    ['crashes', 'exited with 1', true],
    ['start-fails', 'exec format error', false],
  ])(
    'when release 2 %s, then it fails with the reason, and release 1 goes on',
    async (behaviour, reason, hasTail) => {
      grid = await new Grid().start(['a', 'b']);
      const before = await grid.runApp('hello', 2);
      behave('hello:2', behaviour);
      await grid.must('POST', '/v1/apps/hello/deploy', { image: 'hello:2' });
      const state = await grid.until('hello', over);
      expect(state.deployment).toMatchObject({ state: 'failed', to: 2 });
      expect(state.deployment?.reason).toContain(reason);
      if (hasTail) expect(state.deployment?.tail).toEqual(['boom', 'bye']);
      expect(state.app.release).toBe(1);
      const after = await grid.until('hello', (s) => s.converged);
      const alive = after.jobs.filter(({ state: s }) => s === 'serving').map(({ id }) => id);
      expect(alive).toEqual(before.jobs.map(({ id }) => id));
    },
  );

  it('when release 2 never gets healthy, then it fails at its timeout', async () => {
    grid = await new Grid().start(['a']);
    await grid.runApp('hello', 1);
    await grid.patchApp('hello', { deployTimeoutMs: 20_000 });
    behave('hello:2', 'slow');
    await grid.must('POST', '/v1/apps/hello/deploy', { image: 'hello:2' });
    await grid.clock.advance(19_000);
    expect(over(await grid.state('hello'))).toBe(false);
    const state = await grid.until('hello', over, 3_000);
    expect(state.deployment?.reason).toContain('not serving after 20 s: web 0 of 1');
    expect((await grid.until('hello', (s) => s.converged)).app.release).toBe(1);
  });

  it('when there is no room for release 2, then the problem is told at once and is the reason in the end', async () => {
    grid = await new Grid().start(['a'], { m: 1100, c: 4000 });
    await grid.runApp('hello', 2);
    await grid.patchApp('hello', { deployTimeoutMs: 15_000 });
    await grid.must('POST', '/v1/apps/hello/deploy', { image: 'hello:2' });
    await grid.clock.advance(1_000);
    expect((await grid.state('hello')).problem).toBe(
      'no capacity: hello web needs 512 MiB and 100 millicores; a has 76 MiB free',
    );
    const state = await grid.until('hello', over, 16_000);
    expect(state.deployment?.reason).toContain('a has 76 MiB free');
  });

  it.each(['one-by-one', 'in-batches'] as const)(
    'when the strategy is %s, then it is done in steps',
    async (strategy) => {
      grid = await new Grid().start(['a', 'b']);
      await grid.runApp('hello', 4);
      await grid.patchApp('hello', { strategy });
      await grid.must('POST', '/v1/apps/hello/deploy', { image: 'hello:2' });
      let most = 0;
      for (let i = 0; i < 100; i++) {
        await grid.clock.advance(50);
        const { jobs } = await grid.state('hello');
        expect(jobs.filter(({ state }) => state === 'serving').length).toBeGreaterThanOrEqual(4);
        most = Math.max(most, jobs.filter(({ state }) => state !== 'stopping').length);
      }
      expect(most).toBeLessThanOrEqual(strategy === 'one-by-one' ? 5 : 6);
      expect(await grid.state('hello')).toMatchObject({ converged: true, app: { release: 2 } });
    },
  );

  it('when the same is deployed again, then nothing changes; another one meanwhile is refused', async () => {
    grid = await new Grid().start(['a']);
    await grid.runApp('hello', 1);
    expect(await grid.must('POST', '/v1/apps/hello/deploy', { image: 'hello:1' })).toEqual({
      release: 1,
      changed: false,
    });
    behave('hello:2', 'slow');
    const begun = await grid.must('POST', '/v1/apps/hello/deploy', { image: 'hello:2' });
    const joined = await grid.must('POST', '/v1/apps/hello/deploy', { image: 'hello:2' });
    expect(joined).toEqual(begun);
    const refused = await grid.ask('POST', '/v1/apps/hello/deploy', { image: 'hello:3' });
    expect(refused).toMatchObject({ status: 409, body: { code: 'conflict' } });
    expect(refused.body.message).toContain('release 2 of hello is being deployed');
  });

  it('when it is rolled back, then image and environment of the release before come back as one', async () => {
    grid = await new Grid().start(['a']);
    await grid.runApp('hello', 1);
    await grid.must('POST', '/v1/apps/hello/env', { set: { A: '1' } });
    await grid.until('hello', (s) => s.converged && s.app.release === 2);
    behave('hello:bad', 'cannot-start');
    await grid.must('POST', '/v1/apps/hello/deploy', { image: 'hello:bad' });
    await grid.until('hello', over);
    await grid.must('POST', '/v1/apps/hello/deploy', { image: 'hello:4' });
    await grid.until('hello', (s) => s.converged && s.app.release === 4);
    expect(await grid.must('POST', '/v1/apps/hello/rollback', {})).toMatchObject({
      release: 2,
      changed: true,
    });
    const state = await grid.until('hello', (s) => s.converged);
    expect(state.app.release).toBe(2);
    expect(await grid.must('GET', '/v1/apps/hello/env')).toEqual({ env: { A: '1' } });
    await grid.must('POST', '/v1/apps/hello/rollback', { version: 1 });
    await grid.until('hello', (s) => s.converged && s.app.release === 1);
    expect(await grid.ask('POST', '/v1/apps/hello/rollback', {})).toMatchObject({ status: 404 });
    expect(await grid.ask('POST', '/v1/apps/hello/rollback', { version: 77 })).toMatchObject({ status: 404 });
    // A release that failed before is judged by this attempt alone.
    behave('hello:bad', 'up');
    await grid.must('POST', '/v1/apps/hello/rollback', { version: 3 });
    expect((await grid.until('hello', over)).deployment).toMatchObject({ state: 'complete', to: 3 });
  });
});

describe('environments', () => {
  it('given an app without a release, when its environment is set, then the first deploy has it', async () => {
    grid = await new Grid().start(['a']);
    await grid.must('POST', '/v1/apps', { name: 'hello' });
    const set = await grid.must('POST', '/v1/apps/hello/env', { set: { GREETING: 'hi', TOKEN: 's3cret' } });
    expect(set).toEqual({ release: 1, changed: true, env: { GREETING: 'hi', TOKEN: 's3cret' } });
    await grid.must('POST', '/v1/apps/hello/deploy', { image: 'hello:1' });
    await grid.until('hello', (s) => s.converged);
    expect([...grid.host('a').envs.values()]).toEqual([{ GREETING: 'hi', TOKEN: 's3cret' }]);
  });

  it('given an app that runs, then a change is a release, no change is none, and no value lies open in the store', async () => {
    grid = await new Grid().start(['a']);
    await grid.runApp('hello', 1);
    const set = await grid.must('POST', '/v1/apps/hello/env', { set: { TOKEN: 's3cret' } });
    expect(set).toMatchObject({ release: 2, changed: true, deployment: { state: 'running' } });
    await grid.until('hello', (s) => s.converged);
    const again = await grid.must('POST', '/v1/apps/hello/env', { set: { TOKEN: 's3cret' } });
    expect(again).toEqual({ release: 2, changed: false, env: { TOKEN: 's3cret' } });
    await grid.must('POST', '/v1/apps/hello/deploy', { image: 'hello:2' });
    await grid.until('hello', (s) => s.converged);
    expect(await grid.must('GET', '/v1/apps/hello/env')).toEqual({ env: { TOKEN: 's3cret' } });
    await grid.must('POST', '/v1/apps/hello/env', { unset: ['TOKEN'] });
    await grid.until('hello', (s) => s.converged);
    expect(await grid.must('GET', '/v1/apps/hello/env')).toEqual({ env: {} });
    const { entries } = await grid.store.list('');
    expect(entries.filter(({ value }) => value.includes('s3cret'))).toEqual([]);
    const { releases } = await grid.must('GET', '/v1/apps/hello/releases');
    expect(JSON.stringify(releases)).not.toContain('sealed');
    expect(releases).toMatchObject([
      { version: 1 },
      { version: 2, envKeys: ['TOKEN'] },
      { version: 3 },
      { version: 4 },
    ]);
  });
});

it('given many releases, then ten old ones are kept, and the current one', async () => {
  grid = await new Grid().start(['a']);
  await grid.runApp('hello', 1);
  for (let n = 2; n <= 14; n++) {
    await grid.must('POST', '/v1/apps/hello/deploy', { image: `hello:${n}` });
    await grid.until('hello', (s) => s.converged && s.app.release === n);
  }
  await grid.clock.advance(31_000);
  const { releases } = await grid.must('GET', '/v1/apps/hello/releases');
  expect((releases as { version: number }[]).map(({ version }) => version)).toEqual([
    4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
  ]);
  expect((await grid.store.list(keys.templates)).entries).toHaveLength(11);
});

// Hosts that die, freeze and return; leaders that die; a store that is away; answers that are lost.
import { afterEach, describe, expect, it } from 'vitest';
import { keys } from '../../../src/lib/api/keys.js';
import { Grid } from './grid.js';

let grid: Grid;
afterEach(() => grid.stop());

const serving = (state: Awaited<ReturnType<Grid['state']>>) =>
  state.jobs.filter(({ state: s }) => s === 'serving').length;

async function eventTypes(): Promise<string[]> {
  const { entries } = await grid.store.list(keys.events);
  return entries.map(({ value }) => (JSON.parse(value) as { type: string }).type);
}

describe('given an app on three hosts', () => {
  it('when a host loses power, then its jobs are replaced within 4 s, its instances withdrawn, and both are said', async () => {
    grid = await new Grid().start(['a', 'b', 'c']);
    await grid.runApp('hello', 6);
    grid.host('b').kill();
    await grid.clock.advance(2_000);
    expect(grid.spread((await grid.state('hello')).jobs)).toEqual({ a: 2, b: 2, c: 2 });
    const state = await grid.until('hello', (s) => serving(s) === 6, 2_000);
    expect(state.jobs.filter(({ state: s }) => s === 'lost')).toHaveLength(2);
    expect(grid.spread(state.jobs)).toEqual({ a: 3, c: 3 });
    expect(state.converged).toBe(true);
    expect((await grid.store.list(keys.instancesAt('b'))).entries).toEqual([]);
    expect(await eventTypes()).toEqual(expect.arrayContaining(['host.suspect', 'host.lost']));
  });

  it('when one router hears nothing of a host, then nothing moves; when a second one says so too, it is lost', async () => {
    grid = await new Grid().start(['a', 'b', 'c', 'd']);
    await grid.runApp('hello', 8);
    for (const host of grid.hosts.values()) host.witness = host.name === 'a';
    grid.suspects.set('b', grid.clock.mono());
    await grid.clock.advance(8_000);
    expect(grid.spread((await grid.state('hello')).jobs)).toEqual({ a: 2, b: 2, c: 2, d: 2 });
    expect(await eventTypes()).toContain('host.suspect');
    expect(await eventTypes()).not.toContain('host.lost');
    grid.host('c').witness = true;
    const state = await grid.until(
      'hello',
      (s) => s.converged && s.jobs.some(({ state: x }) => x === 'lost'),
      2_000,
    );
    expect(grid.spread(state.jobs)).toEqual({
      a: expect.any(Number),
      c: expect.any(Number),
      d: expect.any(Number),
    });
  });

  it('when a frozen host comes back, then the younger go, and as many as wanted serve at every moment', async () => {
    grid = await new Grid().start(['a', 'b', 'c']);
    const before = await grid.runApp('hello', 3);
    const old = before.jobs.map(({ id }) => id).sort();
    grid.host('b').freeze();
    await grid.until(
      'hello',
      (s) => s.converged && serving(s) === 3 && s.jobs.some(({ state: x }) => x === 'lost'),
    );
    await grid.host('b').boot();
    for (let i = 0; i < 60; i++) {
      await grid.clock.advance(100);
      expect(serving(await grid.state('hello'))).toBeGreaterThanOrEqual(3);
    }
    const after = await grid.state('hello');
    expect(after.jobs.map(({ id }) => id).sort()).toEqual(old);
    expect(after.converged).toBe(true);
    expect(await eventTypes()).toContain('host.back');
  });

  it('when a host comes back whose jobs do not, then the replacements stay', async () => {
    grid = await new Grid().start(['a', 'b']);
    await grid.runApp('hello', 2);
    grid.host('b').kill();
    await grid.until('hello', (s) => serving(s) === 2 && s.jobs.some(({ state: x }) => x === 'lost'));
    grid.host('b').behaviour = () => 'slow';
    await grid.host('b').boot();
    for (let i = 0; i < 90; i++) {
      await grid.clock.advance(200);
      expect(serving(await grid.state('hello'))).toBeGreaterThanOrEqual(2);
    }
    expect(grid.spread((await grid.state('hello')).jobs)).toEqual({ a: 2 });
  });

  it('when only an agent restarts, then nothing moves', async () => {
    grid = await new Grid().start(['a', 'b', 'c']);
    const before = await grid.runApp('hello', 3);
    await grid.host('b').stopAgent();
    await grid.clock.advance(8_000);
    await grid.host('b').boot();
    await grid.clock.advance(5_000);
    const after = await grid.state('hello');
    expect(after.jobs.map(({ id }) => id)).toEqual(before.jobs.map(({ id }) => id));
    expect(after.converged).toBe(true);
  });

  it('when more than half go missing at once, then nothing is moved, and it is said; when they return all is as before', async () => {
    grid = await new Grid().start(['a', 'b', 'c']);
    const before = await grid.runApp('hello', 3);
    grid.host('b').freeze();
    grid.host('c').freeze();
    await grid.clock.advance(40_000);
    const frozen = await grid.state('hello');
    expect(frozen.problem).toContain('frozen: more than half of the hosts went missing at once (b, c)');
    expect(frozen.jobs.map(({ id }) => id)).toEqual(before.jobs.map(({ id }) => id));
    expect(await eventTypes()).toContain('formation.frozen');
    await grid.host('b').boot();
    await grid.host('c').boot();
    const after = await grid.until('hello', (s) => s.converged);
    expect(after.jobs.map(({ id }) => id)).toEqual(before.jobs.map(({ id }) => id));
    await grid.clock.advance(1_000);
    expect(await eventTypes()).toContain('formation.thawed');
  });
});

describe('given several copies', () => {
  it('when one writes, then the other shows it at once', async () => {
    grid = await new Grid().start(['a'], undefined, 2);
    await grid.runApp('hello', 1);
    await grid.must('POST', '/v1/apps/hello/scale', { processes: { web: 2 } });
    expect((await grid.state('hello', 1)).formation).toEqual({ web: 2 });
  });

  it('when the leader is cut off from the store, then another plans, and the old one changes nothing any more', async () => {
    grid = await new Grid().start(['a', 'b'], undefined, 2);
    await grid.runApp('hello', 1);
    const leader = grid.copies.findIndex((_copy, i) => `control${i}` === grid.copies[0]?.picture.leader());
    const other = 1 - leader;
    grid.copies[leader]?.store.cut('silent');
    await grid.clock.advance(3_000);
    await grid.ask('POST', '/v1/apps/hello/scale', { processes: { web: 4 } }, {}, other);
    await grid.clock.advance(3_000);
    const state = await grid.state('hello', other);
    expect(serving(state)).toBe(4);
    grid.copies[leader]?.store.heal();
    await grid.clock.advance(5_000);
    expect((await grid.state('hello', leader)).jobs.map(({ id }) => id)).toEqual(
      state.jobs.map(({ id }) => id),
    );
  });

  it('when the leader dies in the middle of a deployment, then the next one completes it', async () => {
    grid = await new Grid().start(['a', 'b'], undefined, 2);
    await grid.runApp('hello', 2);
    const slow = grid.host('a');
    slow.behaviour = ({ image }) => (image === 'hello:2' ? 'slow' : 'up');
    grid.host('b').behaviour = slow.behaviour;
    await grid.must('POST', '/v1/apps/hello/deploy', { image: 'hello:2' });
    await grid.clock.advance(1_000);
    const leader = grid.copies.findIndex((_copy, i) => `control${i}` === grid.copies[0]?.picture.leader());
    grid.copies[leader]?.end.abort(new Error('killed'));
    await grid.clock.advance(3_000);
    slow.behaviour = () => 'up';
    grid.host('b').behaviour = () => 'up';
    await grid.clock.advance(3_000);
    const state = await grid.state('hello', 1 - leader);
    expect(state).toMatchObject({ converged: true, app: { release: 2 }, deployment: { state: 'complete' } });
  });
});

describe('given a store that is away', () => {
  it('then reads go on, writes say so at once, nothing is stopped, and it goes on when the store is back', async () => {
    grid = await new Grid().start(['a', 'b']);
    const before = await grid.runApp('hello', 2);
    const copy = grid.copies[0];
    copy?.store.cut();
    await grid.clock.advance(20_000);
    expect((await grid.state('hello')).jobs).toEqual(before.jobs);
    const refused = await grid.ask('POST', '/v1/apps/hello/scale', { processes: { web: 5 } });
    expect(refused).toMatchObject({ status: 503, body: { code: 'no_quorum' } });
    expect((await grid.ask('GET', '/healthz')).body).toMatchObject({ broken: 'etcd' });
    expect((await grid.must('GET', '/v1/status')).etcd).toMatchObject({ healthy: false });
    copy?.store.heal();
    await grid.clock.advance(8_000);
    await grid.must('POST', '/v1/apps/hello/scale', { processes: { web: 3 } });
    expect(serving(await grid.until('hello', (s) => s.converged))).toBe(3);
  });

  it('when answers of writes are lost, then each is done once', async () => {
    grid = await new Grid().start(['a', 'b']);
    grid.copies[0]?.store.loseAnswers(1);
    expect((await grid.ask('POST', '/v1/apps', { name: 'hello' })).body).toMatchObject({ created: true });
    grid.copies[0]?.store.loseAnswers(1);
    expect(await grid.must('POST', '/v1/apps/hello/deploy', { image: 'hello:1' })).toMatchObject({
      release: 1,
    });
    await grid.until('hello', (s) => s.converged);
    expect((await grid.store.list(keys.releasesAt('hello'))).entries).toHaveLength(1);
  });
});

describe('given a Sampi whose answers are lost', () => {
  it('then the same transaction is asked again, and no job is booked twice', async () => {
    grid = await new Grid().start(['a', 'b']);
    await grid.runApp('hello', 1);
    grid.transactions.length = 0;
    grid.sampiFaults = 3;
    await grid.must('POST', '/v1/apps/hello/scale', { processes: { web: 4 } });
    const state = await grid.until('hello', (s) => s.converged);
    expect(state.jobs).toHaveLength(4);
    await grid.clock.advance(2_000);
    expect(grid.transactions).toHaveLength(4);
    expect(new Set(grid.transactions).size).toBe(1);
    expect((await grid.store.list(keys.claims)).entries).toHaveLength(4);
  });
});

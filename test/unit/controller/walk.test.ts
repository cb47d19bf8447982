// The walking path of the controller: create, deploy, scale, watch, stop, on fake hosts with Sampi's real transactions.
import { afterEach, describe, expect, it } from 'vitest';
import { Grid } from './grid.js';

let grid: Grid;
afterEach(() => grid.stop());

describe('given three hosts and one controller', () => {
  it('when an app is created, deployed and scaled, then its jobs serve, spread over the hosts', async () => {
    grid = await new Grid().start(['a', 'b', 'c']);
    const created = await grid.must('POST', '/v1/apps', { name: 'hello' });
    expect(created).toMatchObject({ created: true, domain: 'hello.example.com' });

    const answer = await grid.must('POST', '/v1/apps/hello/deploy', { image: 'hello:1' });
    expect(answer).toMatchObject({ release: 1, changed: true, deployment: { state: 'running', to: 1 } });
    const first = await grid.until('hello', ({ converged }) => converged);
    expect(first.app.release).toBe(1);
    expect(first.formation).toEqual({ web: 1 });
    expect(first.jobs).toHaveLength(1);
    expect(first.jobs[0]).toMatchObject({ name: 'web.1', state: 'serving', release: 1 });

    const scaled = await grid.must('POST', '/v1/apps/hello/scale', { processes: { web: 6 } });
    expect(scaled).toEqual({ before: { web: 1 }, after: { web: 6 }, changed: true });
    const six = await grid.until('hello', ({ converged }) => converged);
    expect(grid.spread(six.jobs)).toEqual({ a: 2, b: 2, c: 2 });

    await grid.must('POST', '/v1/apps/hello/scale', { processes: { web: 0 } });
    const none = await grid.until('hello', ({ converged }) => converged);
    expect(none.jobs).toEqual([]);
    expect([...grid.hosts.values()].map(({ running }) => running.size)).toEqual([0, 0, 0]);
  });
});

// What people get wrong, all of it in one table (mistakes/index.ts): each mistake ends with its exit code, names object
// and cause, says what to type next, and leaves the grid and the running app as they were.
import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startLoad, type Load } from '../../src/lib/lab/index.js';
import { eventually, hosts } from './grid.js';
import { tables } from './mistakes/index.js';
import { commit, everything, whatRuns } from './mistakes/mistake.js';
import { app, clearStage, setStage } from './mistakes/stage.js';

beforeAll(setStage);
afterAll(clearStage);

describe.each(tables)('$title', ({ mistakes, together, triesReleases, cutsHosts, begin, end }) => {
  const look = async () => (triesReleases ? whatRuns(await everything(app)) : everything(app));
  let before: unknown;
  let load: Load;
  beforeAll(async () => {
    await begin?.();
    before = await look();
    load = startLoad({
      targets: [hosts()[0]!.http],
      host: `${app}.localhost`,
      perSecond: 5,
      maxMs: 300_000,
      maxRequests: 1_500,
    });
  });
  afterAll(async () => {
    await load.stop();
    await end?.();
  });

  const each = together ? it.concurrent : it;
  each.each(mistakes.map((mistake) => [mistake.name, mistake.code, mistake] as const))(
    'given %s, when made, then it ends with %i',
    (_name, _code, mistake) => commit(mistake),
  );

  it('given all of these, when they are over, then nothing has changed and the app has answered all the time', async () => {
    let after: unknown;
    const same = async () => isDeepStrictEqual((after = await look()), before) || undefined;
    await eventually('what was before', same).catch(() => undefined);
    expect(after).toEqual(before);
    const { requests, failures } = await load.stop();
    if (!cutsHosts) expect(failures).toEqual([]);
    expect(requests).toBeGreaterThan(0);
  });
});

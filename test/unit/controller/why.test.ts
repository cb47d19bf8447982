// Why over the controller's API: jobs by name, by type and by id, and who may ask.
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Why } from '../../../src/lib/api/why.js';
import { Grid } from './grid.js';

let grid: Grid;
beforeEach(async () => {
  grid = await new Grid().start(['a', 'b'], { m: 1200, c: 2000 });
});
afterEach(() => grid.stop());

const ask = async (query: string) => Why.parse(await grid.must('GET', `/v1/why?${query}`));

it('a job by its name and by its id', async () => {
  const { jobs } = await grid.runApp('hello', 2);
  const line = jobs[0]!;
  const named = await ask(`job=${line.name}&app=hello`);
  expect(named.job).toBe(line.id);
  expect(named.sentences[0]).toMatch(new RegExp(`^web.1 of hello is up on ${line.host} for`));
  expect(named.sentences[1]).toContain('it would be put there again');
  const byId = await ask(`job=${line.id}`);
  expect(byId.sentences[0]).toContain(`web job ${line.id} of hello is up`);
  expect(byId.hosts.map(({ host }) => host).sort()).toEqual(['a', 'b']);
});

it('what finds no place says which constraint fails on how many hosts', async () => {
  await grid.runApp('hello', 1);
  await grid.must('POST', '/v1/apps/hello/scale', { processes: { web: 6 } });
  await grid.until('hello', ({ jobs }) => jobs.length === 4);
  const { sentences } = await ask('job=web&app=hello');
  expect(sentences[0]).toMatch(/^2 more of web of hello are wanted and there is no place: it needs 512 MiB/);
  expect(sentences[1]).toMatch(/too little memory on 2 hosts, short by \d+ MiB/);
  expect((await ask('job=web.6&app=hello')).sentences).toEqual(sentences);
});

it('what is not there, and what one may not see, is said with a code', async () => {
  const { jobs } = await grid.runApp('hello', 1);
  const refused = async (query: string, who?: object) =>
    (await grid.ask('GET', `/v1/why?${query}`, undefined, who)).body.code;
  expect(await refused('job=worker&app=hello')).toBe('not_found');
  expect(await refused('job=web&app=other')).toBe('not_found');
  expect(await refused('job=web')).toBe('not_found');
  expect(await refused('job=a-01arz3ndektsv4rrffq69g5fav')).toBe('not_found');
  expect(await refused('app=hello')).toBe('invalid');
  expect(await refused(`job=${jobs[0]!.id}`, { role: 'deploy', apps: 'other' })).toBe('forbidden');
});

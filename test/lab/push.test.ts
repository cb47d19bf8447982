// `git push` with the ordinary git client: an Express app with real dependencies, and a second push nobody notices.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AppState } from '../../src/lib/api/app.js';
import { startLoad } from '../../src/lib/lab/index.js';
import { commitAll, git, workTree } from './git.js';
import { ask, cli, cliJson, eventually, hosts, root, run } from './grid.js';

const app = 'shop';
const domain = 'shop.localhost';
let dir: string;

const pushMain = () => git(dir, ['push', 'flynn', 'main']);

const edit = async (file: string, from: string, to: string) => {
  const text = await readFile(join(dir, file), 'utf8');
  expect(text).toContain(from);
  await writeFile(join(dir, file), text.replace(from, to));
};

beforeAll(async () => {
  await run(['apps:destroy', '-a', app, '--yes']);
  dir = await mkdtemp(join(tmpdir(), 'flynn-push-'));
  await workTree(dir, join(root, 'templates/examples/express'));
});

afterAll(async () => {
  await rm(dir, { recursive: true, force: true });
  await run(['apps:destroy', '-a', app, '--yes']);
});

describe('git push', () => {
  it('builds, releases and answers, and the pusher sees all of it', async () => {
    await cli(['apps:create', app], { cwd: dir });
    const started = performance.now();
    const push = await pushMain();
    expect(push.code, push.stderr).toBe(0);
    expect(push.stderr).toContain('Node.js app detected');
    expect(push.stderr).toContain('npm ci');
    const answer = await ask(hosts()[0]!, domain);
    process.stderr.write(
      `  first push to first answer: ${((performance.now() - started) / 1000).toFixed(1)} s\n`,
    );
    expect(answer).toMatchObject({ status: 200 });
    expect(answer.body).toContain('the first page');
    const state = await cliJson<AppState>(['ps'], { cwd: dir });
    expect(state.formation).toEqual({ web: 1 });
  });

  it('a second time, under load, changes the page without a failed request', async () => {
    await cli(['scale', 'web=3'], { cwd: dir });
    await edit('server.js', 'the first page', 'the second page');
    await commitAll(dir, 'the second page');
    const targets = hosts().map(({ http }) => http);
    const load = startLoad({
      targets,
      host: domain,
      path: '/where',
      perSecond: 200,
      maxMs: 180_000,
    });
    const started = performance.now();
    const push = await pushMain();
    const took = ((performance.now() - started) / 1000).toFixed(1);
    expect(push.code, push.stderr).toBe(0);
    expect((await ask(hosts()[2]!, domain)).body).toContain('the second page');
    await eventually('5,000 requests', async () => (load.requests() >= 5_000 ? true : undefined), 60_000);
    const result = await load.stop();
    process.stderr.write(
      `  second push under load: ${took} s; ${result.requests} requests, ${result.failed} failed, longest gap ${result.longestGapMs} ms\n`,
    );
    for (const { at, target, cause } of result.failures)
      process.stderr.write(`    at ${at} ms through ${target}: ${cause}\n`);
    expect(result.requests).toBeGreaterThanOrEqual(5_000);
    expect(result.failures).toEqual([]);
    expect(Object.keys(result.releases)).toEqual(expect.arrayContaining(['1', '2']));
  });

  it('of a build that fails is rejected, and the running app is left alone', async () => {
    await edit(
      'package.json',
      '"start": "node server.js"',
      '"start": "node server.js", "build": "echo this build is broken >&2; exit 9"',
    );
    await commitAll(dir, 'a broken build');
    const push = await pushMain();
    expect(push.code).not.toBe(0);
    expect(push.stderr).toContain('this build is broken');
    expect(push.stderr).toContain(
      'shop was not built, nothing changed: the build script of package.json failed',
    );
    expect(push.stderr).toContain('rejected');
    expect((await ask(hosts()[1]!, domain)).body).toContain('the second page');
    expect((await cliJson<AppState>(['ps'], { cwd: dir })).app.release).toBe(2);
  });
});

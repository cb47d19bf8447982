// A static site, pushed with git: served as it is through every router, and nothing that begins with a dot.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask, cli, hosts, run } from './grid.js';
import { git, workTree } from './git.js';

const app = 'site';
const domain = `${app}.localhost`;
let dir: string;

beforeAll(async () => {
  await run(['apps:destroy', '-a', app, '--yes']);
  dir = await mkdtemp(join(tmpdir(), 'flynn-site-'));
  await workTree(dir, {
    'index.html': '<h1>a static site</h1>\n',
    'css/page.css': 'h1 { color: teal }\n',
    '.env': 'SECRET=1\n',
    '.well-known-not/x': 'x\n',
  });
  await cli(['apps:create', app], { cwd: dir });
});

afterAll(async () => {
  await rm(dir, { recursive: true, force: true });
  await run(['apps:destroy', '-a', app, '--yes']);
});

describe('a static site', () => {
  it('given an index.html, when pushed, then it is built as a static site', async () => {
    const started = performance.now();
    const push = await git(dir, ['push', 'flynn', 'main']);
    expect(push.code, push.stderr).toBe(0);
    expect(push.stderr).toContain('Static site app detected');
    process.stderr.write(`  push of a static site: ${((performance.now() - started) / 1000).toFixed(1)} s\n`);
  });

  it('when asked through any router, then its files come as they are', async () => {
    for (const host of hosts()) {
      expect(await ask(host, domain)).toMatchObject({ status: 200, body: '<h1>a static site</h1>\n' });
      expect(await ask(host, domain, '/css/page.css')).toMatchObject({
        status: 200,
        body: 'h1 { color: teal }\n',
      });
    }
  });

  it.each(['/.env', '/.well-known-not/x', '/.git/config', '/.flynn/package.json', '/Procfile', '/../.env'])(
    'when asked for %s, then there is no such page',
    async (path) => {
      expect((await ask(hosts()[0]!, domain, path)).status).toBe(404);
    },
  );
});

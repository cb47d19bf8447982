// The package as people get it: packed, installed into a prefix of its own, and run from there.
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newOpensshKey } from '../../src/lib/util/openssh-key.js';

const exec = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));
let dir: string;
let packed: string[];
let version: string;

/** Runs the installed program in an empty home; the outcome whatever the exit code. */
async function flynn(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const { PATH = '' } = process.env;
  const env = { PATH, HOME: dir, NO_COLOR: '1', FLYNN_SSH_KEY: newOpensshKey('test').privateKey };
  return exec(join(dir, 'prefix/bin/flynn'), args, { cwd: dir, env }).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    ({ code, stdout, stderr }: { code: number; stdout: string; stderr: string }) => ({
      code,
      stdout,
      stderr,
    }),
  );
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'flynn-package-'));
  ({ version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string });
  // The suite has built dist/ already: without its scripts, packing takes what lies there.
  const pack = ['pack', '--json', '--ignore-scripts', '--pack-destination', dir];
  const { stdout } = await exec('npm', pack, { cwd: root, maxBuffer: 16 * 1024 * 1024 });
  const [made] = JSON.parse(stdout) as { filename: string; files: { path: string }[] }[];
  packed = made!.files.map(({ path }) => path);
  const flags = ['--omit=dev', '--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error'];
  await exec('npm', [
    'install',
    '--global',
    '--prefix',
    join(dir, 'prefix'),
    ...flags,
    join(dir, made!.filename),
  ]);
}, 300_000);

afterAll(() => rm(dir, { recursive: true, force: true }));

describe('the packed package', () => {
  it('holds what runs and what images are built from, and neither sources nor tests', () => {
    for (const path of [
      'bin/run.js',
      'oclif.manifest.json',
      'dist/commands/cluster/bootstrap.js',
      'dist/appliance/appliance.js',
      'templates/images/base/Dockerfile',
      'templates/buildpacks/nodejs/bin/compile',
    ]) {
      expect(packed).toContain(path);
    }
    expect(packed.filter((path) => /^(src|test|docs|node_modules|\.lab)\//.test(path))).toEqual([]);
  });

  it('given it is installed, when asked for its version and its help, then it answers from its manifest', async () => {
    expect((await flynn('--version')).stdout).toContain(`flynn ${version} `);
    const help = await flynn('help');
    expect(help.stdout).toMatch(/^ {2}apps +create, list and remove apps$/m);
    expect(help.stdout).toMatch(/^ {2}scale +/m);
  });

  it('given no cluster, when an app is listed, then it says so with code 7 and the next command', async () => {
    const done = await flynn('apps', '--json');
    expect(done.code).toBe(7);
    expect(JSON.parse(done.stdout)).toMatchObject({
      code: 'missing',
      hint: expect.stringContaining('bootstrap'),
    });
  });

  it('given a host that is not there, when it is bootstrapped, then the operator part is loaded and says 6', async () => {
    const done = await flynn('cluster', 'bootstrap', '127.0.0.1:1', '--yes');
    expect(done.code, done.stderr).toBe(6);
  });
});

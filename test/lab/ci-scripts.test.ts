// The example scripts for CI: no file of the person's own, and twice is the same as once.
import { access, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AppState } from '../../src/lib/api/app.js';
import { labEnv, labImage, labStatus } from '../../src/lib/lab/index.js';
import { formatClusterString, loadClusters } from '../../src/lib/operator/context.js';
import { newOpensshKey } from '../../src/lib/util/openssh-key.js';
import { ask, cliJson, command, eventually, hosts, labName, root, run, type Finished } from './grid.js';

const app = 'ci-hello';
const ci = newOpensshKey('ci');
/** A home with nothing in it, and a folder with the one program that the scripts call. */
let home: string;
let cluster: string;
let adminKey: string;

beforeAll(async () => {
  const { hosts: all, dir } = await labStatus({ root, name: labName });
  const lab = { name: labName, root, dir, existed: true, hosts: all };
  await labImage(lab, join(root, 'templates/examples/hello'), 'hello:1', () => undefined);
  await run(['apps:destroy', '-a', app, '--yes']);
  const { FLYNN_HOME = '' } = labEnv({ root, name: labName });
  const known = (await loadClusters(FLYNN_HOME)).clusters[labName]!;
  cluster = formatClusterString(known);
  adminKey = await readFile(known.identity!, 'utf8');
  home = await mkdtemp(join(tmpdir(), 'flynn-ci-'));
  await writeFile(join(home, 'ci.pub'), `${ci.publicKey}\n`);
  const shim = `#!/bin/sh\nexec '${process.execPath}' '${join(root, 'bin/run.js')}' "$@"\n`;
  await writeFile(join(home, 'flynn'), shim, { mode: 0o755 });
});

afterAll(async () => {
  await run(['apps:destroy', '-a', app, '--yes']);
  await run(['keys:remove', ci.fingerprint, '--yes']);
  if (home) await rm(home, { recursive: true, force: true });
});

/** Runs a script as a CI job would: what it knows is in its environment. */
function script(name: string, key: string, env: Record<string, string>): Promise<Finished> {
  return command('sh', [join(root, 'templates/examples/ci', name)], {
    cwd: home,
    env: {
      ...{ HOME: home, FLYNN_HOME: '', FLYNN_SSH_CONFIG: '' },
      PATH: `${home}:${process.env.PATH ?? ''}`,
      ...{ FLYNN_CLUSTER: cluster, FLYNN_SSH_KEY: key, FLYNN_APP: app },
      ...env,
    },
  });
}

const prepare = () => script('prepare.sh', adminKey, { CI_PUBLIC_KEY: join(home, 'ci.pub') });
const deploy = (greeting: string) =>
  script('deploy.sh', ci.privateKey, { IMAGE: 'hello:1', GREETING: greeting });

/** Release and jobs: neither may change when nothing is to be done. */
async function standing(): Promise<{ release: number | undefined; jobs: string[] }> {
  const { app: record, jobs } = await cliJson<AppState>(['ps', '-a', app]);
  return { release: record.lastRelease, jobs: jobs.map(({ id }) => id).sort() };
}

describe('the scripts for CI', () => {
  it('given nothing, when the app is prepared and deployed, then it serves what was said', async () => {
    for (const done of [await prepare(), await deploy('Hi')]) expect(done.code, done.stderr).toBe(0);
    const answer = await ask(hosts()[0]!, `${app}.localhost`);
    expect(answer.json).toMatchObject({ greeting: 'Hi' });
    expect((await standing()).jobs).toHaveLength(2);
  });

  it('given all of it, when both run again, then they end with 0 and nothing changes', async () => {
    const before = await standing();
    for (const done of [await prepare(), await deploy('Hi')]) expect(done.code, done.stderr).toBe(0);
    expect(await standing()).toEqual(before);
  });

  it('given another value, when it runs again, then one release is made', async () => {
    const before = await standing();
    const done = await deploy('Welcome');
    expect(done.code, done.stderr).toBe(0);
    await eventually('the new greeting', async () =>
      (await ask(hosts()[0]!, `${app}.localhost`)).json?.greeting === 'Welcome' ? true : undefined,
    );
    expect((await standing()).release).toBe(before.release! + 1);
  });

  it('given the key of CI, when it is used for another app, then it is refused with 5', async () => {
    const done = await script('deploy.sh', ci.privateKey, { IMAGE: 'hello:1', FLYNN_APP: 'hello' });
    expect(done.code, done.stdout + done.stderr).toBe(5);
  });

  it('then nothing was written into the home of who ran them', async () => {
    await expect(access(join(home, '.flynn'))).rejects.toThrow(/ENOENT/);
  });
});

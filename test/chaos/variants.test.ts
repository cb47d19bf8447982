// A host of another kind: a sudo user instead of root, an sshd that refuses forwarding, and no image but the base ones.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bootstrapArgs, labBaseImages, labDown, labUp, type Lab } from '../../src/lib/lab/index.js';
import { ask, root } from '../lab/grid.js';
import { git, workTree } from '../lab/git.js';
import { Operator } from './operator.js';
import { expectAsBefore, snapshot } from './snapshot.js';

const operator = new Operator('variant');
const { ref } = operator;
const quiet = () => undefined;
const note = (what: string, since: number): void => {
  process.stderr.write(`  ${what}: ${((performance.now() - since) / 1000).toFixed(1)} s\n`);
};

let lab: Lab;
let before: string[];
let dir: string;

beforeAll(async () => {
  lab = await labUp({ ...ref, hosts: 1, sudoUser: true, noForwarding: true }, quiet);
  await labBaseImages(lab, quiet);
  await rm(join(lab.dir, 'flynn'), { recursive: true, force: true });
  before = await snapshot('a', ref);
  dir = await mkdtemp(join(tmpdir(), 'flynn-variant-'));
});

afterAll(async () => {
  await rm(dir, { recursive: true, force: true });
  if (process.env.FLYNN_KEEP_LAB !== '1') await labDown(ref, quiet);
});

describe('a host with a sudo user, without forwarding and without images', () => {
  it('when bootstrapped, then its own engine builds the images, and all is healthy', async () => {
    const started = performance.now();
    await operator.ok(bootstrapArgs(lab), { timeoutMs: 560_000 });
    note('bootstrap with images built on the host', started);
    await operator.expectHealthy('a');
  });

  it('when an app is pushed, then it is built and answers', async () => {
    await workTree(dir, join(root, 'templates/examples/hello'));
    await operator.ok(['apps:create', 'hello'], { cwd: dir });
    const push = await git(dir, ['push', 'flynn', 'main'], { env: operator.env });
    expect(push.code, push.stderr).toBe(0);
    expect((await ask(lab.hosts[0]!, 'hello.localhost')).json).toMatchObject({ host: 'a', release: 1 });
  });

  it('when bootstrapped again, then nothing changes', async () => {
    const again = JSON.parse(await operator.ok([...bootstrapArgs(lab), '--json'])) as {
      results: { changed: boolean }[];
    };
    expect(again.results.filter(({ changed }) => changed)).toEqual([]);
  });

  it('when the cluster is destroyed, then the host is as it was before', async () => {
    const config = join(lab.dir, 'ssh_config');
    await operator.ok(['cluster', 'destroy', lab.name, '--yes', '--ssh-config', config]);
    await expectAsBefore('a', before, ref);
  });
});

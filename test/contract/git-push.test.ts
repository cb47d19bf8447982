// Pushes with real git and real ssh through real gateways: what deploys, what is refused, and what the pusher reads.
import { randomBytes } from 'node:crypto';
import { createServer, type Socket } from 'node:net';
import { chmod, mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { keys } from '../../src/lib/api/keys.js';
import { sshCommand } from '../../src/lib/access/git-config.js';
import { saveCluster } from '../../src/lib/operator/context.js';
import type { Gateway } from '../../src/lib/layer1/gateway/index.js';
import { systemClock } from '../../src/lib/util/clock.js';
import { poll } from '../../src/lib/util/retry.js';
import { fingerprint, PushRig, root } from './git-push.rig.js';
import { person } from '../fakes/people.js';

const ada = person('ada');
let rig: PushRig;
let gateway: Gateway;
let tree: string;

const until = (test: () => boolean) => poll(systemClock, () => test() || undefined, { timeoutMs: 10_000 });

beforeEach(async () => {
  rig = await PushRig.start();
  await rig.admit(ada);
  rig.controller.apps.set('hello', { id: 'id-1' });
  gateway = await rig.gateway('one');
  tree = await rig.workTree();
});

afterEach(() => rig.close());

describe('a push', () => {
  it('given a build that succeeds, when main is pushed, then the pusher reads it, and the source was that commit', async () => {
    const commit = await rig.commit(tree, 'a file.txt', 'with a space');
    const { code, stderr } = await rig.push(tree, gateway, ada).ended;
    expect(stderr).toContain('remote: -----> Building hello');
    expect(stderr).toContain('remote:        compiled 1 file');
    expect(stderr).toContain('remote: -----> Release 1 serves');
    expect(stderr).toMatch(/\* \[new branch\] +main -> main/);
    expect(code).toBe(0);
    expect(rig.controller.builds).toMatchObject([{ app: 'hello', commit, name: 'ada', aborted: false }]);
    expect(rig.controller.builds[0]?.files).toEqual(
      new Map([
        ['a file.txt', 'with a space'],
        ['server.js', 'one'],
      ]),
    );
  });

  it('given a build that fails, when pushed, then the push is rejected, and pushing again builds again', async () => {
    rig.controller.outcome = 'failure';
    const { code, stderr } = await rig.push(tree, gateway, ada).ended;
    expect(code).toBe(1);
    expect(stderr).toContain('remote: the build ended with code 3');
    expect(stderr).toContain('→ fix package.json');
    expect(stderr).toContain('[remote rejected] main -> main (pre-receive hook declined)');
    rig.controller.outcome = 'success';
    expect((await rig.push(tree, gateway, ada).ended).code).toBe(0);
    expect(rig.controller.builds).toHaveLength(2);
  });

  it('given a first push, when more is pushed, then only that is sent; the same again is up to date', async () => {
    await rig.commit(tree, 'large.bin', randomBytes(300_000));
    const first = await rig.push(tree, gateway, ada, ['--progress', 'main']).ended;
    expect(first.stderr).toMatch(/Writing objects: .* 29\d\.\d+ KiB/);
    await rig.commit(tree, 'server.js', 'two');
    const second = await rig.push(tree, gateway, ada, ['--progress', 'main']).ended;
    expect(second.stderr).toMatch(/Writing objects: .* \d{3} bytes/);
    expect(second.code).toBe(0);
    expect(rig.controller.builds[1]?.files.get('server.js')).toBe('two');
    const third = await rig.push(tree, gateway, ada).ended;
    expect(third).toMatchObject({ code: 0, stderr: expect.stringContaining('up-to-date') as string });
    expect(rig.controller.builds).toHaveLength(2);
  });

  it('given a gateway that has never seen the app, when pushed there, then all is sent and it deploys', async () => {
    await rig.push(tree, gateway, ada).ended;
    const other = await rig.gateway('two');
    await rig.commit(tree, 'server.js', 'two');
    expect((await rig.push(tree, other, ada).ended).code).toBe(0);
    // The first gateway still holds the commit before: what it says follows what the app runs, not what it took itself.
    await rig.commit(tree, 'server.js', 'three');
    const third = await rig.push(tree, gateway, ada).ended;
    expect(third.code).toBe(0);
    expect(rig.controller.builds.map(({ files }) => files.get('server.js'))).toEqual(['one', 'two', 'three']);
  });

  it('given a rollback since, when the newer commit is pushed again, then it deploys again', async () => {
    await rig.push(tree, gateway, ada).ended;
    const old = rig.controller.builds[0]?.commit ?? '';
    await rig.commit(tree, 'server.js', 'two');
    await rig.push(tree, gateway, ada).ended;
    rig.controller.apps.set('hello', { id: 'id-1', release: 1, commit: old });
    const again = await rig.push(tree, gateway, ada).ended;
    expect(again.stderr).toMatch(/[0-9a-f]+\.\.[0-9a-f]+ +main -> main/);
    expect(rig.controller.builds).toHaveLength(3);
  });

  it('given another history, when pushed, then it takes --force, and then deploys', async () => {
    await rig.push(tree, gateway, ada).ended;
    await rig.git(tree, ['commit', '-q', '--amend', '-m', 'other']);
    const refused = await rig.push(tree, gateway, ada).ended;
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('rejected') as string });
    expect((await rig.push(tree, gateway, ada, ['--force', 'main']).ended).code).toBe(0);
    expect(rig.controller.builds).toHaveLength(2);
  });

  it('given an app that was destroyed and made again, when the same is pushed, then it deploys', async () => {
    await rig.push(tree, gateway, ada).ended;
    rig.controller.apps.set('hello', { id: 'id-2' });
    const { stderr } = await rig.push(tree, gateway, ada).ended;
    expect(stderr).toContain('[new branch]');
    expect(rig.controller.builds).toHaveLength(2);
  });

  it('given a damaged repository, when pushed, then it is made anew', async () => {
    await rig.push(tree, gateway, ada).ended;
    await writeFile(join(rig.dir, 'one/repos/hello.git/HEAD'), 'nonsense');
    await rig.commit(tree, 'server.js', 'two');
    expect(await rig.push(tree, gateway, ada).ended).toMatchObject({ code: 0 });
  });

  it('given a push under way, when a second one of the app comes, then it says so and waits', async () => {
    rig.controller.outcome = 'hang';
    const first = rig.push(tree, gateway, ada);
    await until(() => rig.controller.builds.length === 1);
    const second = rig.push(tree, gateway, ada);
    await until(() => second.out.stderr.includes('another push to hello is under way'));
    expect(rig.controller.builds).toHaveLength(1);
    rig.controller.outcome = 'success';
    first.interrupt();
    expect((await second.ended).code).toBe(0);
    expect(rig.controller.builds).toHaveLength(2);
  });

  it('given a controller that is lost in the middle, when pushed, then the push is rejected and says so', async () => {
    rig.controller.outcome = 'cut';
    const { code, stderr } = await rig.push(tree, gateway, ada).ended;
    expect(code).toBe(1);
    expect(stderr).toContain('remote: the controller was lost in the middle of the push');
  });
});

describe('what is refused', () => {
  it('given an app that does not exist, when pushed, then nothing is received and the way out is named', async () => {
    const { code, stderr } = await rig.push(tree, gateway, ada, ['main'], 'nope').ended;
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/app nope does not exist\n {2}→ flynn apps:create nope/);
    expect(await readdir(join(rig.dir, 'one/repos'))).toEqual([]);
  });

  it.each([
    [['main:topic'], 'remote: only main (or master) deploys: git push flynn topic:main'],
    [['main', 'main:topic'], 'remote: only main (or master) deploys: git push flynn topic:main'],
    [['v1'], 'remote: tags alone deploy nothing'],
  ])('given a push of %j, when made, then it is rejected with a way out', async (refs, text) => {
    await rig.git(tree, ['tag', 'v1']);
    const { code, stderr } = await rig.push(tree, gateway, ada, refs).ended;
    expect(code).toBe(1);
    expect(stderr).toContain(text);
    expect(rig.controller.builds).toHaveLength(0);
  });

  it('given a deployed main, when it is deleted, then that is rejected', async () => {
    await rig.push(tree, gateway, ada).ended;
    const { code, stderr } = await rig.push(tree, gateway, ada, [':main']).ended;
    expect(code).toBe(1);
    expect(stderr).toContain('cannot be deleted');
  });

  it('given keys of other apps, when they push, then they are refused; the ones of the app may', async () => {
    const people = [
      [person('dev-other', 'developer', ['other']), false],
      [person('ci-other', 'deploy', ['other']), false],
      [person('dev', 'developer', ['hello']), true],
      [person('ci', 'deploy', ['hello']), true],
    ] as const;
    for (const [who, allowed] of people) {
      await rig.admit(who);
      const fresh = await rig.commit(tree, 'server.js', who.record.name);
      const { code, stderr } = await rig.push(tree, gateway, who).ended;
      if (allowed)
        expect(rig.controller.builds.at(-1)).toMatchObject({ commit: fresh, name: who.record.name });
      else expect(stderr).toContain(`key ${who.record.name}`);
      expect(code === 0).toBe(allowed);
    }
  });

  it('given a small limit, when more is pushed, then it is rejected in clear words, and the next push works', async () => {
    const small = await rig.gateway('small', { limits: { maxBytes: 1024 * 1024 } });
    await rig.commit(tree, 'large.bin', randomBytes(4_000_000));
    const { code, stderr } = await rig.push(tree, small, ada).ended;
    expect(code).not.toBe(0);
    expect(stderr).toContain('the push brings more than 1 MiB');
    expect(rig.controller.builds).toHaveLength(0);
    await rig.git(tree, ['reset', '-q', '--hard', 'HEAD~1']);
    expect(await rig.push(tree, small, ada).ended).toMatchObject({ code: 0 });
    const objects = await readdir(join(rig.dir, 'small/repos/hello.git/objects'));
    expect(objects.filter((name) => name.startsWith('tmp'))).toEqual([]);
  });

  it('given objects that are small and files that are not, when pushed, then it is rejected before anything is built', async () => {
    const small = await rig.gateway('small', { limits: { maxBytes: 1024 * 1024 } });
    await rig.commit(tree, 'zeros.bin', Buffer.alloc(1_100_000));
    const { code, stderr } = await rig.push(tree, small, ada).ended;
    expect(code).toBe(1);
    expect(stderr).toContain('remote: the source has more than 1 MiB');
    expect(rig.controller.builds).toHaveLength(0);
  });

  it('given a controller that takes less, when the source is larger, then its words reach the pusher', async () => {
    rig.controller.maxBytes = 100_000;
    await rig.commit(tree, 'large.bin', Buffer.alloc(30_000_000));
    const { code, stderr } = await rig.push(tree, gateway, ada).ended;
    expect(code).toBe(1);
    expect(stderr).toContain('remote: the source is too large');
  });
});

describe('a pusher who goes away', () => {
  it('given a build under way, when the pusher stops, then the build is cancelled and the next push works', async () => {
    rig.controller.outcome = 'hang';
    const push = rig.push(tree, gateway, ada);
    await until(() => push.out.stderr.includes('compiled'));
    push.interrupt();
    await until(() => rig.controller.builds[0]?.aborted === true);
    rig.controller.outcome = 'success';
    expect(await rig.push(tree, gateway, ada).ended).toMatchObject({ code: 0 });
  });

  it('given a build under way, when the key is removed, then the build is cancelled', async () => {
    rig.controller.outcome = 'hang';
    const push = rig.push(tree, gateway, ada);
    await until(() => rig.controller.builds.length === 1);
    await rig.store.delete(keys.sshKey(ada.record.fingerprint));
    await until(() => rig.controller.builds[0]?.aborted === true);
    expect((await push.ended).code).not.toBe(0);
  });
});

describe('git with our own ssh', () => {
  let env: Record<string, string>;

  beforeEach(async () => {
    const home = join(rig.dir, 'flynn-home');
    await saveCluster(
      home,
      {
        name: 'test',
        gateways: [`127.0.0.1:${gateway.port}`],
        fingerprint,
        identity: rig.keyFile(ada),
        hosts: [],
      },
      true,
    );
    const command = sshCommand({
      node: process.execPath,
      script: join(root, 'bin/dev.js'),
      cluster: 'test',
      home,
    });
    await rig.git(tree, ['config', 'core.sshCommand', command]);
    await rig.git(tree, ['config', 'ssh.variant', 'ssh']);
    const url = `ssh://flynn@127.0.0.1:${gateway.port}/hello.git`;
    await rig.git(tree, ['remote', 'add', 'flynn', url]);
    env = { FLYNN_DEBUG: '1' };
  });

  it('given the remote, when pushed, then it deploys; a failed build is rejected; nothing keeps the process', async () => {
    const { code, stderr } = await rig.git(tree, ['push', 'flynn', 'main'], env);
    expect(stderr).toContain('remote: -----> Release 1 serves');
    expect(stderr).not.toContain('left open');
    expect(code).toBe(0);
    rig.controller.outcome = 'failure';
    await rig.commit(tree, 'large.bin', randomBytes(3_000_000));
    const failed = await rig.git(tree, ['push', 'flynn', 'main'], env);
    expect(failed.code).toBe(1);
    expect(failed.stderr).toContain('remote: the build ended with code 3');
    expect(failed.stderr).not.toContain('left open');
  });

  it('given a frozen gateway that the remote names, when pushed, then another one takes it', async () => {
    const sockets = new Set<Socket>();
    const frozen = createServer((socket) => void sockets.add(socket.on('error', () => undefined)));
    await new Promise<void>((resolve) => frozen.listen(0, '127.0.0.1', resolve));
    rig.cleanups.push(() => {
      for (const socket of sockets) socket.destroy();
      frozen.close();
    });
    const { port } = frozen.address() as { port: number };
    const home = join(rig.dir, 'flynn-home');
    const gateways = [`127.0.0.1:${port}`, `127.0.0.1:${gateway.port}`];
    await saveCluster(
      home,
      { name: 'test', gateways, fingerprint, identity: rig.keyFile(ada), hosts: [] },
      true,
    );
    await rig.git(tree, ['remote', 'set-url', 'flynn', `ssh://flynn@127.0.0.1:${port}/hello.git`]);
    expect(await rig.git(tree, ['push', 'flynn', 'main'], env)).toMatchObject({ code: 0 });
  });

  it('given a build under way, when the pusher stops, then the build is cancelled', async () => {
    rig.controller.outcome = 'hang';
    const push = rig.start(tree, ['push', 'flynn', 'main'], env);
    await until(() => push.out.stderr.includes('compiled'));
    push.interrupt();
    await until(() => rig.controller.builds[0]?.aborted === true);
    expect((await push.ended).code).not.toBe(0);
  });

  it('given an unknown app, when pushed, then the words and the failure arrive; a fetch is told what there is', async () => {
    rig.controller.apps.clear();
    const pushed = await rig.git(tree, ['push', 'flynn', 'main'], env);
    expect(pushed.stderr).toMatch(/app hello does not exist\n {2}→ flynn apps:create hello/);
    expect(pushed.code).not.toBe(0);
    const fetched = await rig.git(tree, ['fetch', 'flynn'], env);
    expect(fetched.stderr).toContain('keeps no repository to fetch from');
    expect(fetched.code).not.toBe(0);
  });

  it('given a remote elsewhere, when git goes there, then it is the plain ssh with the same words and its code', async () => {
    const bin = join(rig.dir, 'bin');
    await mkdir(bin);
    await writeFile(join(bin, 'ssh'), '#!/bin/sh\nfor word; do echo "<$word>" >&2; done\nexit 42\n');
    await chmod(join(bin, 'ssh'), 0o755);
    const { code, stderr } = await rig.git(tree, ['ls-remote', 'ssh://git@git.example.test:2200/a/b.git'], {
      ...env,
      PATH: `${bin}:${process.env.PATH ?? ''}`,
    });
    expect(stderr).toContain("<-p>\n<2200>\n<git@git.example.test>\n<git-upload-pack '/a/b.git'>");
    expect(code).toBe(128);
  });
});

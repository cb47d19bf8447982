// How git calls us: its command line, whose host it names, and what is written into a work tree's configuration.
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { appOfUrl } from '../../../src/lib/access/app.js';
import { leadsTo, parseSshArguments, pushArgv } from '../../../src/lib/access/git-command.js';
import { setSshCommand, sshCommand } from '../../../src/lib/access/git-config.js';
import { clusterFor } from '../../../src/lib/access/git-ssh.js';
import { saveCluster } from '../../../src/lib/operator/context.js';

describe('ssh arguments', () => {
  it.each([
    [
      ['-o', 'SendEnv=GIT_PROTOCOL', '-p', '2222', 'flynn@gw', "git-receive-pack '/hello.git'"],
      { user: 'flynn', host: 'gw', port: 2222, command: "git-receive-pack '/hello.git'", asksConfig: false },
    ],
    [
      ['-4', '-p2222', '-l', 'ada', 'gw', 'x', 'y'],
      { user: 'ada', host: 'gw', port: 2222, command: 'x y', asksConfig: false },
    ],
    [
      ['-oSendEnv=A', '-G', 'git@github.com'],
      { user: 'git', host: 'github.com', command: '', asksConfig: true },
    ],
    [['-tvp', '22', '--', 'h', 'c'], { host: 'h', port: 22, command: 'c', asksConfig: false }],
  ])('given %j, when read, then host and command are known', (argv, expected) => {
    expect(parseSshArguments(argv)).toEqual(expected);
  });

  it.each([[[]], [['-p', '22']], [['-v']]])(
    'given %j without a host, when read, then it is refused',
    (argv) => {
      expect(() => parseSshArguments(argv)).toThrow(expect.objectContaining({ code: 'usage' }) as Error);
    },
  );

  it('given commands of git, when turned into words, then only a push is taken', () => {
    expect(pushArgv("git-receive-pack '/hello.git'")).toEqual(['git-receive-pack', '/hello.git']);
    expect(() => pushArgv("git-upload-pack '/hello.git'")).toThrow('no repository to fetch from');
    expect(() => pushArgv('ls')).toThrow("does not run 'ls'");
  });

  it('given gateways, when a host is named, then it is one of them, or a remote of ours whose gateway moved', () => {
    const gateways = ['gw1.example.test:2222', '[fd00::1]:2222'];
    const at = (host: string, port?: number, user?: string) =>
      leadsTo(gateways, {
        host,
        command: '',
        asksConfig: false,
        ...(port ? { port } : {}),
        ...(user ? { user } : {}),
      });
    expect(at('GW1.example.test', 2222)).toBe(true);
    expect(at('fd00::1', 2222)).toBe(true);
    expect(at('gw9.example.test', 2222, 'flynn')).toBe(true);
    expect(at('gw9.example.test', 2222, 'git')).toBe(false);
    expect(at('gw1.example.test')).toBe(false);
    expect(at('github.com', undefined, 'git')).toBe(false);
  });
});

describe('a work tree', () => {
  let dir: string;
  const config = (name: string): string =>
    execFileSync('git', ['config', '--local', '--get', name], { cwd: dir, encoding: 'utf8' }).trim();

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'flynn-git-'));
  });
  afterEach(() => rm(dir, { recursive: true }));

  it('given no work tree, when the command is set, then nothing happens', async () => {
    expect(await setSshCommand(dir, "'n' 'r' git-ssh --cluster a")).toBe('none');
  });

  it('given a work tree, when the command is set, set again and changed, then it is set once each', async () => {
    execFileSync('git', ['init', '-q'], { cwd: dir });
    const a = sshCommand({ node: '/n', script: '/r', cluster: 'a' });
    expect(await setSshCommand(dir, a)).toBe('set');
    expect(await setSshCommand(dir, a)).toBe('same');
    expect(config('core.sshCommand')).toBe("'/n' '/r' git-ssh --cluster a");
    expect(config('ssh.variant')).toBe('ssh');
    expect(await setSshCommand(dir, sshCommand({ node: '/n', script: '/r', cluster: 'b' }))).toBe('set');
    expect(config('core.sshCommand')).toContain('--cluster b');
  });

  it("given a user's own command, when ours is set, then theirs is kept", async () => {
    execFileSync('git', ['init', '-q'], { cwd: dir });
    execFileSync('git', ['config', 'core.sshCommand', 'ssh -i mine'], { cwd: dir });
    expect(await setSshCommand(dir, sshCommand({ node: '/n', script: '/r', cluster: 'a' }))).toBe('kept');
    expect(config('core.sshCommand')).toBe('ssh -i mine');
  });

  it('given paths and strings that a shell would read, when a shell runs the command, then they arrive unchanged', () => {
    const home = "/it's a $HOME";
    const string = 'flynn://a:1,b:2/t?key=SHA256%3Aabc';
    const command = sshCommand({ node: '/bin/echo', script: '/a b/run.js', cluster: string, home });
    expect(execFileSync('sh', ['-c', `${command} "$@"`, command, '-p', '1'], { encoding: 'utf8' })).toBe(
      `/a b/run.js git-ssh --cluster ${string} -p 1\n`,
    );
    const shown = execFileSync(
      'sh',
      ['-c', sshCommand({ node: '/usr/bin/env', script: '-u', cluster: 'x', home }).replace(/ '-u'.*/, '')],
      { encoding: 'utf8' },
    );
    expect(shown).toContain(`FLYNN_HOME=${home}\n`);
  });

  it('given the remote that apps:create sets, when an app is looked for, then it is found', () => {
    expect(appOfUrl('ssh://flynn@127.77.0.11:2222/hello.git')).toBe('hello');
    expect(appOfUrl('ssh://flynn@[fd00::1]:2222/hello.git')).toBe('hello');
  });

  it('given clusters, when a host is named, then the cluster it belongs to is found, also one not named', async () => {
    const add = (name: string, gateway: string) =>
      saveCluster(
        dir,
        { name, gateways: [gateway], fingerprint: `SHA256:${'A'.repeat(43)}`, hosts: [] },
        false,
      );
    await add('a', 'gw-a:2222');
    await add('b', 'gw-b:2222');
    const env = { FLYNN_HOME: dir };
    const request = (host: string) => ({ host, port: 2222, command: '', asksConfig: false });
    expect((await clusterFor(request('gw-a'), { env, cluster: 'a' }))?.name).toBe('a');
    expect((await clusterFor(request('gw-b'), { env, cluster: 'a' }))?.name).toBe('b');
    expect((await clusterFor(request('gw-b'), { env, cluster: 'forgotten' }))?.name).toBe('b');
    expect(await clusterFor(request('github.com'), { env, cluster: 'a' })).toBeUndefined();
    const string = `flynn://gw-c:2222/c?key=SHA256%3A${'A'.repeat(43)}`;
    expect((await clusterFor(request('gw-c'), { env: { ...env, FLYNN_CLUSTER: string } }))?.name).toBe('c');
  });
});

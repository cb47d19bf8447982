// What is read from ssh_config.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  configFromText,
  loadConfig,
  parseJumps,
  resolveTarget,
  type HostConfig,
} from '../../../src/lib/ssh/config.js';

let home: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'flynn-config-'));
});
afterAll(() => rm(home, { recursive: true, force: true }));

const context = () => ({ home, localUser: 'me' });
const lookup = (text: string, host: string, user?: string): Promise<HostConfig> =>
  configFromText(text, join(home, '.ssh/config'), context()).lookup(host, user);

describe('lookup', () => {
  it('given blocks, then the first value wins and identity files add up', async () => {
    const text = `
Host web1
  HostName 10.0.0.1
  User deploy
  IdentityFile ~/.ssh/one
Host web*
  User other
  Port 2200
  IdentityFile "%d/keys/%h-%r"
  identitiesonly yes
Host *
  IdentityFile none
  Port 22
`;
    expect(await lookup(text, 'web1')).toMatchObject({
      hostName: '10.0.0.1',
      user: 'deploy',
      port: 2200,
      identityFiles: [`${home}/.ssh/one`, `${home}/keys/10.0.0.1-deploy`],
      identitiesOnly: true,
    });
    expect(await lookup(text, 'db')).toMatchObject({
      hostName: undefined,
      user: undefined,
      port: 22,
      identitiesOnly: false,
    });
  });

  it('given negated patterns and tokens in HostName, then they are followed', async () => {
    const text = 'Host *.prod !db.prod\n  HostName %h.example.org\n';
    expect((await lookup(text, 'web.prod')).hostName).toBe('web.prod.example.org');
    expect((await lookup(text, 'db.prod')).hostName).toBeUndefined();
  });

  it('given Match blocks, then host, originalhost, user and localuser decide, and exec is never run', async () => {
    const marker = join(home, 'ran');
    const text = `
Host a
  HostName real.example
Match host real.example user root
  Port 1
Match originalhost b localuser me
  Port 2
Match exec "touch ${marker}"
  Port 3
Match all
  IdentityAgent none
`;
    expect(await lookup(text, 'a', 'root')).toMatchObject({ port: 1, identityAgent: false });
    expect((await lookup(text, 'a', 'joe')).port).toBeUndefined();
    expect((await lookup(text, 'b')).port).toBe(2);
    await expect(import('node:fs/promises').then((fs) => fs.stat(marker))).rejects.toThrow();
  });

  it('given includes, then they apply where they stand, relative to the folder, with wildcards, and absent ones are skipped', async () => {
    await mkdir(join(home, '.ssh/conf.d'), { recursive: true });
    await writeFile(join(home, '.ssh/conf.d/1'), 'Host inc\n  Port 4001\n');
    await writeFile(join(home, '.ssh/conf.d/2'), 'User included\n');
    const text = 'Include conf.d/*\nInclude absent\nHost inc\n  User late\n  Port 5\n';
    expect(await lookup(text, 'inc')).toMatchObject({ port: 4001, user: 'included' });
    const inside = 'Host x\n  Include conf.d/2\nHost *\n  User all\n';
    expect((await lookup(inside, 'x')).user).toBe('included');
    expect((await lookup(inside, 'y')).user).toBe('all');
    await writeFile(join(home, '.ssh/conf.d/loop'), 'Include conf.d/loop\n');
    await expect(lookup('Include conf.d/loop\n', 'z')).rejects.toMatchObject({ code: 'usage' });
  });

  it('given known_hosts files, then they are listed; StrictHostKeyChecking has no field at all', async () => {
    const found = await lookup('StrictHostKeyChecking no\nUserKnownHostsFile ~/a /b\n', 'h');
    expect(found.knownHostsFiles?.slice(0, 2)).toEqual([`${home}/a`, '/b']);
    expect(Object.keys(found).some((key) => /strict/i.test(key))).toBe(false);
  });

  it('given ProxyJump, then the chain is read', async () => {
    const found = await lookup('Host in\n ProxyJump me@a:2200,b\nHost out\n ProxyJump none\n', 'in');
    expect(found.proxyJump).toEqual([{ user: 'me', host: 'a', port: 2200 }, { host: 'b' }]);
    expect(parseJumps('ssh://u@[::1]:22/')).toEqual([{ user: 'u', host: '::1', port: 22 }]);
    expect(parseJumps('NONE')).toEqual([]);
  });

  it('given a bad port or an unclosed quote, then it is a usage error', async () => {
    await expect(lookup('Port x\n', 'h')).rejects.toMatchObject({ code: 'usage' });
    await expect(lookup('IdentityFile "x\n', 'h')).rejects.toMatchObject({ code: 'usage' });
  });
});

describe('files', () => {
  it('given no default file, then it is empty; given a named one that is absent, then it is a usage error', async () => {
    const nowhere = { home: join(home, 'nobody'), localUser: 'me' };
    expect((await (await loadConfig(undefined, nowhere)).lookup('h')).identityFiles).toEqual([]);
    expect((await (await loadConfig(false, nowhere)).lookup('h')).identityFiles).toEqual([]);
    await expect(loadConfig(join(home, 'absent'), nowhere)).rejects.toMatchObject({ code: 'usage' });
  });
});

describe('resolveTarget', () => {
  it('given what is written, the configuration and defaults, then they win in this order', async () => {
    const config = configFromText('Host h\n User conf\n Port 2200\n', 'c', context());
    expect(await resolveTarget('n=root@h:1', { config })).toEqual({
      name: 'n',
      user: 'root',
      host: 'h',
      port: 1,
    });
    expect(await resolveTarget('h', { config, defaultUser: 'root' })).toEqual({
      user: 'conf',
      host: 'h',
      port: 2200,
    });
    expect(await resolveTarget('x', { config, defaultUser: 'root' })).toEqual({
      user: 'root',
      host: 'x',
      port: 22,
    });
    expect((await resolveTarget('x', { context: context() })).user).toBe('me');
  });
});

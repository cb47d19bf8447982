// The files in .lab/NAME, written to a real directory.
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import SSHConfig from 'ssh-config';
import { utils } from 'ssh2';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  ensureKey,
  readHosts,
  renderKnownHosts,
  renderSshConfig,
  writeLabFiles,
} from '../../../src/lib/lab/files.js';
import type { LabHost } from '../../../src/lib/lab/index.js';
import { encodeKeyPair, makeKeyPair } from '../../../src/lib/lab/ssh-key.js';

const host = (name: string, change: Partial<LabHost> = {}): LabHost => ({
  name,
  ssh: { host: '127.77.0.11', port: 22, user: 'root' },
  http: 'http://127.77.0.11',
  https: 'https://127.77.0.11',
  gateway: '127.77.0.11:2222',
  address: '10.77.0.11',
  container: 'c1',
  hostKey: 'ssh-ed25519 AAAA',
  ...change,
});

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'flynn-lab-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

describe('the key', () => {
  it('is one that an SSH client reads, with the public half that belongs to it', () => {
    const pair = makeKeyPair('lab one');
    const parsed = utils.parseKey(pair.privateKey);
    if (parsed instanceof Error) throw parsed;
    const key = Array.isArray(parsed) ? parsed[0] : parsed;
    expect(key?.type).toBe('ssh-ed25519');
    expect(key?.comment).toBe('lab one');
    expect(key?.getPublicSSH().toString('base64')).toBe(pair.publicKey.split(' ')[1]);
    const signature = key?.sign('text');
    if (!(signature instanceof Buffer)) throw new Error('no signature');
    expect(key?.verify('text', signature)).toBe(true);
  });

  it('is padded to whole blocks for comments of any length', () => {
    for (let length = 0; length < 9; length++) {
      const pair = encodeKeyPair(
        Buffer.alloc(32, 1),
        Buffer.alloc(32, 2),
        'c'.repeat(length),
        Buffer.alloc(4, 3),
      );
      const parsed = utils.parseKey(pair.privateKey);
      expect(parsed).not.toBeInstanceOf(Error);
    }
  });

  it('is made once, readable by its owner alone', async () => {
    const first = await ensureKey(join(dir, 'x'), 'x');
    expect(await ensureKey(join(dir, 'x'), 'x')).toBe(first);
    expect((await stat(join(dir, 'x', 'key'))).mode & 0o777).toBe(0o600);
  });
});

describe('ssh_config and known_hosts', () => {
  it('lead to each host with its key and a pinned host key', () => {
    const hosts = [host('a'), host('b', { ssh: { host: '127.0.0.1', port: 4022, user: 'ops' } })];
    const config = SSHConfig.parse(renderSshConfig('/tmp/my lab', hosts));
    expect(config.compute('a')).toMatchObject({ HostName: '127.77.0.11', Port: '22', User: 'root' });
    const b = config.compute('b');
    expect(b).toMatchObject({
      HostName: '127.0.0.1',
      Port: '4022',
      User: 'ops',
      StrictHostKeyChecking: 'yes',
    });
    expect(b['IdentityFile']).toEqual(['/tmp/my lab/key']);
  });

  it('know a host by name and addresses, with the port where it is not 22', () => {
    const hosts = [
      host('a'),
      host('b', { ssh: { host: '127.0.0.1', port: 4022, user: 'ops' }, address: '10.77.0.12' }),
    ];
    expect(renderKnownHosts(hosts).split('\n')).toEqual([
      'a,127.77.0.11,10.77.0.11 ssh-ed25519 AAAA',
      'b,[127.0.0.1]:4022,10.77.0.12 ssh-ed25519 AAAA',
      '',
    ]);
  });
});

describe('hosts.json and env', () => {
  it('reads back what was written', async () => {
    await writeLabFiles(dir, 'x', [host('a')]);
    expect(await readHosts(dir)).toEqual([host('a')]);
    expect(await readHosts(join(dir, 'none'))).toEqual([]);
  });

  it('keeps lines that others added to env and renews its own', async () => {
    await writeLabFiles(dir, 'x', [host('a')]);
    await writeFile(
      join(dir, 'env'),
      `${await readFile(join(dir, 'env'), 'utf8')}export FLYNN_CLUSTER=abc\n`,
    );
    await writeLabFiles(dir, 'x', [host('a'), host('b')]);
    const lines = (await readFile(join(dir, 'env'), 'utf8')).split('\n');
    expect(lines.filter((line) => line.startsWith('export FLYNN_CLUSTER='))).toEqual([
      'export FLYNN_CLUSTER=abc',
    ]);
    expect(lines.filter((line) => line.startsWith('export FLYNN_LAB_HOSTS='))).toEqual([
      "export FLYNN_LAB_HOSTS='a b'",
    ]);
  });
});

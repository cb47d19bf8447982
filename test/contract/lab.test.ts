// The lab on a real engine: hosts come up, freeze with their jobs, lose power and network, and leave no trace.
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { docker } from '../../src/lib/lab/docker-cli.js';
import {
  ensureBaseImages,
  heal,
  isolate,
  killHost,
  labDown,
  labExec,
  labStatus,
  labUp,
  partition,
  pauseHost,
  saveImages,
  startHost,
  unpauseHost,
  type Lab,
} from '../../src/lib/lab/index.js';
import { labKey } from '../../src/lib/lab/plan.js';
import { runAny } from '../../src/lib/lab/process.js';

const quiet = (): void => undefined;
let root: string;
let lab: Lab;
const ref = (): { root: string; name: string } => ({ root, name: 'contract' });
const address = (name: string): string => lab.hosts.find((host) => host.name === name)?.address ?? '';

/** Runs a script inside a host and returns its trimmed output; fails the test when the script fails. */
const inside = async (host: string, script: string): Promise<string> => {
  const done = await labExec(host, ['sh', '-c', script], ref());
  expect(done, script).toMatchObject({ code: 0 });
  return done.stdout.trim();
};

const reaches = async (from: string, to: string): Promise<boolean> =>
  (await labExec(from, ['ping', '-c', '1', '-W', '1', address(to)], ref())).code === 0;

/** The first bytes that a server sends, or undefined when nothing comes within `ms`. */
const banner = (host: string, port: number, ms: number): Promise<string | undefined> =>
  new Promise((resolve) => {
    const socket = connect({ host, port });
    const end = (text?: string): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(text);
    };
    const timer = setTimeout(() => end(), ms);
    socket.once('data', (data) => end(data.toString('utf8').trim()));
    socket.once('error', () => end());
  });

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'flynn-lab-contract-'));
  lab = await labUp({ ...ref(), hosts: 2 }, quiet);
  // A job that counts, in an image made of the host's own shell.
  const parts = 'bin lib $(ls -d lib64) usr/bin/dash usr/bin/sh usr/bin/sleep usr/lib64';
  const libs = 'usr/lib/*-linux-gnu/libc.so.6 usr/lib/*-linux-gnu/ld-linux*';
  await inside('a', `cd / && tar -c ${parts} ${libs} 2>/dev/null | docker import - job >/dev/null`);
  const count = 'n=0; while :; do n=$((n+1)); echo $n > /out/n; sleep 0.05; done';
  await inside('a', `docker run -d --name job --restart always -v /srv/out:/out job sh -c '${count}'`);
}, 240_000);

afterAll(async () => {
  await labDown(ref(), quiet);
  await rm(root, { recursive: true, force: true });
}, 60_000);

describe('given a lab of two hosts', () => {
  it('when brought up again, then it is the same lab', async () => {
    const again = await labUp({ ...ref(), hosts: 2 }, quiet);
    expect(again.existed).toBe(true);
    expect(again.hosts).toEqual(lab.hosts);
  });

  it('when another kind of hosts is asked for, then that is a conflict', async () => {
    await expect(labUp({ ...ref(), bare: true }, quiet)).rejects.toMatchObject({ code: 'conflict' });
  });

  it('then ssh reaches each host by its config, with a pinned host key', async () => {
    const config = join(lab.dir, 'ssh_config');
    for (const { name } of lab.hosts) {
      const done = await runAny('ssh', ['-o', 'BatchMode=yes', '-F', config, name, 'hostname']);
      expect(done).toMatchObject({ code: 0, stdout: `${name}\n` });
    }
  });

  it('then every job lies below its host’s own control group', async () => {
    const groups = await inside('a', 'cat /proc/$(docker inspect -f "{{.State.Pid}}" job)/cgroup');
    expect(groups).toContain(`${lab.hosts[0]?.container ?? '?'}/inner/`);
  });

  it('when a host is frozen, then its job stops, and goes on when it is thawed', async () => {
    const id = lab.hosts[0]?.container ?? '';
    const count = async (): Promise<string> =>
      (await docker(['cp', `${id}:/srv/out/n`, '-'])).slice(512).split('\0')[0] ?? '';
    await pauseHost('a', ref());
    const frozen = await count();
    await new Promise((resolve) => setTimeout(resolve, 400));
    expect(await count()).toBe(frozen);
    await expect(labExec('a', ['true'], ref())).rejects.toMatchObject({ code: 'conflict' });
    await unpauseHost('a', ref());
    await expect.poll(count, { timeout: 3000 }).not.toBe(frozen);
  });

  it('when a host loses power, then it comes back with the same host key and its jobs', async () => {
    const [a] = lab.hosts;
    if (!a) throw new Error('no host');
    expect(await killHost('a', ref())).toEqual({ host: 'a', state: 'off' });
    expect(await banner(a.ssh.host, a.ssh.port, 500)).toBeUndefined();
    await startHost('a', ref());
    const key = await inside('a', 'cut -d" " -f1,2 /etc/ssh/ssh_host_ed25519_key.pub');
    expect(key).toBe(a.hostKey);
    expect(await banner(a.ssh.host, a.ssh.port, 3000)).toMatch(/^SSH-2\.0/);
    await expect.poll(() => inside('a', 'docker ps -q -f name=job | wc -l'), { timeout: 10_000 }).toBe('1');
  });

  it('when dockerd is killed, then the host starts it again', async () => {
    await inside('b', 'kill -9 $(cat /run/docker.pid); sleep 0.2; lab-ready 20');
    expect(await inside('b', 'docker version -f "{{.Server.Version}}"')).not.toBe('');
  });

  it('when two hosts are cut off from each other, then the cut outlives a power cycle and heals', async () => {
    expect(await reaches('a', 'b')).toBe(true);
    await partition('a', 'b', ref());
    expect([await reaches('a', 'b'), await reaches('b', 'a')]).toEqual([false, false]);
    expect((await labStatus(ref())).hosts.map((host) => host.cuts)).toEqual([[address('b')], [address('a')]]);
    await killHost('a', ref());
    await startHost('a', ref());
    expect(await reaches('a', 'b')).toBe(false);
    await heal(ref());
    expect([await reaches('a', 'b'), await reaches('b', 'a')]).toEqual([true, true]);
  });

  it('when a host is isolated, then its published ports are silent and the lab still commands it', async () => {
    const b = lab.hosts[1];
    if (!b) throw new Error('no host');
    await isolate('b', ref());
    expect(await banner(b.ssh.host, b.ssh.port, 700)).toBeUndefined();
    expect(await reaches('a', 'b')).toBe(false);
    expect(await inside('b', 'hostname')).toBe('b');
    await heal(ref());
    expect(await banner(b.ssh.host, b.ssh.port, 3000)).toMatch(/^SSH-2\.0/);
  });

  it('when a host or a lab is not there, then that is said with the names there are', async () => {
    await expect(killHost('z', ref())).rejects.toMatchObject({
      code: 'not_found',
      message: expect.stringContaining('a, b'),
    });
    await expect(killHost('a', { ...ref(), name: 'none' })).rejects.toMatchObject({ code: 'not_found' });
  });

  it('when taken down, then no container, volume, network, file or group of it is left', async () => {
    const key = labKey(root, 'contract');
    const volumes = await Promise.all(
      lab.hosts.map((host) => docker(['inspect', '-f', '{{range .Mounts}}{{.Name}}{{end}}', host.container])),
    );
    expect((await labDown(ref(), quiet)).removed).toEqual(['a', 'b']);
    expect(await docker(['ps', '-aq', '--filter', `label=flynn.lab=${key}`])).toBe('');
    expect(await docker(['network', 'ls', '-q', '--filter', `label=flynn.lab=${key}`])).toBe('');
    const left = await docker(['volume', 'ls', '-q']);
    for (const volume of volumes) expect(left.split('\n')).not.toContain(volume);
    for (const { container } of lab.hosts) {
      expect((await runAny('find', ['/sys/fs/cgroup', '-name', container])).stdout).toBe('');
    }
    await expect(readFile(join(lab.dir, 'key'))).rejects.toMatchObject({ code: 'ENOENT' });
    expect(await labStatus(ref())).toMatchObject({ up: false, hosts: [] });
    expect((await labDown(ref(), quiet)).removed).toEqual([]);
  });
});

describe('given the base images', () => {
  it('when saved twice, then the file is written once', async () => {
    const { debian } = await ensureBaseImages(quiet);
    const file = join(root, 'bundle.tar');
    expect(await saveImages([debian.tag], file)).toBe(true);
    expect(await saveImages([debian.tag], file)).toBe(false);
    await expect(saveImages(['no-such-image:1'], file)).rejects.toMatchObject({ code: 'not_found' });
  }, 240_000);

  it('then Node 24 and npm run on the Node image', async () => {
    const { node } = await ensureBaseImages(quiet);
    const version = await docker(['run', '--rm', node.tag, 'sh', '-c', 'node --version && npm --version']);
    expect(version).toMatch(/^v24\.\d+\.\d+\n\d+\./);
  }, 240_000);
});

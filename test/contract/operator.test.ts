// The operator's steps over a real sshd: facts, reachability, files that are written once and stay.
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { reachScript } from '../../src/lib/operator/addresses.js';
import { writeFiles } from '../../src/lib/operator/host-steps.js';
import { run } from '../../src/lib/operator/links.js';
import { collectFacts } from '../../src/lib/operator/preflight.js';
import { createConnector, type SshConnection } from '../../src/lib/ssh/index.js';
import { fingerprintOf, startSshd, type Sshd } from '../fakes/sshd.js';

// Without root there is no sudo to rely on: the steps that need it are tried where they can be.
const root = userInfo().uid === 0;
const signal = new AbortController().signal;
let sshd: Sshd;
let conn: SshConnection;
let dir: string;

beforeAll(async () => {
  sshd = await startSshd();
  dir = await mkdtemp(join(tmpdir(), 'flynn-operator-'));
  conn = await createConnector().connect(
    { host: '127.0.0.1', port: sshd.port, user: sshd.user },
    {
      sshConfig: false,
      auth: { identityFiles: [sshd.userKey], agent: false },
      hostKeys: { pinned: await Promise.all(sshd.hostKeys.map(fingerprintOf)) },
    },
  );
});
afterAll(async () => {
  await conn?.close();
  await sshd?.stop();
  if (dir) await rm(dir, { recursive: true, force: true });
});

describe('preflight over a real sshd', () => {
  it('collects facts in one go, and the clock agrees with ours', async () => {
    const { facts, skewMs } = await collectFacts(conn, () => Date.now(), signal);
    expect(facts.ssh.port).toBe(sshd.port);
    expect(facts.listeners.some((listener) => listener.port === sshd.port)).toBe(true);
    expect(Math.abs(skewMs)).toBeLessThan(2_000);
  });

  it('the reachability script names the addresses that answer, and only those', async () => {
    const pairs = [String(sshd.port), '127.0.0.1', '1', '127.0.0.2'];
    const { stdout } = await conn.exec(['sh', '-c', reachScript, 'reach', ...pairs]);
    expect(stdout.split('\n')).toContain('127.0.0.1');
  });

  it('a command that fails is an error with its last words', async () => {
    await expect(run(conn, ['sh', '-c', 'echo no room >&2; exit 3'])).rejects.toMatchObject({
      code: 'failed',
    });
    await expect(run(conn, ['sh', '-c', 'echo no room >&2; exit 3'])).rejects.toThrow(
      /ended with 3: no room/,
    );
  });
});

describe.runIf(root)('files over a real sshd', () => {
  const specs = () => ({
    dirs: [
      { path: join(dir, 'etc'), mode: 0o755 },
      { path: join(dir, 'etc/secret dir'), mode: 0o700 },
    ],
    files: [
      { path: join(dir, "etc/it's.crt"), mode: 0o644, content: 'public\n' },
      { path: join(dir, 'etc/secret dir/key'), mode: 0o600, content: 'private $HOME `id`\n' },
      { path: join(dir, 'etc/host.json'), mode: 0o644, content: '{}' },
    ],
  });
  const write = (): Promise<boolean> => writeFiles(conn, specs().dirs, specs().files, signal);

  it('are written with their modes, and nothing is done the second time', async () => {
    expect(await write()).toBe(true);
    for (const file of specs().files) {
      expect(await readFile(file.path, 'utf8')).toBe(file.content);
      expect((await stat(file.path)).mode & 0o777).toBe(file.mode);
    }
    expect((await stat(join(dir, 'etc/secret dir'))).mode & 0o777).toBe(0o700);
    const before = (await stat(join(dir, 'etc/host.json'))).ino;
    expect(await write()).toBe(false);
    expect((await stat(join(dir, 'etc/host.json'))).ino).toBe(before);
  });

  it('one that somebody changed is written again, the others are left alone', async () => {
    await write();
    const key = join(dir, 'etc/secret dir/key');
    const other = (await stat(join(dir, 'etc/host.json'))).ino;
    await writeFile(key, 'cut sh');
    expect(await write()).toBe(true);
    expect(await readFile(key, 'utf8')).toContain('private');
    expect((await stat(join(dir, 'etc/host.json'))).ino).toBe(other);
  });
});

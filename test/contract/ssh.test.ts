// The SSH room against real sshds: host keys, authentication, commands, files, tunnels, jump hosts.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable, type Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { isFlynnError, type FlynnError } from '../../src/lib/api/errors.js';
import {
  createConnector,
  elevation,
  formatKnownHost,
  type ConnectOptions,
  type SshConnection,
  type SshTarget,
} from '../../src/lib/ssh/index.js';
import { fingerprintOf, makeKey, publicKey, startAgent, startSshd, type Sshd } from '../fakes/sshd.js';

const run = promisify(execFile);

let folder: string;
let sshd: Sshd;
let target: SshTarget;
let pin: string;
const open: SshConnection[] = [];

const connector = (more: { agentSocket?: string } = {}) => createConnector({ home: folder, ...more });
const connect = async (opts: ConnectOptions = {}, to: SshTarget = target): Promise<SshConnection> => {
  const conn = await connector().connect(to, {
    hostKeys: { pinned: [pin] },
    auth: { identityFiles: [sshd.userKey] },
    ...opts,
  });
  open.push(conn);
  return conn;
};
const failure = async (work: Promise<unknown>): Promise<FlynnError> => {
  const error: unknown = await work.then(
    () => undefined,
    (e: unknown) => e,
  );
  if (!isFlynnError(error)) throw new Error(`expected a FlynnError, got ${String(error)}`, { cause: error });
  return error;
};
const readAll = async (stream: Readable): Promise<string> => {
  let text = '';
  for await (const chunk of stream) text += String(chunk);
  return text;
};

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'flynn-ssh-'));
  sshd = await startSshd({ hostKeys: ['rsa', 'ecdsa', 'ed25519'] });
  target = { host: '127.0.0.1', port: sshd.port, user: sshd.user, name: 'one' };
  pin = await fingerprintOf(sshd.hostKeys[2] ?? '');
});
afterEach(async () => {
  for (const conn of open.splice(0)) await conn.close();
});
afterAll(async () => {
  await sshd.stop();
  await rm(folder, { recursive: true, force: true });
});

describe('host keys', () => {
  const known = async (lines: string): Promise<ConnectOptions> => {
    const file = join(folder, 'known_hosts');
    await writeFile(file, lines);
    return { hostKeys: { knownHostsFiles: [file] } };
  };
  const line = async (which: number, name = `[127.0.0.1]:${sshd.port}`): Promise<string> =>
    `${name} ${(await publicKey(sshd.hostKeys[which] ?? '')).split(' ').slice(0, 2).join(' ')}\n`;

  it('given a key nobody knows and nobody to ask, then it refuses with the fingerprint and the next command', async () => {
    const error = await failure(connect({ hostKeys: { knownHostsFiles: [] } }));
    expect(error.code).toBe('refused');
    expect(error.message).toContain(pin);
    expect(error.hint).toContain(`--host-key ${pin}`);
  });

  it('given a human who says yes, then it connects with the key that was shown', async () => {
    const asked: string[] = [];
    const conn = await connect({
      hostKeys: { knownHostsFiles: [], confirm: async ({ key }) => asked.push(key.fingerprint) > 0 },
    });
    expect(asked).toEqual([pin]);
    expect(conn.hostKey).toMatchObject({ type: 'ssh-ed25519', fingerprint: pin });
    const again = await connect(await known(`${formatKnownHost('127.0.0.1', sshd.port, conn.hostKey)}\n`));
    expect(again.hostKey).toEqual(conn.hostKey);
  });

  it('given a human who says no, then it refuses', async () => {
    const error = await failure(connect({ hostKeys: { knownHostsFiles: [], confirm: async () => false } }));
    expect(error.code).toBe('refused');
  });

  it.each([
    [0, 'ssh-rsa'],
    [1, 'ecdsa-sha2-nistp256'],
  ])('given that only key %i of the host is known, then it asks for %s', async (which, type) => {
    const conn = await connect(await known(await line(which)));
    expect(conn.hostKey.type).toBe(type);
  });

  it('given a pin of a type that is not preferred, then it finds that key', async () => {
    const conn = await connect({ hostKeys: { pinned: [await fingerprintOf(sshd.hostKeys[0] ?? '')] } });
    expect(conn.hostKey.type).toBe('ssh-rsa');
  });

  it('given a hashed known_hosts, then it finds the host in it', async () => {
    const opts = await known(await line(2));
    const file = opts.hostKeys?.knownHostsFiles?.[0] ?? '';
    await run('ssh-keygen', ['-q', '-H', '-f', file]);
    expect(await readFile(file, 'utf8')).toMatch(/^\|1\|/);
    expect((await connect(opts)).hostKey.fingerprint).toBe(pin);
  });

  it('given a changed key, then it stops hard and prints both, even when a human would say yes', async () => {
    const other = await makeKey(folder, 'other_host');
    const opts = await known(
      await line(2).then(async (l) => l.replace(/ssh-ed25519 .*/, (await publicKey(other)).trim())),
    );
    const error = await failure(connect({ hostKeys: { ...opts.hostKeys, confirm: async () => true } }));
    expect(error.code).toBe('refused');
    expect(error.message).toContain(pin);
    expect(error.message).toContain(await fingerprintOf(other));
    expect(error.hint).toContain('ssh-keygen -R');
  });

  it('given a pinned key that the host does not have, then it stops hard and prints both', async () => {
    const error = await failure(connect({ hostKeys: { pinned: ['SHA256:AAAA'] } }));
    expect(error.code).toBe('refused');
    expect(error.message).toContain(pin);
    expect(error.message).toContain('SHA256:AAAA');
  });

  it('given a revoked key, then it refuses', async () => {
    const error = await failure(connect(await known(`${await line(2)}@revoked ${await line(2, '*')}`)));
    expect(error.message).toContain('revoked');
  });

  it('given StrictHostKeyChecking no in ssh_config, then it refuses all the same', async () => {
    const file = join(folder, 'weak_config');
    await writeFile(file, 'Host *\n  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n');
    const error = await failure(connect({ hostKeys: {}, sshConfig: file }));
    expect(error.code).toBe('refused');
  });
});

describe('authentication', () => {
  it('given a wrong key, then it refuses and names what was tried', async () => {
    const wrong = await makeKey(folder, 'wrong');
    const error = await failure(connect({ auth: { identityFiles: [wrong] } }));
    expect(error.code).toBe('refused');
    expect(error.message).toContain(wrong);
  });

  it('given no key at all, then it refuses and says so', async () => {
    expect((await failure(connect({ auth: {} }))).message).toContain('none to offer');
  });

  it.each([
    ['rsa', undefined],
    ['ecdsa', undefined],
    ['rsa', 'PEM'],
  ] as const)('given an authorized %s key in format %s, then it logs in', async (type, format) => {
    const key = await makeKey(folder, `user_${type}_${format}`, { type, format });
    await sshd.authorize(await publicKey(key));
    expect((await connect({ auth: { identityFiles: [key] } })).closed).toBe(false);
  });

  it('given the text of a key, then it logs in without any file', async () => {
    const text = await readFile(sshd.userKey, 'utf8');
    const conn = await connect({ auth: { keyTexts: [text], agent: false } });
    expect((await conn.exec(['true'])).code).toBe(0);
  });

  it('given an encrypted key, then it asks for the passphrase once, and refuses without anybody to ask', async () => {
    const key = await makeKey(folder, 'locked', { passphrase: 'correct horse' });
    await sshd.authorize(await publicKey(key));
    let asked = 0;
    const passphrase = async () => (asked++, 'correct horse');
    await connect({ auth: { identityFiles: [key], passphrase } });
    expect(asked).toBe(1);
    const error = await failure(connect({ auth: { identityFiles: [key] } }));
    expect(error.code).toBe('refused');
    expect(error.hint).toContain('ssh-add');
    const wrong = await failure(connect({ auth: { identityFiles: [key], passphrase: async () => 'wrong' } }));
    expect(wrong.code).toBe('usage');
  });

  it('given an agent with many keys, then the named one is used through the agent although its file is locked', async () => {
    const agent = await startAgent(folder);
    try {
      for (let n = 0; n < 8; n++) await agent.add(await makeKey(folder, `noise${n}`));
      const key = await makeKey(folder, 'in_agent');
      await sshd.authorize(await publicKey(key));
      await agent.add(key);
      await run('ssh-keygen', ['-q', '-p', '-N', 'now locked', '-f', key]);
      const conn = await connector({ agentSocket: agent.socket }).connect(target, {
        hostKeys: { pinned: [pin] },
        auth: { identityFiles: [key] },
      });
      open.push(conn);
      expect((await conn.exec(['echo', 'in'])).stdout).toBe('in\n');
    } finally {
      await agent.stop();
    }
  });

  it('given only an agent, then its key is used; given a dead agent, then it refuses', async () => {
    const agent = await startAgent(await mkdtemp(join(folder, 'a')));
    await agent.add(sshd.userKey);
    const opts = { hostKeys: { pinned: [pin] } };
    const conn = await connector({ agentSocket: agent.socket }).connect(target, opts);
    open.push(conn);
    await agent.stop();
    const error = await failure(connector({ agentSocket: agent.socket }).connect(target, opts));
    expect(error.code).toBe('refused');
  });
});

describe('reaching a host', () => {
  it('given a closed port, then it is unreachable and the message names host and port', async () => {
    const error = await failure(connect({}, { ...target, port: 1 }));
    expect(error.code).toBe('unreachable');
    expect(error.message).toContain('127.0.0.1:1');
    expect(error.hint).toContain('sshd');
  });

  it('given a server that never greets, then it gives up in the time it was given', async () => {
    const mute = createServer();
    await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve));
    const port = (mute.address() as AddressInfo).port;
    const start = performance.now();
    const error = await failure(connect({ timeoutMs: 300 }, { ...target, port }));
    expect(performance.now() - start).toBeLessThan(2_000);
    expect(error.code).toBe('unreachable');
    const aborting = new AbortController();
    setTimeout(() => aborting.abort(new Error('enough')), 50);
    await expect(connect({ signal: aborting.signal }, { ...target, port })).rejects.toThrow('enough');
    mute.close();
  });

  it('given an sshd that drops connections beyond MaxStartups, then twelve connects at once all get in', async () => {
    const tight = await startSshd({ config: ['MaxStartups 7'] });
    const shared = connector();
    const to = { ...target, port: tight.port };
    const hostKeys = { pinned: [await fingerprintOf(tight.hostKeys[0] ?? '')] };
    const auth = { identityFiles: [tight.userKey] };
    const all = await Promise.all(
      Array.from({ length: 12 }, () => shared.connect(to, { hostKeys, auth, timeoutMs: 20_000 })),
    );
    open.push(...all);
    expect(all).toHaveLength(12);
    await Promise.all(all.map((conn) => conn.close()));
    await tight.stop();
  });

  it('given a connection that is cut, then commands under way and later ones are unreachable, and onClose tells', async () => {
    const other = await startSshd();
    const conn = await connect(
      {
        hostKeys: { pinned: [await fingerprintOf(other.hostKeys[0] ?? '')] },
        auth: { identityFiles: [other.userKey] },
      },
      { ...target, port: other.port },
    );
    const told = new Promise<Error | undefined>((resolve) => conn.onClose(resolve));
    const under = failure(conn.exec(['sleep', '30']));
    const proc = await conn.spawn(['cat']);
    proc.on('error', () => undefined);
    await sleep(100);
    await other.dropSessions();
    expect((await under).code).toBe('unreachable');
    expect(isFlynnError(await told, 'unreachable')).toBe(true);
    expect(await proc.exit).toBeNull();
    expect(conn.closed).toBe(true);
    expect((await failure(conn.exec(['true']))).code).toBe('unreachable');
    expect((await failure(conn.forwardTcp('127.0.0.1', 1))).code).toBe('unreachable');
    await other.stop();
  });
});

describe('commands', () => {
  it('given words with quotes, spaces, newlines and unicode, then they arrive unchanged', async () => {
    const conn = await connect();
    const args = [`it's`, 'a b', '$HOME', '"', 'x\ny', '*', 'ä→', '', '-n', '\\', '`id`'];
    const result = await conn.exec(['printf', '%s\\0', ...args]);
    expect(result.stdout.split('\0').slice(0, -1)).toEqual(args);
  });

  it('given exit codes and signals, then they come back apart from the outputs', async () => {
    const conn = await connect();
    const three = await conn.exec(['sh', '-c', 'echo out; echo err >&2; exit 3']);
    expect(three).toEqual({ code: 3, stdout: 'out\n', stderr: 'err\n' });
    expect(await conn.exec(['sh', '-c', 'kill -9 $$'])).toMatchObject({ code: null, signal: 'SIGKILL' });
    expect((await conn.exec(['/no/such/command'])).code).toBe(127);
  });

  it('given twenty commands at once, then all of them run although sshd allows ten sessions', async () => {
    const conn = await connect();
    const results = await Promise.all(
      Array.from({ length: 20 }, (_, n) => conn.exec(['sh', '-c', `sleep 0.1; echo ${n}`])),
    );
    expect(results.map((r) => Number(r.stdout))).toEqual(Array.from({ length: 20 }, (_, n) => n));
  });

  it('given an sshd that allows no more sessions than we use, then none is asked for before one is free', async () => {
    const tight = await startSshd({ config: ['MaxSessions 8'] });
    try {
      const hostKeys = { pinned: [await fingerprintOf(tight.hostKeys[0] ?? '')] };
      const auth = { identityFiles: [tight.userKey] };
      const conn = await connect({ hostKeys, auth }, { ...target, port: tight.port });
      // Equal lengths: many end in the same moment, and as many others begin.
      const all = await Promise.all(Array.from({ length: 32 }, () => conn.exec(['sleep', '0.2'])));
      expect(all.filter(({ code }) => code !== 0)).toEqual([]);
    } finally {
      await tight.stop();
    }
  }, 120_000);

  it('given a deadline, then the command is stopped, and it frees its session', async () => {
    const conn = await connect();
    const marker = join(folder, 'marker');
    const errors = await Promise.all(
      Array.from({ length: 8 }, () =>
        failure(
          conn.exec(['sh', '-c', `trap 'echo stopped >>${marker}' TERM; sleep 20 & wait`], {
            timeoutMs: 300,
          }),
        ),
      ),
    );
    expect(errors.every((e) => e.code === 'timeout')).toBe(true);
    expect(errors[0]?.message).toContain('one (');
    expect((await conn.exec(['echo', 'free'])).stdout).toBe('free\n');
    const stopped = async () => (await readFile(marker, 'utf8')).match(/stopped/g)?.length;
    await expect.poll(stopped, { timeout: 5_000 }).toBe(8);
  });

  it('given an abort, then the reason is thrown', async () => {
    const conn = await connect();
    const aborting = new AbortController();
    const work = conn.exec(['sleep', '2'], { signal: aborting.signal });
    setTimeout(() => aborting.abort(new Error('changed my mind')), 100);
    await expect(work).rejects.toThrow('changed my mind');
  });

  it('given a background process that keeps the streams, then the command still ends', async () => {
    const conn = await connect();
    const result = await conn.exec(['sh', '-c', 'sleep 20 & echo started']);
    expect(result).toMatchObject({ code: 0, stdout: 'started\n' });
  });

  it('given more output than allowed, then the head is kept and the command is not stalled', async () => {
    const conn = await connect();
    const result = await conn.exec(['sh', '-c', 'yes | head -c 20000000; echo done >&2'], {
      maxOutput: 1000,
    });
    expect(result.stdout).toHaveLength(1000);
    expect(result).toMatchObject({ code: 0, truncated: true, stderr: 'done\n' });
  });

  it('given line callbacks, then whole lines arrive', async () => {
    const conn = await connect();
    const lines: string[] = [];
    await conn.exec(['sh', '-c', 'printf "a" >&2; sleep 0.1; printf "b\\nc" >&2'], {
      onStderr: (l) => lines.push(l),
    });
    expect(lines).toEqual(['ab', 'c']);
  });

  it('given text as input, then it is stdin; given a command that does not read it, then its exit code counts', async () => {
    const conn = await connect();
    expect((await conn.exec(['cat'], { input: 'häl\nlo' })).stdout).toBe('häl\nlo');
    const ignored = await conn.exec(['sh', '-c', 'exit 4'], { input: Readable.from(infinite(64 * 1024)) });
    expect(ignored.code).toBe(4);
  });

  it('given an input stream that fails, then its error is thrown and the command does not hang', async () => {
    const conn = await connect();
    const input = Readable.from(
      (async function* () {
        yield Buffer.from('x');
        throw new Error('disk broke');
      })(),
    );
    await expect(conn.exec(['cat'], { input, timeoutMs: 5_000 })).rejects.toThrow('disk broke');
  });

  it('given 100 MB as input, then every byte arrives and memory stays flat', async () => {
    const conn = await connect();
    const size = 100 * 1024 * 1024;
    const hash = createHash('sha256');
    let peak = 0;
    const base = process.memoryUsage().rss;
    const source = Readable.from(
      (async function* () {
        const block = Buffer.alloc(256 * 1024);
        for (let sent = 0; sent < size; sent += block.length) {
          block.writeUInt32LE(sent);
          hash.update(block);
          peak = Math.max(peak, process.memoryUsage().rss);
          yield Buffer.from(block);
        }
      })(),
    );
    const result = await conn.exec(['sh', '-c', 'sleep 1; sha256sum'], { input: source });
    expect(result.stdout.split(' ')[0]).toBe(hash.digest('hex'));
    expect((peak - base) / 1024 / 1024).toBeLessThan(80);
  });

  it('given a spawned command, then it echoes with backpressure and reports its exit', async () => {
    const conn = await connect();
    const proc = await conn.spawn(['sh', '-c', 'cat; echo bye >&2; exit 9']);
    const err = readAll(proc.stderr);
    proc.end('hello');
    expect(await readAll(proc)).toBe('hello');
    expect(await err).toBe('bye\n');
    expect(await proc.exit).toBe(9);
  });

  it('given a slow reader of a spawned command, then the command is held back', async () => {
    const conn = await connect();
    const count = join(folder, 'count');
    const proc = await conn.spawn([
      'sh',
      '-c',
      `i=0; while [ $i -lt 300 ]; do head -c 100000 /dev/zero; i=$((i+1)); echo $i >${count}; done`,
    ]);
    proc.stderr.resume();
    await vi.waitFor(() => readFile(count, 'utf8'), { timeout: 20_000 });
    await sleep(700);
    expect(Number(await readFile(count, 'utf8'))).toBeLessThan(120);
    let got = 0;
    for await (const chunk of proc) got += (chunk as Buffer).length;
    expect(got).toBe(30_000_000);
  });

  it('given an abort of a spawned command, then its stream is destroyed and exit resolves', async () => {
    const conn = await connect();
    const aborting = new AbortController();
    const proc = await conn.spawn(['sleep', '1'], { signal: aborting.signal });
    const error = new Promise<Error>((resolve) => proc.once('error', resolve));
    aborting.abort(new Error('stop it'));
    expect((await error).message).toBe('stop it');
    expect(await proc.exit).toBeNull();
  });

  it('given root, then elevation says root', async () => {
    const conn = await connect();
    expect(await elevation(conn)).toBe(
      process.getuid?.() === 0 ? 'root' : expect.stringMatching(/sudo|none/),
    );
  });
});

describe('files', () => {
  it('given content, then the file appears with its mode, and an old one is replaced', async () => {
    const conn = await connect();
    const path = join(folder, 'it is "a" file');
    await conn.writeFile(path, 'first', { mode: 0o600 });
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    await conn.writeFile(path, Buffer.from([0, 255, 10]), { mode: 0o644 });
    expect([...(await readFile(path))]).toEqual([0, 255, 10]);
    expect((await stat(path)).mode & 0o777).toBe(0o644);
    await conn.writeFile(path, '');
    expect((await stat(path)).size).toBe(0);
  });

  it('given a stream, then every byte is there; given a stream that breaks, then nothing has changed', async () => {
    const conn = await connect();
    const path = join(folder, 'streamed');
    await conn.writeFile(path, Readable.from(Array.from({ length: 100 }, () => Buffer.alloc(50_000, 7))));
    expect((await stat(path)).size).toBe(5_000_000);
    const broken = new PassThrough();
    broken.write('half');
    setTimeout(() => broken.destroy(new Error('source broke')), 100);
    await expect(conn.writeFile(path, broken)).rejects.toThrow();
    expect((await stat(path)).size).toBe(5_000_000);
    const left = async () => (await run('find', [folder, '-name', '.flynn.*'])).stdout;
    await expect.poll(left, { timeout: 5_000 }).toBe('');
  });

  it('given a folder that is not there, then it refuses with the reason of the host', async () => {
    const conn = await connect();
    const error = await failure(conn.writeFile('/no/such/folder/file', 'x'));
    expect(error.code).toBe('refused');
    expect(error.message).toContain('/no/such/folder/file');
    expect((await failure(conn.writeFile(folder, 'x'))).message).toContain('is a directory');
  });
});

describe('tunnels', () => {
  let echo: Server;
  let port: number;
  const socketPath = () => join(folder, 'echo.sock');
  beforeAll(async () => {
    const make = () => createServer((socket) => void socket.on('error', () => undefined).pipe(socket));
    echo = make();
    await new Promise<void>((resolve) => echo.listen(0, '127.0.0.1', resolve));
    port = (echo.address() as AddressInfo).port;
    const unix = make();
    await new Promise<void>((resolve) => unix.listen(socketPath(), resolve));
    unix.unref();
  });
  afterAll(() => void echo.close());
  const roundTrip = async (stream: Duplex): Promise<string> => {
    stream.end('through');
    return readAll(stream);
  };

  it('given a TCP server and a Unix socket, then bytes go there and back and the end is passed on', async () => {
    const conn = await connect();
    expect(await roundTrip(await conn.forwardTcp('127.0.0.1', port))).toBe('through');
    expect(await roundTrip(await conn.forwardUnix(socketPath()))).toBe('through');
  });

  it('given nobody who listens, then it is unreachable, and the connection stays usable', async () => {
    const conn = await connect();
    expect((await failure(conn.forwardTcp('127.0.0.1', 1))).code).toBe('unreachable');
    expect((await failure(conn.forwardUnix('/no/such.sock'))).code).toBe('unreachable');
    expect((await conn.exec(['true'])).code).toBe(0);
  });

  it('given an sshd that forbids forwarding, then it says so', async () => {
    const strict = await startSshd({ config: ['AllowTcpForwarding no', 'AllowStreamLocalForwarding no'] });
    const conn = await connect(
      {
        hostKeys: { pinned: [await fingerprintOf(strict.hostKeys[0] ?? '')] },
        auth: { identityFiles: [strict.userKey] },
      },
      { ...target, port: strict.port },
    );
    const tcp = await failure(conn.forwardTcp('127.0.0.1', port));
    expect(tcp.code).toBe('refused');
    expect(tcp.hint).toContain('AllowTcpForwarding');
    const unix = await failure(conn.forwardUnix(socketPath()));
    expect(unix.message).toContain('forbidden');
    await strict.stop();
  });

  it('given a jump host of ssh_config, then it connects through it and checks both host keys', async () => {
    const inner = await startSshd({ config: ['AllowTcpForwarding no'] });
    const file = join(folder, 'jump_config');
    const knownHosts = join(folder, 'jump_known');
    const entry = async (s: Sshd, which = 0) =>
      `[127.0.0.1]:${s.port} ${(await publicKey(s.hostKeys[which] ?? '')).split(' ').slice(0, 2).join(' ')}\n`;
    await writeFile(knownHosts, await entry(sshd, 2));
    await writeFile(
      file,
      [
        `Host bastion`,
        `  HostName 127.0.0.1`,
        `  Port ${sshd.port}`,
        `  User ${sshd.user}`,
        `  IdentityFile ${sshd.userKey}`,
        `Host inner`,
        `  HostName 127.0.0.1`,
        `  IdentityFile ${inner.userKey}`,
        `  ProxyJump bastion`,
        `Host *`,
        `  UserKnownHostsFile ${knownHosts}`,
      ].join('\n'),
    );
    const to = { host: 'inner', port: inner.port, user: inner.user };
    const opts = { sshConfig: file };
    const loginsBefore = sshd.log().split('Accepted publickey').length;
    const unknown = await failure(connector().connect(to, opts));
    expect(unknown.message).toContain(await fingerprintOf(inner.hostKeys[0] ?? ''));
    await writeFile(knownHosts, (await entry(sshd, 2)) + (await entry(inner)));
    const conn = await connector().connect(to, opts);
    const proof = await conn.exec(['sh', '-c', 'echo $SSH_CONNECTION']);
    expect(proof.stdout).toContain(` ${inner.port}`);
    expect(sshd.log().split('Accepted publickey').length).toBe(loginsBefore + 2);
    await conn.close();
    expect(conn.closed).toBe(true);
    await inner.stop();
  });
});

/** Blocks without end. */
function* infinite(size: number): Generator<Buffer> {
  for (;;) yield Buffer.alloc(size);
}

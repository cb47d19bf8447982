// A real sshd on a loopback port, run by this user from a temporary folder, for contract tests.
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createConnection, createServer } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Types of keys that ssh-keygen makes. */
export type KeyType = 'ed25519' | 'rsa' | 'ecdsa';

/** Makes a key pair; returns its path. */
export const makeKey = async (
  folder: string,
  name: string,
  opts: { type?: KeyType; passphrase?: string; format?: 'PEM' } = {},
): Promise<string> => {
  const file = join(folder, name);
  const args = ['-q', '-t', opts.type ?? 'ed25519', '-N', opts.passphrase ?? '', '-C', name, '-f', file];
  if (opts.format) args.push('-m', opts.format);
  await run('ssh-keygen', args);
  return file;
};

/** The public key line of a key file. */
export const publicKey = (file: string): Promise<string> => readFile(`${file}.pub`, 'utf8');

/** The fingerprint of a key file as ssh-keygen prints it: `SHA256:…`. */
export const fingerprintOf = async (file: string): Promise<string> =>
  (await run('ssh-keygen', ['-lf', `${file}.pub`])).stdout.split(' ')[1] ?? '';

/** A port nobody listens on at the moment. */
export const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() =>
        typeof address === 'object' && address ? resolve(address.port) : reject(new Error('no port')),
      );
    });
  });

/** A running sshd. */
export interface Sshd {
  port: number;
  user: string;
  folder: string;
  /** Paths of the host's private keys, in the order of `hostKeys`. */
  hostKeys: string[];
  /** A private key that may log in. */
  userKey: string;
  /** Lets another public key in. */
  authorize(publicKeyLine: string): Promise<void>;
  /** sshd's own log so far. */
  log(): string;
  /** Cuts every connection, as a crash would; the listener goes on. */
  dropSessions(): Promise<void>;
  /** Ends the listener and every session. */
  stop(): Promise<void>;
}

/** What differs from a plain sshd. */
export interface SshdOptions {
  hostKeys?: KeyType[];
  /** Further lines for sshd_config. */
  config?: string[];
  /** Listen here instead of on a free port. */
  port?: number;
  host?: string;
}

const listens = (host: string, port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = createConnection({ host, port });
    socket.once('data', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });

/** Starts an sshd and waits until it greets. */
export const startSshd = async (opts: SshdOptions = {}): Promise<Sshd> => {
  const folder = await mkdtemp(join(tmpdir(), 'flynn-sshd-'));
  await chmod(folder, 0o700);
  // Run as root, sshd separates privileges and wants this folder.
  if (userInfo().uid === 0) await mkdir('/run/sshd', { recursive: true, mode: 0o755 });
  const types = opts.hostKeys ?? ['ed25519'];
  const hostKeys: string[] = [];
  for (const type of types) hostKeys.push(await makeKey(folder, `host_${type}`, { type }));
  const userKey = await makeKey(folder, 'user');
  const authorized = join(folder, 'authorized_keys');
  await writeFile(authorized, await publicKey(userKey), { mode: 0o600 });
  const port = opts.port ?? (await freePort());
  const host = opts.host ?? '127.0.0.1';
  const config = join(folder, 'sshd_config');
  await writeFile(
    config,
    [
      ...(opts.config ?? []),
      `Port ${port}`,
      `ListenAddress ${host}`,
      ...hostKeys.map((key) => `HostKey ${key}`),
      `AuthorizedKeysFile ${authorized}`,
      `PidFile ${join(folder, 'sshd.pid')}`,
      'PasswordAuthentication no',
      'KbdInteractiveAuthentication no',
      'PermitRootLogin prohibit-password',
      'UsePAM no',
      'StrictModes no',
      'LogLevel VERBOSE',
      // What a person's own shell does at every login is no part of the tests, and may take seconds.
      `SetEnv HOME=${folder}`,
      '',
    ].join('\n'),
  );
  let log = '';
  const child: ChildProcess = spawn('/usr/sbin/sshd', ['-D', '-e', '-f', config], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  child.stderr?.on('data', (chunk: Buffer) => (log += chunk.toString()));
  // A test that fails before stop() must not leave a daemon behind.
  const onExit = (): void => void child.kill('SIGKILL');
  process.once('exit', onExit);
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  for (let tries = 0; !(await listens(host, port)); tries++) {
    if (tries > 100 || child.exitCode !== null) throw new Error(`sshd does not start:\n${log}`);
    await sleep(50);
  }
  const dropSessions = async (): Promise<void> => {
    const children = await readFile(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').catch(() => '');
    for (const pid of children.split(' ').filter((word) => word.trim() !== '')) kill(Number(pid));
  };
  return {
    port,
    user: userInfo().username,
    folder,
    hostKeys,
    userKey,
    authorize: async (line) => writeFile(authorized, `${await readFile(authorized, 'utf8')}${line.trim()}\n`),
    log: () => log,
    dropSessions,
    stop: async () => {
      await dropSessions();
      child.kill('SIGKILL');
      await exited;
      process.off('exit', onExit);
      await rm(folder, { recursive: true, force: true });
    },
  };
};

const kill = (pid: number): void => {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    // It has ended by itself.
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
};

/** An ssh-agent on a socket of its own. */
export const startAgent = async (
  folder: string,
): Promise<{ socket: string; add(key: string): Promise<void>; stop(): Promise<void> }> => {
  const socket = join(folder, 'agent.sock');
  const child = spawn('ssh-agent', ['-D', '-a', socket], { stdio: 'ignore' });
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const add = (key: string) =>
    run('ssh-add', ['-q', key], { env: { ...process.env, SSH_AUTH_SOCK: socket } });
  const list = () =>
    run('ssh-add', ['-l'], { env: { ...process.env, SSH_AUTH_SOCK: socket } }).catch((e: unknown) => e);
  // ssh-add -l ends with 1 for an empty agent and with 2 while there is none.
  for (let tries = 0; tries < 100; tries++) {
    const state = await list();
    if (!(state instanceof Error) || ('code' in state && state.code === 1)) break;
    await sleep(20);
  }
  return {
    socket,
    add: async (key) => void (await add(key)),
    stop: async () => {
      child.kill('SIGKILL');
      await exited;
    },
  };
};

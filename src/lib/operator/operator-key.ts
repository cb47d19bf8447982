// The public half of the operator's SSH key: the first key that may use a new cluster.
import { execFile } from 'node:child_process';
import { homedir, hostname, userInfo } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { SshKey } from '../api/app.js';
import { FlynnError } from '../api/errors.js';
import { parsePublicKey } from '../util/openssh-key.js';
import { readIfThere } from './local-files.js';

const exec = promisify(execFile);
const execMs = 5_000;

/** Where the operator's key may be. */
export interface OperatorKeyOptions {
  /** --identity, as paths of private keys. */
  identityFiles: readonly string[];
  /** Text of a private key (FLYNN_SSH_KEY). */
  keyText?: string;
  sshConfig?: string | false;
  /** First host as it was written, for ssh_config. */
  host: string;
  agentSocket?: string;
  now: number;
}

/** The key's record, and where its private half lies when that is a file. */
export interface OperatorKey {
  key: SshKey;
  identity?: string;
}

interface Found {
  line: string;
  file?: string;
}

/**
 * The operator's public key as an admin's record: the key given as text, --identity, the ssh_config's IdentityFile,
 * the agent's first key, a default one, in this order. Throws `missing` when there is none.
 */
export async function findOperatorKey(options: OperatorKeyOptions): Promise<OperatorKey> {
  const found =
    (await fromText(options.keyText)) ??
    (await fromFiles(options)) ??
    (await fromAgent(options.agentSocket)) ??
    (await fromDefaults());
  const parsed = found && parsePublicKey(found.line);
  if (!parsed) {
    throw new FlynnError({
      code: 'missing',
      message: 'no SSH key was found that could use the new cluster',
      hint: 'ssh-keygen -t ed25519   (or name a key with --identity)',
    });
  }
  return {
    key: {
      fingerprint: parsed.fingerprint,
      type: parsed.type,
      blob: parsed.blob,
      name: (parsed.comment || `${userInfo().username}@${hostname()}`).slice(0, 100),
      role: 'admin',
      apps: [],
      createdAt: options.now,
    },
    ...(found.file ? { identity: found.file } : {}),
  };
}

/** Public line of a private key file: the `.pub` beside it, else what ssh-keygen derives from it. */
async function publicLine(file: string): Promise<string | undefined> {
  const beside = await readIfThere(`${file}.pub`);
  if (beside !== undefined && parsePublicKey(beside)) return beside;
  if ((await readIfThere(file)) === undefined) return undefined;
  return exec('ssh-keygen', ['-y', '-P', '', '-f', file], { timeout: execMs }).then(
    ({ stdout }) => stdout,
    () => undefined,
  );
}

async function fromText(text: string | undefined): Promise<Found | undefined> {
  if (text === undefined || text.trim() === '') return undefined;
  const { mkdtemp, rm, writeFile } = await import('node:fs/promises');
  const { tmpdir } = await import('node:os');
  const dir = await mkdtemp(join(tmpdir(), 'flynn-key-'));
  try {
    const file = join(dir, 'key');
    await writeFile(file, `${text.replaceAll('\\n', '\n').trim()}\n`, { mode: 0o600 });
    const line = await publicLine(file);
    return line === undefined ? undefined : { line };
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

async function fromFiles(options: OperatorKeyOptions): Promise<Found | undefined> {
  for (const file of options.identityFiles) {
    const line = await publicLine(file);
    if (line !== undefined) return { line, file };
    throw new FlynnError({
      code: 'usage',
      message: `the public half of ${file} cannot be read`,
      hint: `ssh-keygen -y -f ${file} > ${file}.pub`,
    });
  }
  const { loadConfig } = await import('../ssh/index.js');
  const config = await loadConfig(options.sshConfig, { home: homedir(), localUser: userInfo().username });
  for (const file of (await config.lookup(options.host)).identityFiles) {
    const line = await publicLine(file);
    if (line !== undefined) return { line, file };
  }
  return undefined;
}

async function fromAgent(socket: string | undefined): Promise<Found | undefined> {
  if (!socket) return undefined;
  return exec('ssh-add', ['-L'], {
    timeout: execMs,
    env: { PATH: process.env.PATH, SSH_AUTH_SOCK: socket },
  }).then(
    ({ stdout }) => {
      const line = stdout.split('\n').find((text) => parsePublicKey(text) !== undefined);
      return line === undefined ? undefined : { line };
    },
    () => undefined,
  );
}

async function fromDefaults(): Promise<Found | undefined> {
  for (const name of ['id_ed25519', 'id_ecdsa', 'id_rsa']) {
    const file = join(homedir(), '.ssh', name);
    const line = await publicLine(file);
    if (line !== undefined && parsePublicKey(line)) return { line, file };
  }
  return undefined;
}

// The files of a lab in .lab/NAME: rendered here as text, and written.
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { quoteArg } from '../util/quote.js';
import { packageRoot } from '../util/package-root.js';
import { makeKeyPair } from './ssh-key.js';
import type { LabHost } from './types.js';

/** Directory of a lab. */
export const labDir = (root: string, name: string): string => join(root, '.lab', name);

/** known_hosts: every host by its name, its address on the machine and its internal address. */
export const renderKnownHosts = (hosts: readonly LabHost[]): string =>
  hosts
    .map(({ name, ssh, address, hostKey }) => {
      const outside = ssh.port === 22 ? ssh.host : `[${ssh.host}]:${ssh.port}`;
      return `${[name, outside, address].join(',')} ${hostKey}\n`;
    })
    .join('');

// ssh_config has no escapes inside quotes; a path with a double quote cannot be written.
const path = (text: string): string => `"${text.replaceAll('%', '%%')}"`;

/** ssh_config: `ssh -F FILE a`. */
export const renderSshConfig = (dir: string, hosts: readonly LabHost[]): string => {
  const blocks = hosts.map(({ name, ssh }) =>
    [`Host ${name}`, `  HostName ${ssh.host}`, `  Port ${ssh.port}`, `  User ${ssh.user}`, ''].join('\n'),
  );
  const all = [
    'Host *',
    `  IdentityFile ${path(join(dir, 'key'))}`,
    '  IdentitiesOnly yes',
    `  UserKnownHostsFile ${path(join(dir, 'known_hosts'))}`,
    '  GlobalKnownHostsFile none',
    '  StrictHostKeyChecking yes',
    '',
  ].join('\n');
  return [...blocks, all].join('\n');
};

/** env: variables for a shell, `. .lab/NAME/env`. */
const renderEnv = (name: string, dir: string, hosts: readonly LabHost[]): string => {
  const local = hosts.find((host) => host.local)?.local;
  const vars: Record<string, string> = {
    FLYNN_LAB: name,
    FLYNN_LAB_DIR: dir,
    FLYNN_LAB_HOSTS: hosts.map((host) => host.name).join(' '),
    FLYNN_HOME: join(dir, 'flynn'),
    FLYNN_SSH_CONFIG: join(dir, 'ssh_config'),
    FLYNN_SSH_KNOWN_HOSTS: join(dir, 'known_hosts'),
    ...(local ? { FLYNN_LAB_URL: local } : {}),
  };
  const lines = Object.entries(vars).map(([key, value]) => `export ${key}=${quoteArg(value)}\n`);
  // Single quotes around the folder only: PATH itself is for the shell to expand.
  return [...lines, `export PATH=${quoteArg(join(dir, 'bin'))}:"$PATH"\n`].join('');
};

/** `flynn` of this checkout as a program, for a shell that sourced env. */
const renderProgram = (): string =>
  `#!/bin/sh\nexec ${quoteArg(process.execPath)} ${quoteArg(join(packageRoot(), 'bin', 'run.js'))} "$@"\n`;

const put = async (file: string, text: string, mode = 0o644): Promise<void> => {
  const part = `${file}.${process.pid}.part`;
  await writeFile(part, text, { mode });
  await rename(part, file);
};

/** Reads the lab's key pair or makes it. Returns the public line. */
export const ensureKey = async (dir: string, name: string): Promise<string> => {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const found = await readFile(join(dir, 'key.pub'), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (found) return found.trim();
  const pair = makeKeyPair(`flynn-lab-${name}`);
  await put(join(dir, 'key'), pair.privateKey, 0o600);
  await put(join(dir, 'key.pub'), `${pair.publicKey}\n`);
  return pair.publicKey;
};

/** Writes known_hosts, ssh_config, env and hosts.json. Lines that others appended to env stay. */
export const writeLabFiles = async (dir: string, name: string, hosts: readonly LabHost[]): Promise<void> => {
  await put(join(dir, 'known_hosts'), renderKnownHosts(hosts));
  await put(join(dir, 'ssh_config'), renderSshConfig(dir, hosts));
  await put(join(dir, 'hosts.json'), `${JSON.stringify(hosts, null, 2)}\n`);
  await mkdir(join(dir, 'bin'), { recursive: true });
  await put(join(dir, 'bin', 'flynn'), renderProgram(), 0o755);
  const own = renderEnv(name, dir, hosts);
  const before = await readFile(join(dir, 'env'), 'utf8').catch(() => '');
  const keys = new Set(own.split('\n').map((line) => line.split('=')[0]));
  const kept = before.split('\n').filter((line) => line && !keys.has(line.split('=')[0]));
  await put(join(dir, 'env'), own + kept.map((line) => `${line}\n`).join(''));
};

/** The hosts as they were written, or none. */
export const readHosts = async (dir: string): Promise<LabHost[]> => {
  const text = await readFile(join(dir, 'hosts.json'), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '[]';
    throw error;
  });
  return JSON.parse(text) as LabHost[];
};

/** Removes the directory of a lab. */
export const removeLabFiles = (dir: string): Promise<void> => rm(dir, { recursive: true, force: true });

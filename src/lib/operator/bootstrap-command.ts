// From the words of the command line to bootstrap's options: everything is checked here, before any host is touched.
import { resolve } from 'node:path';
import { isIP } from 'node:net';
import { FlynnError } from '../api/errors.js';
import { ClusterName, Domain } from '../api/names.js';
import { bootstrap, type BootstrapResult } from './bootstrap.js';
import { readCaCert } from './ca-cert.js';
import type { ReachOptions } from './connect.js';
import { lineOf } from './events.js';
import { flynnHome } from './local-files.js';
import { findOperatorKey } from './operator-key.js';
import { describeOperations } from './operation.js';
import { systemPorts, type OperatorPorts } from './ports.js';

/** Flags of `cluster bootstrap`, by their names. */
export interface BootstrapFlags {
  name: string;
  domain?: string;
  identity?: string[];
  'ssh-config'?: string;
  'host-key'?: string[];
  'internal-address'?: string[];
  images?: string;
  'http-port': number;
  capacity?: string;
  'allow-public-plaintext': boolean;
  'ca-cert'?: string;
  layer0: boolean;
  'dry-run': boolean;
}

/** What the command hands in. */
export interface BootstrapCommand {
  hosts: readonly string[];
  flags: BootstrapFlags;
  env: Readonly<Record<string, string | undefined>>;
  signal: AbortSignal;
  say(kind: 'step' | 'done' | 'warn', text: string): void;
  /** Shows the plan and asks; throws to stop. */
  confirm(lines: readonly string[], question: string): Promise<void>;
  /** Asks whether a host key is the right one. */
  trust(question: string): Promise<boolean>;
}

const usage = (message: string, hint?: string): FlynnError =>
  new FlynnError({ code: 'usage', message, ...(hint ? { hint } : {}) });

/** Reads `MEMORY_MIB,CPU_MILLIS`; throws `usage`. */
export function parseCapacity(text: string): { memoryMiB: number; cpuMillis: number } {
  const match = /^(\d{1,8}),(\d{1,7})$/.exec(text.trim());
  if (!match) throw usage(`--capacity ${text} is not MEMORY_MIB,CPU_MILLIS`, '--capacity 2048,2000');
  return { memoryMiB: Number(match[1]), cpuMillis: Number(match[2]) };
}

/** Reads `HOST=ADDRESS` words; throws `usage`. */
export function parseInternalAddresses(words: readonly string[]): Map<string, string> {
  return new Map(
    words.map((word): [string, string] => {
      const at = word.indexOf('=');
      const [host, address] = [word.slice(0, at), word.slice(at + 1)];
      if (at <= 0 || isIP(address) === 0) throw usage(`--internal-address ${word} is not HOST=ADDRESS`);
      return [host, address];
    }),
  );
}

/** Accepted host keys as fingerprints; throws `usage` for anything else. */
export function parseHostKeys(words: readonly string[]): string[] {
  return words.map((word) => {
    if (!/^SHA256:[A-Za-z0-9+/]{43}=?$/.test(word)) {
      throw usage(
        `--host-key ${word} is not a fingerprint`,
        'ssh-keyscan HOST | ssh-keygen -lf -   (prints them)',
      );
    }
    return word;
  });
}

/** How the hosts are reached, as flags and environment say. */
export function reachOf(
  command: Pick<BootstrapCommand, 'env' | 'trust'> & {
    flags: Pick<BootstrapFlags, 'identity' | 'ssh-config' | 'host-key'>;
  },
): ReachOptions {
  const { flags, env } = command;
  return {
    ...(flags['ssh-config'] ? { sshConfig: flags['ssh-config'] } : {}),
    auth: {
      identityFiles: (flags.identity ?? []).map((file) => resolve(file)),
      ...(env.FLYNN_SSH_KEY ? { keyTexts: [env.FLYNN_SSH_KEY] } : {}),
    },
    pinned: parseHostKeys(flags['host-key'] ?? []),
    confirmHostKey: ({ target, key }) =>
      command.trust(
        `${target.host} shows the host key ${key.fingerprint} (${key.type}). Is it the right one?`,
      ),
  };
}

/** The real world, telling what happens in lines. */
export function portsOf(command: Pick<BootstrapCommand, 'env' | 'say'>): Promise<OperatorPorts> {
  const agentSocket = command.env.SSH_AUTH_SOCK;
  return systemPorts({
    home: flynnHome(command.env),
    ...(agentSocket ? { agentSocket } : {}),
    reporter: {
      event: (event) => {
        const line = lineOf(event);
        command.say(line.kind, line.text);
      },
    },
  });
}

/** Checks the flags and runs bootstrap with the real world. */
export async function runBootstrap(command: BootstrapCommand): Promise<BootstrapResult> {
  const { flags, env, signal } = command;
  const named = ClusterName.safeParse(flags.name);
  if (!named.success) throw usage(`--name ${flags.name}: ${named.error.issues[0]?.message ?? 'not a name'}`);
  if (flags.domain !== undefined && !Domain.safeParse(flags.domain).success) {
    throw usage(`--domain ${flags.domain} is not a domain`);
  }
  if (flags.layer0 && flags.domain !== undefined) {
    throw usage('--domain is where apps answer, and with --layer0 there is nothing that runs apps');
  }
  const trust = flags['ca-cert'] === undefined ? undefined : await readCaCert(flags['ca-cert']);
  const sshConfig = flags['ssh-config'];
  const identityFiles = (flags.identity ?? []).map((file) => resolve(file));
  const agentSocket = env.SSH_AUTH_SOCK;
  const keyText = env.FLYNN_SSH_KEY;
  const ports = await portsOf(command);
  const operator = await findOperatorKey({
    identityFiles,
    ...(keyText ? { keyText } : {}),
    ...(sshConfig ? { sshConfig } : {}),
    ...(agentSocket ? { agentSocket } : {}),
    host: command.hosts[0]?.replace(/^[^=]*=/, '').replace(/^.*@/, '') ?? '',
    now: ports.clock.now(),
  });
  return bootstrap(ports, {
    name: flags.name,
    ...(flags.domain ? { domain: flags.domain } : {}),
    hosts: command.hosts,
    reach: reachOf(command),
    internalAddresses: parseInternalAddresses(flags['internal-address'] ?? []),
    ...(flags.images ? { images: flags.images } : {}),
    httpPort: flags['http-port'],
    ...(flags.capacity ? { capacity: parseCapacity(flags.capacity) } : {}),
    allowPublicPlaintext: flags['allow-public-plaintext'],
    layer0: flags.layer0,
    ...(trust ? { trust } : {}),
    operatorKeys: [operator.key],
    ...(operator.identity ? { identity: operator.identity } : {}),
    dryRun: flags['dry-run'],
    confirm: (operations) => command.confirm(describeOperations(operations), 'Carry this out?'),
    signal,
  });
}

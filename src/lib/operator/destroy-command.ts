// From the words of the command line to destroy's options.
import { resolve } from 'node:path';
import { parseHostKeys } from './bootstrap-command.js';
import { destroy, type DestroyResult } from './destroy.js';
import { lineOf } from './events.js';
import { flynnHome } from './local-files.js';
import { systemPorts } from './ports.js';

/** What the command hands in. */
export interface DestroyCommand {
  name: string;
  hosts: readonly string[];
  flags: { identity?: string[]; 'ssh-config'?: string; 'host-key'?: string[] };
  env: Readonly<Record<string, string | undefined>>;
  signal: AbortSignal;
  say(kind: 'step' | 'done' | 'warn', text: string): void;
  /** Asks; throws to stop. */
  confirm(question: string): Promise<void>;
}

/** Checks the flags and runs destroy with the real world. */
export async function runDestroy(command: DestroyCommand): Promise<DestroyResult> {
  const { flags, env, name } = command;
  const ports = await systemPorts({
    home: flynnHome(env),
    ...(env.SSH_AUTH_SOCK ? { agentSocket: env.SSH_AUTH_SOCK } : {}),
    reporter: {
      event: (event) => {
        const line = lineOf(event);
        command.say(line.kind, line.text);
      },
    },
  });
  return destroy(ports, {
    name,
    hosts: command.hosts,
    reach: {
      ...(flags['ssh-config'] ? { sshConfig: flags['ssh-config'] } : {}),
      auth: {
        identityFiles: (flags.identity ?? []).map((file) => resolve(file)),
        ...(env.FLYNN_SSH_KEY ? { keyTexts: [env.FLYNN_SSH_KEY] } : {}),
      },
      pinned: parseHostKeys(flags['host-key'] ?? []),
    },
    confirm: (hosts) =>
      command.confirm(`Remove the cluster ${name} with its apps and data from ${hosts.join(', ')}?`),
    signal: command.signal,
  });
}

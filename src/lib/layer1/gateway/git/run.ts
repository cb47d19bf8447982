// Running git: fixed configuration, nobody's own, and a bound on everything.
import { execFile } from 'node:child_process';
import { FlynnError } from '../../../api/errors.js';

/** Configuration of every git that we start: little memory, no surprises. */
const settings = [
  'safe.directory=*',
  'core.autocrlf=false',
  'core.bigFileThreshold=16m',
  'pack.threads=1',
  'pack.windowMemory=16m',
  'gc.autoDetach=false',
  'receive.autogc=false',
  'receive.denyNonFastForwards=false',
  'receive.denyDeleteCurrent=ignore',
  'transfer.fsckObjects=false',
] as const;

/** `-c NAME=VALUE` for our settings and `more`. */
export function gitSettings(more: readonly string[] = []): string[] {
  return [...settings, ...more].flatMap((setting) => ['-c', setting]);
}

/** The environment of every git that we start: nothing of the gateway's own but where programs are. */
export function gitEnv(more: Readonly<Record<string, string>> = {}): Record<string, string> {
  return {
    PATH: process.env.PATH ?? '/usr/local/bin:/usr/bin:/bin',
    HOME: '/nonexistent',
    LC_ALL: 'C',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_TERMINAL_PROMPT: '0',
    ...more,
  };
}

/** Runs git to its end and returns its output; throws `failed` with what it said, also after `timeoutMs`. */
export function git(
  args: readonly string[],
  options: { cwd: string; input?: string; timeoutMs?: number },
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile(
      'git',
      [...gitSettings(), ...args],
      {
        cwd: options.cwd,
        env: gitEnv(),
        timeout: options.timeoutMs ?? 30_000,
        killSignal: 'SIGKILL',
        maxBuffer: 1024 * 1024,
      },
      (error, stdout, stderr) => {
        if (!error) return resolve(stdout);
        reject(
          new FlynnError({
            code: 'failed',
            message: `git ${args[0] ?? ''}: ${stderr.trim() || error.message}`,
            cause: error,
          }),
        );
      },
    );
    // git may end without reading what it is given.
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(options.input ?? '');
  });
}

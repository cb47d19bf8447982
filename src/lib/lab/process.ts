// Runs a program of this machine by argv, with a deadline. No shell.
import { spawn } from 'node:child_process';
import { FlynnError } from '../api/errors.js';
import { abortReason } from '../util/signal.js';

/** What a program left behind. */
export interface Finished {
  code: number;
  stdout: string;
  stderr: string;
}

/** How to run a program. */
export interface RunOptions {
  /** Milliseconds after which it is killed; 60,000 when left out. */
  timeoutMs?: number;
  signal?: AbortSignal;
  /** Added to this process's environment. */
  env?: Record<string, string>;
  cwd?: string;
  /** Written to its stdin. */
  input?: string;
  /** `inherit` hands it this process's stdin, stdout and stderr. */
  stdio?: 'pipe' | 'inherit';
  /** Told each line of stdout and stderr. */
  onLine?: (line: string) => void;
}

const KEPT = 8 * 1024 * 1024;

/**
 * Runs to the end and returns exit code and output, whatever the code is.
 * Throws `missing` when the program is not there, `timeout` at the deadline, and the signal's reason.
 */
export const runAny = (command: string, args: readonly string[], opts: RunOptions = {}): Promise<Finished> =>
  new Promise((resolve, reject) => {
    if (opts.signal?.aborted) {
      reject(abortReason(opts.signal));
      return;
    }
    const timeoutMs = opts.timeoutMs ?? 60_000;
    const inherit = opts.stdio === 'inherit';
    const child = spawn(command, args, {
      cwd: opts.cwd,
      env: { ...process.env, ...opts.env },
      stdio: inherit ? 'inherit' : [opts.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    });
    const out = { stdout: '', stderr: '' };
    let ended: Error | undefined;
    const end = (why: Error): void => {
      ended ??= why;
      child.kill('SIGKILL');
    };
    const timer = setTimeout(
      () =>
        end(
          new FlynnError({
            code: 'timeout',
            message: `${command} ${args[0] ?? ''} did not finish within ${timeoutMs / 1000} s`,
          }),
        ),
      timeoutMs,
    );
    const onAbort = (): void => end(abortReason(opts.signal as AbortSignal));
    opts.signal?.addEventListener('abort', onAbort, { once: true });
    const collect = (name: 'stdout' | 'stderr'): void => {
      let rest = '';
      child[name]?.setEncoding('utf8').on('data', (text: string) => {
        if (out[name].length < KEPT) out[name] += text;
        if (!opts.onLine) return;
        const lines = (rest + text).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) opts.onLine(line.trimEnd());
      });
    };
    collect('stdout');
    collect('stderr');
    // A program that ends without reading its stdin is no error of ours.
    child.stdin?.on('error', () => undefined).end(opts.input);
    child.on('error', (cause: NodeJS.ErrnoException) => {
      ended ??=
        cause.code === 'ENOENT'
          ? new FlynnError({ code: 'missing', message: `${command} is not installed`, cause })
          : cause;
      if (child.pid === undefined) finish(1);
    });
    const finish = (code: number): void => {
      clearTimeout(timer);
      opts.signal?.removeEventListener('abort', onAbort);
      if (ended) reject(ended);
      else resolve({ code, ...out });
    };
    child.on('close', (code) => finish(code ?? 137));
  });

/** Like `runAny`, but an exit code other than 0 throws `failed` with the last lines of stderr. Returns stdout. */
export const run = async (
  command: string,
  args: readonly string[],
  opts: RunOptions = {},
): Promise<string> => {
  const done = await runAny(command, args, opts);
  if (done.code === 0) return done.stdout;
  const tail = (done.stderr || done.stdout).trim().split('\n').slice(-6).join('\n');
  throw new FlynnError({
    code: 'failed',
    message: `${[command, ...args.slice(0, 2)].join(' ')} ended with ${done.code}: ${tail}`,
  });
};

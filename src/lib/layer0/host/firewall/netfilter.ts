// The packet filter behind a port: its tables as text, read and changed by iptables' own tools.
import { execFile } from 'node:child_process';
import { FlynnError } from '../../../api/errors.js';
import type { Table } from './plan.js';

/** The packet filter of a host. */
export interface Netfilter {
  /** Text of `iptables-save`; undefined where there is no such tool or the kernel lacks that family. */
  save(table: Table, signal?: AbortSignal): Promise<string | undefined>;
  /** Hands text to `iptables-restore --noflush`: all of it happens, or none. Throws `failed` with the tool's words. */
  restore(table: Table, text: string, signal?: AbortSignal): Promise<void>;
}

/** Runs a command to its end with that input. */
export type RunTool = (
  argv: readonly string[],
  input: string,
  signal?: AbortSignal,
) => Promise<{ code: number | null; stdout: string; stderr: string }>;

/** Seconds to wait for another program that is changing rules. */
const lockSeconds = 5;

/** `iptables-nft`, `ip6tables-legacy` …: the name that `-save` and `-restore` are put to. */
export const toolOf = ({ family, variant }: Table): string =>
  `${family === 4 ? 'iptables' : 'ip6tables'}-${variant}`;

/** Reads with one tool; undefined when it is not there or cannot read. Without `-t`: that would make tables. */
export const saveWith = async (
  run: RunTool,
  tool: string,
  signal?: AbortSignal,
): Promise<string | undefined> => {
  const done = await run([`${tool}-save`], '', signal);
  return done.code === 0 ? done.stdout : undefined;
};

/** Changes with one tool, in one transaction. Throws `failed` with its words. */
export const restoreWith = async (
  run: RunTool,
  tool: string,
  text: string,
  signal?: AbortSignal,
): Promise<void> => {
  const argv = [`${tool}-restore`, '--noflush', '--wait', String(lockSeconds)];
  const done = await run(argv, text, signal);
  if (done.code === 0) return;
  const said = done.stderr.trim().split('\n').slice(-3).join(' / ');
  throw new FlynnError({
    code: 'failed',
    message: `${tool}-restore ended with ${done.code ?? 'no code'}: ${said || 'it said nothing'}`,
    hint: `${tool}-save   (on the host: what there is now)`,
  });
};

/** The packet filter as a runner of commands reaches it. */
export const netfilterOver = (run: RunTool): Netfilter => ({
  save: (table, signal) => saveWith(run, toolOf(table), signal),
  restore: (table, text, signal) => restoreWith(run, toolOf(table), text, signal),
});

const toolTimeoutMs = 15_000;

/** Runs tools here. `lockFile` is the host's lock of iptables, where another path than its own leads to it. */
export const localTools =
  (lockFile?: string): RunTool =>
  (argv, input, signal) =>
    new Promise((resolve) => {
      const [file = '', ...args] = argv;
      const env = { ...process.env, ...(lockFile ? { XTABLES_LOCKFILE: lockFile } : {}) };
      const options = { env, timeout: toolTimeoutMs, maxBuffer: 64 * 1024 * 1024, signal };
      const child = execFile(file, args, options, (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === 'number' ? error.code : null;
        resolve({ code, stdout, stderr: stderr || (error?.message ?? '') });
      });
      // A tool that ended early has said why.
      child.stdin?.on('error', () => undefined);
      child.stdin?.end(input);
    });

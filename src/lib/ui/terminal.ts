// The terminal as a port: where results and progress go, who can answer, and what the environment says.
import type { Readable, Writable } from 'node:stream';

/** What a command may know of the process it runs in. */
export interface Terminal {
  /** Results. */
  stdout: Writable;
  /** Progress, warnings, errors. */
  stderr: Writable;
  stdin: Readable;
  /** Which of the three are attached to a person. */
  tty: { stdin: boolean; stdout: boolean; stderr: boolean };
  /** Width of stdout in characters. */
  columns: number;
  env: Readonly<Record<string, string | undefined>>;
  cwd: string;
  /** The code the process will end with. */
  setExitCode(code: number): void;
  /** Calls `fn` at the first Ctrl-C; a second one is the operating system's. Returns the undo. */
  onInterrupt(fn: () => void): () => void;
}

/** The terminal of this process. */
export function systemTerminal(): Terminal {
  return {
    stdout: process.stdout,
    stderr: process.stderr,
    stdin: process.stdin,
    tty: { stdin: process.stdin.isTTY, stdout: process.stdout.isTTY, stderr: process.stderr.isTTY },
    columns: process.stdout.columns ?? 80,
    env: process.env,
    cwd: process.cwd(),
    setExitCode: (code) => {
      process.exitCode = code;
    },
    onInterrupt: (fn) => {
      process.once('SIGINT', fn);
      process.once('SIGTERM', fn);
      return () => {
        process.off('SIGINT', fn);
        process.off('SIGTERM', fn);
      };
    },
  };
}

/** True when a person sits at both ends: a question can be asked and answered. */
export function canAsk(terminal: Terminal): boolean {
  return terminal.tty.stdin && terminal.tty.stderr && !terminal.env.CI;
}

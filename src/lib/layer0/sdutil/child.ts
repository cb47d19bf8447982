// The wrapped program: started with our streams, our signals passed on to it, and its end made ours.
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { FlynnError } from '../../api/errors.js';

/** How a program ended. */
export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** The program could not be started. */
export class NotRunError extends FlynnError {}

/** A program that runs. */
export interface Child {
  readonly ended: Promise<Ended>;
  kill(signal: NodeJS.Signals): void;
}

/** Starts a program with our stdin, stdout and stderr. Rejects `ended` when there is none of that name. */
export const startChild = (argv: readonly string[], env: NodeJS.ProcessEnv): Child => {
  const [file = '', ...args] = argv;
  const child = spawn(file, args, { stdio: 'inherit', env });
  return {
    ended: new Promise((resolve, reject) => {
      child.once('error', (cause: NodeJS.ErrnoException) =>
        reject(
          child.pid === undefined
            ? new NotRunError({
                code: cause.code === 'ENOENT' ? 'not_found' : 'failed',
                message: `${file} cannot be run: ${cause.code ?? cause.message}`,
                cause,
              })
            : cause,
        ),
      );
      child.once('exit', (code, signal) => resolve({ code, signal }));
    }),
    kill: (signal) => void child.kill(signal),
  };
};

/** The exit code by which a shell tells of such an end. */
export const exitCodeOf = ({ code, signal }: Ended): number =>
  signal ? 128 + (constants.signals[signal] ?? 0) : (code ?? 1);

/** The exit code for a program that could not be run, as a shell has it. */
export const notRun = (error: NotRunError): number => (error.code === 'not_found' ? 127 : 126);

/** Signals that are passed on as they come. */
const passed: readonly NodeJS.Signals[] = ['SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2', 'SIGWINCH'];
/** Signals that end a server. */
const ending: readonly NodeJS.Signals[] = ['SIGTERM', 'SIGINT'];

/** Calls back for our signals; the returned function ends that. */
export const onSignals = (on: {
  pass(signal: NodeJS.Signals): void;
  end(signal: NodeJS.Signals): void;
}): (() => void) => {
  for (const name of passed) process.on(name, on.pass);
  for (const name of ending) process.on(name, on.end);
  return () => {
    for (const name of passed) process.off(name, on.pass);
    for (const name of ending) process.off(name, on.end);
  };
};

/** Whether a program that we share a terminal with has had this signal from the terminal already. */
export const fromTerminal = (signal: NodeJS.Signals): boolean =>
  process.stdin.isTTY === true && (signal === 'SIGINT' || signal === 'SIGQUIT');

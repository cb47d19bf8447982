// A program that is started again with other surroundings whenever they change: what `expose` and `configure` share.
import type { Clock } from '../../util/clock.js';
import { fromTerminal, onSignals, startChild, type Child, type Ended } from './child.js';

/** How long (ms) a program has between SIGTERM and SIGKILL when it is to be started anew. */
const graceMs = 5_000;

/** Surroundings of a program: what it is started with, and a text that tells two of them apart. */
export interface Surroundings {
  id: string;
  env: NodeJS.ProcessEnv;
}

/** A program in changing surroundings. */
export interface Rerunner {
  /** What it is to run with from now on; undefined: not at all, until there is something again. */
  set(wanted: Surroundings | undefined): void;
  /** Resolves with its end, when it was not we who ended it; rejects when it could not be run. */
  readonly ended: Promise<Ended>;
  /** Lets go of our signals. */
  close(): void;
}

/** Runs the program as `set` says. INT and TERM of ours go to it, and its end then is the end; without it they end us. */
export const rerunner = (argv: readonly string[], clock: Clock): Rerunner => {
  let wanted: Surroundings | undefined;
  let running: { child: Child; id: string } | undefined;
  let stopping = false;
  let told: NodeJS.Signals | undefined;
  let settle: { resolve: (ended: Ended) => void; reject: (error: unknown) => void };
  const ended = new Promise<Ended>((resolve, reject) => (settle = { resolve, reject }));

  const step = (): void => {
    if (told) return;
    if (!running) {
      if (wanted) start(wanted);
      return;
    }
    if (stopping || running.id === wanted?.id) return;
    stopping = true;
    const { child } = running;
    child.kill('SIGTERM');
    const cancel = clock.after(graceMs, () => child.kill('SIGKILL'));
    void child.ended.finally(cancel).catch(() => undefined);
  };
  const start = ({ id, env }: Surroundings): void => {
    const child = startChild(argv, env);
    running = { child, id };
    child.ended.then(
      (end) => {
        const ours = stopping && !told;
        running = undefined;
        stopping = false;
        if (ours) step();
        else settle.resolve(end);
      },
      (error: unknown) => settle.reject(error),
    );
  };
  const close = onSignals({
    pass: (signal) => fromTerminal(signal) || running?.child.kill(signal),
    end: (signal) => {
      told = signal;
      if (!running) settle.resolve({ code: null, signal });
      else if (!fromTerminal(signal)) running.child.kill(signal);
    },
  });
  return {
    set: (next) => {
      wanted = next;
      step();
    },
    ended,
    close,
  };
};

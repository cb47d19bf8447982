// `sdutil exec` and `sdutil register`: a server that is found while it answers, and not found before it is told to end.
import { FlynnError } from '../../api/errors.js';
import { systemClock as clock } from '../../util/clock.js';
import type { At, Offer } from './args.js';
import { exitCodeOf, fromTerminal, onSignals, startChild, type Ended } from './child.js';
import type { DiscoveryClient } from './client.js';
import { keepRegistered, sayOnce, withdraw } from './keep.js';
import { portAnswers } from './port-check.js';

/** How long (ms) a server is kept from its signal while those who use it let go of it. */
const drainMs = 5_000;
/** How long (ms) our own end may wait for the withdrawal of what has ended. */
const goneMs = 1_000;

/** Keeps all offers registered until the signal is aborted; rejects with the first error that no repetition mends. */
const keepAll = async (
  client: DiscoveryClient,
  offers: readonly Offer[],
  at: At,
  signal: AbortSignal,
): Promise<void> => {
  const deps = {
    ...{ client, clock },
    answers: (port: number) => portAnswers(at, port),
  };
  const write = (text: string): void => void process.stderr.write(text);
  await Promise.all(offers.map((offer) => keepRegistered({ ...deps, say: sayOnce(write) }, offer, signal)));
};

/** What `exec` is made of. */
export interface ExecOptions {
  client: DiscoveryClient;
  offers: readonly Offer[];
  at: At;
  argv: readonly string[];
  env: NodeJS.ProcessEnv;
}

/**
 * Runs the program, registered while it answers. On INT and TERM it is withdrawn first, and gets the signal when those
 * who use it have let go or five seconds have passed; a second signal passes at once. Resolves with the program's end;
 * throws when it could not be run, or can never be registered: then it is told to end.
 */
export const execRegistered = async (options: ExecOptions): Promise<Ended> => {
  const { client, offers, at } = options;
  const child = startChild(options.argv, options.env);
  const over = new AbortController();
  let ending = false;
  const off = onSignals({
    pass: (signal) => fromTerminal(signal) || child.kill(signal),
    end: (signal) => {
      over.abort();
      if (fromTerminal(signal)) return;
      if (ending) return child.kill(signal);
      ending = true;
      void withdraw(client, offers, drainMs).then(() => child.kill(signal));
    },
  });
  let hopeless: unknown;
  const kept = keepAll(client, offers, at, over.signal).catch((error: unknown) => {
    hopeless = error;
    over.abort();
    child.kill('SIGTERM');
  });
  try {
    const ended = await child.ended;
    over.abort();
    await Promise.all([kept, withdraw(client, offers, goneMs)]);
    if (hopeless !== undefined) throw hopeless;
    return ended;
  } finally {
    over.abort();
    off();
  }
};

/** Keeps offers of a server that runs already registered, until INT or TERM; 0 then. */
export const registerUntilTold = async (options: Omit<ExecOptions, 'argv' | 'env'>): Promise<number> => {
  const { client, offers, at } = options;
  const over = new AbortController();
  const off = onSignals({ pass: () => undefined, end: () => over.abort() });
  try {
    await keepAll(client, offers, at, over.signal);
    await withdraw(client, offers, drainMs);
    return 0;
  } finally {
    over.abort();
    off();
  }
};

/** Ends this process as the program ended: by the same signal, if that ends us, or with its code. */
export const endLike = (ended: Ended): void => {
  process.exitCode = exitCodeOf(ended);
  // As the first process of a container a signal does not end us: then the code tells.
  if (ended.signal) process.kill(process.pid, ended.signal);
};

/** An error for people, on stderr. */
export const tell = (error: FlynnError): void => {
  process.stderr.write(`sdutil: ${error.message}\n${error.hint ? `  ${error.hint}\n` : ''}`);
};

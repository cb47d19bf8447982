// What a person typed after `flynn run`, as a request that is known to fit.
import { FlynnError } from '../api/errors.js';
import { RunRequest, runPath } from '../api/run.js';
import { check } from './check.js';
import { parseEnv } from './input.js';

export { runAttached } from './run.js';

/** Longest path that every server on the way takes beside its headers, bytes. */
const longestPath = 12 * 1024;

/** The parts of a run. */
export interface TypedRun {
  words: readonly string[];
  /** `KEY=VALUE` of `--env`. */
  env: readonly string[];
  tty: boolean;
  size?: { columns: number; rows: number } | undefined;
  /** TERM of our terminal. */
  term?: string | undefined;
}

/** The request. Throws `usage` when no command is named or a variable is none, `too_large` for what no server takes. */
export async function runRequest({ words, env, tty, size, term }: TypedRun): Promise<RunRequest> {
  if (words.length === 0 || words[0] === '') {
    throw new FlynnError({
      code: 'usage',
      message: 'no command was named',
      hint: 'flynn run -a APP sh',
    });
  }
  // Standard input belongs to the command: no variable can come from there.
  const noInput = (): Promise<string> =>
    Promise.reject(
      new FlynnError({
        code: 'usage',
        message: '--env KEY=- cannot be used with run: standard input is the command’s',
        hint: 'flynn env:set KEY=-   (for all runs of the app)',
      }),
    );
  const own = env.length > 0 ? await parseEnv(env, noInput) : {};
  const request = check(
    RunRequest,
    {
      args: words,
      tty,
      ...(tty && size ? { size } : {}),
      env: tty && term ? { TERM: term, ...own } : own,
    },
    'the command',
  );
  const length = Buffer.byteLength(runPath('a'.repeat(30), request));
  if (length > longestPath) {
    throw new FlynnError({
      code: 'too_large',
      message: `the command and its environment take ${length} bytes of the ${longestPath} that a run can have`,
      hint: 'flynn run sh < SCRIPT   (standard input has no limit)',
    });
  }
  return request;
}

// One mistake on the command line: typed, and judged by its exit code, its message and its hint.
import { expect } from 'vitest';
import type { AppState } from '../../src/lib/api/app.js';
import { cliJson, run, type CliOptions } from './grid.js';

/** A mistake: `says` stand in the message, `hint` in the next command. */
export interface Mistake {
  name: string;
  args: () => string[];
  code: number;
  says: (string | RegExp)[];
  hint: string | RegExp;
  options?: () => CliOptions;
}

/** All that a mistake could have changed and must not. */
export async function everything(app: string): Promise<unknown> {
  const [apps, state, releases, env, routes, keys] = await Promise.all([
    cliJson(['apps']),
    cliJson<AppState>(['ps', '-a', app]),
    cliJson(['releases', '-a', app]),
    cliJson(['env', '-a', app]),
    cliJson(['routes', '-a', app]),
    cliJson(['keys']),
  ]);
  const { formation, jobs, deployment } = state;
  return { apps, formation, jobs: jobs.map(({ id }) => id).sort(), deployment, releases, env, routes, keys };
}

/** Types it and checks exit code, message and hint. */
export async function commit({ args, code, says, hint, options }: Mistake): Promise<void> {
  const done = await run(args(), { timeoutMs: 60_000, ...options?.() });
  const said = `flynn ${args().join(' ')} ended with ${done.code}\n${done.stdout}${done.stderr}`;
  expect(done.code, said).toBe(code);
  const error = done.stderr.slice(done.stderr.lastIndexOf('Error:'));
  for (const text of says) expect(error, said).toMatch(text);
  // The sign of a hint, and one that helps.
  expect(error, said).toMatch(/\n {2}→ \S/);
  expect(error.slice(error.indexOf('→')), said).toMatch(hint);
  expect(error, said).not.toMatch(/mistake in Flynn|\bat .+:\d+:\d+/);
}

// One mistake: made, and judged by its exit code, its message and its hint.
import { expect } from 'vitest';
import type { AppState } from '../../../src/lib/api/app.js';
import { cliJson, run, type CliOptions, type Finished } from '../grid.js';

/** A mistake: `says` stand in the message, `hint` in the next command. */
export interface Mistake {
  name: string;
  /** Makes it: a command line, a push. */
  act: () => Promise<Finished>;
  code: number;
  says: (string | RegExp)[];
  hint: string | RegExp;
}

/** Mistakes of one kind. */
export interface Table {
  title: string;
  mistakes: Mistake[];
  /** They may be made at the same time. */
  together?: boolean;
  /** Releases are tried: they stay on record as failed, and what runs is what ran. */
  triesReleases?: boolean;
  /** Hosts are cut off meanwhile: requests under way may be lost. */
  cutsHosts?: boolean;
  /** What this kind needs, and its end. */
  begin?: () => Promise<void>;
  end?: () => Promise<void>;
}

/** Types `flynn` with these words, which are known only when it is typed. */
export const typed =
  (words: () => string[], options: () => CliOptions = () => ({})) =>
  (): Promise<Finished> =>
    run(words(), { timeoutMs: 60_000, ...options() });

/** All that a mistake could have changed and must not. */
export async function everything(app: string): Promise<Record<string, unknown>> {
  const [apps, state, releases, env, routes, keys] = await Promise.all([
    cliJson(['apps']),
    cliJson<AppState>(['ps', '-a', app]),
    cliJson(['releases', '-a', app]),
    cliJson(['env', '-a', app]),
    cliJson(['routes', '-a', app]),
    cliJson(['keys']),
  ]);
  const { formation, jobs, deployment } = state;
  const runs = { release: state.app.release, formation, jobs: jobs.map(({ id }) => id).sort() };
  return { ...runs, apps, deployment, releases, env, routes, keys };
}

/** The part of it that says what runs and how. */
export const whatRuns = ({ release, formation, jobs, env, routes, keys }: Record<string, unknown>) => ({
  ...{ release, formation, jobs, env, routes, keys },
});

/** Makes it and checks exit code, message and hint. */
export async function commit({ act, code, says, hint }: Mistake): Promise<void> {
  const done = await act();
  const said = `ended with ${done.code}\n${done.stdout}${done.stderr}`;
  expect(done.code, said).toBe(code);
  const error = messageIn(done.stderr);
  for (const text of says) expect(error, said).toMatch(text);
  // The sign of a hint, and one that helps; said once.
  expect(error.match(/\n {2}→ \S/g), said).toHaveLength(1);
  expect(error.slice(error.indexOf('→')), said).toMatch(hint);
  expect(error, said).not.toMatch(/mistake in Flynn|\bat .+:\d+:\d+/);
}

/** The error of the command line, or what git shows of the other side's words. */
function messageIn(stderr: string): string {
  const own = stderr.lastIndexOf('Error:');
  if (own >= 0) return stderr.slice(own);
  return stderr.replaceAll(/^remote: (.*?)\s*$/gm, '$1');
}

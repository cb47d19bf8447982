// One-off runs: what `flynn run` asks for, carried in the query of an upgraded request.
import { z } from 'zod';
import { EnvKey } from './names.js';
import { Resize } from './attach.js';

/** A command to be run once with an app's current release. */
export const RunRequest = z.object({
  /** The command as argv; a single word with spaces is a line for the shell in images that were built from source. */
  args: z.array(z.string().max(8_192)).min(1, 'a run needs a command').max(256),
  tty: z.boolean().default(false),
  /** Size of the caller's terminal. */
  size: Resize.optional(),
  /** Added to the release's environment for this job alone. */
  env: z.record(EnvKey, z.string()).default({}),
});
export type RunRequest = z.infer<typeof RunRequest>;

/** Path and query of a run, for an upgrade; the server takes at most 16 KiB of it. */
export function runPath(app: string, input: z.input<typeof RunRequest>): string {
  const { args, tty, size, env } = RunRequest.parse(input);
  const query = new URLSearchParams(args.map((arg): [string, string] => ['arg', arg]));
  if (tty) query.set('tty', '1');
  if (size) {
    query.set('columns', String(size.columns));
    query.set('rows', String(size.rows));
  }
  for (const [key, value] of Object.entries(env)) query.append('env', `${key}=${value}`);
  return `/v1/apps/${encodeURIComponent(app)}/run?${query.toString()}`;
}

/** The inverse of `runPath`; throws a ZodError for what is no run. */
export function parseRunQuery(query: URLSearchParams): RunRequest {
  const columns = query.get('columns');
  const rows = query.get('rows');
  const env = query.getAll('env').map((pair): [string, string] => {
    const at = pair.indexOf('=');
    return at < 0 ? [pair, ''] : [pair.slice(0, at), pair.slice(at + 1)];
  });
  return RunRequest.parse({
    args: query.getAll('arg'),
    tty: query.get('tty') === '1',
    ...(columns !== null && rows !== null ? { size: { columns: Number(columns), rows: Number(rows) } } : {}),
    env: Object.fromEntries(env),
  });
}

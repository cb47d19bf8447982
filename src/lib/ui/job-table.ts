// Jobs as a table, states in their colours.
import { colorsFor } from './colors.js';
import { ago, table } from './table.js';
import type { Terminal } from './terminal.js';

/** What a row shows; since in ms of the epoch. */
export interface ShownJob {
  id: string;
  host: string;
  owner: string;
  state: string;
  since: number;
  starts: number;
  reason?: string | undefined;
}

const bad = new Set(['crashed', 'failed', 'unhealthy', 'lost', 'unknown']);

/** A state in its colour. */
export function stateTone(terminal: Terminal, state: string): string {
  const paint = colorsFor(terminal, 'stdout');
  if (state === 'serving' || state === 'up') return paint.green(state);
  if (state === 'done') return paint.dim(state);
  return bad.has(state) ? paint.red(state) : paint.yellow(state);
}

/** The jobs as lines; none: no lines. */
export function jobTable(jobs: readonly ShownJob[], terminal: Terminal, now: number): string[] {
  return table(jobs, [
    { title: 'id', value: (job) => job.id },
    { title: 'state', value: (job) => stateTone(terminal, job.state) },
    { title: 'since', value: (job) => (job.since === 0 ? '-' : ago(job.since, now)), right: true },
    { title: 'host', value: (job) => job.host },
    { title: 'owner', value: (job) => job.owner },
    { title: 'starts', value: (job) => job.starts, right: true },
    { title: 'why', value: (job) => job.reason },
  ]);
}

// What changed from one state of an app to the next, as lines for people. Pure.
import type { AppState, JobLine } from '../api/app.js';

/** `web: 1=>3, worker: 0=>2`: the types whose numbers differ. */
export function describeScale(
  before: Readonly<Record<string, number>>,
  after: Readonly<Record<string, number>>,
): string {
  return Object.keys({ ...before, ...after })
    .sort()
    .filter((type) => (before[type] ?? 0) !== (after[type] ?? 0))
    .map((type) => `${type}: ${before[type] ?? 0}=>${after[type] ?? 0}`)
    .join(', ');
}

/** Time of day as `12:03:04.512`. */
function clockTime(at: number): string {
  return new Date(at).toISOString().slice(11, 23);
}

/**
 * One line per job that appeared, changed or went since the last state, stamped with `now` (ms since 1970). A first
 * state says nothing of jobs that are as they should be: they are where one starts from.
 */
export function transitions(previous: AppState | undefined, next: AppState, now: number): string[] {
  const lines: string[] = [];
  const stamp = clockTime(now);
  const before = new Map(previous?.jobs.map((job) => [job.id, job]));
  for (const job of next.jobs) {
    const old = before.get(job.id);
    before.delete(job.id);
    if (old ? same(old, job) : previous === undefined && settled(job)) continue;
    lines.push(`${stamp}  ${line(job)}`);
  }
  for (const gone of before.values()) {
    lines.push(`${stamp}  ${gone.name.padEnd(8)} gone      on ${gone.host}  (v${gone.release})`);
  }
  if (next.problem !== undefined && next.problem !== previous?.problem)
    lines.push(`${stamp}  ${next.problem}`);
  return lines;
}

function line(job: JobLine): string {
  const why = job.reason === undefined ? '' : `  ${job.reason}`;
  return `${job.name.padEnd(8)} ${job.state.padEnd(9)} on ${job.host}  (v${job.release})${why}`;
}

function same(a: JobLine, b: JobLine): boolean {
  return a.state === b.state && a.starts === b.starts && a.reason === b.reason;
}

function settled(job: JobLine): boolean {
  return job.state === 'serving' || job.state === 'up';
}

/** True when the state shows these counts as what is wanted, and as what serves. */
export function isServing(state: AppState, wanted: Readonly<Record<string, number>>): boolean {
  return (
    state.converged && Object.entries(wanted).every(([type, count]) => (state.formation[type] ?? 0) === count)
  );
}

/** What is missing to the wanted counts: `web has 1 of 3`; empty when nothing is. */
export function missing(state: AppState, wanted: Readonly<Record<string, number>>): string {
  const parts: string[] = [];
  for (const [type, count] of Object.entries(wanted).sort()) {
    const serving = state.jobs.filter((job) => job.type === type && job.state === 'serving').length;
    if (serving !== count) parts.push(`${type} has ${serving} of ${count} serving`);
  }
  return parts.join(', ');
}

// Jobs of Layer 0 as people see them: claims joined with what the agents report. Pure.
import { z } from 'zod';
import type { JobView } from '../../api/job.js';
import { JobState } from '../../api/job.js';
import { ulidTime } from '../../util/ulid.js';
import type { ListedClaim } from '../door/grid.js';

/** A job in a list. `lost`: booked on a host that is gone; `unknown`: its host does not answer. */
export const JobRow = z.object({
  id: z.string(),
  host: z.string(),
  owner: z.string(),
  state: z.enum([...JobState.options, 'lost', 'unknown']),
  /** When that state began, ms since the epoch. */
  since: z.number(),
  starts: z.number().int(),
  exitCode: z.number().int().nullable(),
  reason: z.string().optional(),
});
export type JobRow = z.infer<typeof JobRow>;

/** What is known of the jobs. */
export interface JobsKnown {
  /** From Sampi; undefined when no copy of it answers: then there is what the agents say. */
  claims: readonly ListedClaim[] | undefined;
  /** From the agents. */
  views: readonly JobView[];
  /** Hosts whose agents did not answer. */
  silent: ReadonlySet<string>;
}

/** The jobs by owner and age. */
export function jobRows({ claims, views, silent }: JobsKnown): JobRow[] {
  const reported = new Map(views.map((view) => [view.id, view]));
  const all =
    claims?.map(({ job, host, claim }) => ({ ...reported.get(job), id: job, host, claim })) ?? views;
  return all
    .map((view) => rowOf(view, silent.has(view.host)))
    .sort((a, b) => (a.owner === b.owner ? compare(a.id, b.id) : compare(a.owner, b.owner)));
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** One job; `silent`: its host's agent does not answer. */
export function rowOf({ id, host, claim, status }: JobView, silent = false): JobRow {
  return {
    id,
    host,
    owner: claim.o,
    state: stateOf({ claim, status }, silent),
    // The id is made with the claim: until its agent tells more, that is when this state began.
    since: status?.since ?? ulidTime(id.slice(-26)) ?? 0,
    starts: status?.starts ?? 0,
    exitCode: status?.exitCode ?? null,
    ...(status?.reason ? { reason: status.reason } : {}),
  };
}

function stateOf({ claim, status }: Pick<JobView, 'claim' | 'status'>, silent: boolean): JobRow['state'] {
  if (claim.w === 'lost') return 'lost';
  if (silent) return 'unknown';
  const state = status?.state ?? 'pending';
  return claim.w === 'stop' && state !== 'failed' ? 'stopping' : state;
}

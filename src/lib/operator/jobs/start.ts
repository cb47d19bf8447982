// A placed job on its way: until it runs, or cannot.
import { FlynnError, isFlynnError } from '../../api/errors.js';
import type { JobState } from '../../api/job.js';
import type { Clock } from '../../util/clock.js';
import { poll } from '../../util/retry.js';
import { DeadlineError } from '../../util/signal.js';
import type { GridClient } from '../door/grid.js';
import { findJob } from './detail.js';
import type { PlacedJob } from './place.js';
import { commit, type ClaimPorts } from './stop.js';

/** A job that was placed, and how it did when we left it. */
export interface StartedJob {
  job: string;
  host: string;
  state: JobState | 'pending';
}

/** How long giving back a claim may take, ms. */
const endMs = 10_000;

/**
 * Waits until the job is up, or done; `waitMs` 0 does not wait. Throws `failed` with its last lines when it cannot
 * start, `timeout` when it has not in time: it goes on trying then.
 */
export async function startedJob(
  { grid, clock }: { grid: Pick<GridClient, 'job' | 'claims'>; clock: Clock },
  { id, host }: PlacedJob,
  waitMs: number,
  signal: AbortSignal,
): Promise<StartedJob> {
  if (waitMs === 0) return { job: id, host, state: 'pending' };
  let last = 'its agent has said nothing of it yet';
  const look = async (): Promise<StartedJob | undefined> => {
    const view = await findJob(grid, id, signal).then(
      (found) => found.view,
      (error: unknown) => {
        // Its agent may not have heard of it yet.
        if (isFlynnError(error, 'not_found')) return undefined;
        throw error;
      },
    );
    const status = view?.status;
    if (!status) return undefined;
    last = `it is ${status.state}${status.reason ? `: ${status.reason}` : ''}`;
    if (status.state === 'failed' || (status.state === 'crashed' && status.starts >= 5)) {
      throw couldNot(id, status);
    }
    return status.state === 'up' || status.state === 'done'
      ? { job: id, host, state: status.state }
      : undefined;
  };
  return poll(clock, look, { timeoutMs: waitMs, intervalMs: 200, signal }).catch((error: unknown) => {
    if (!(error instanceof DeadlineError)) throw error;
    throw new FlynnError({
      code: 'timeout',
      message: `job ${id} is not up after ${waitMs / 1000} s, and goes on trying: ${last}`,
      hint: `flynn jobs:info ${id}   (or flynn jobs:stop ${id})`,
      cause: error,
    });
  });
}

function couldNot(id: string, status: { state: string; reason?: string; tail?: string[] }): FlynnError {
  const lines = (status.tail ?? []).map((line) => `\n    ${line}`).join('');
  return new FlynnError({
    code: 'failed',
    message: `job ${id} ${status.state}: ${status.reason ?? 'no reason was given'}${lines}`,
    hint: `flynn jobs:logs ${id}   (and flynn jobs:stop ${id} takes it away)`,
  });
}

/** Gives back what a job had; one that is gone already is what this wanted. */
export async function endJob(ports: ClaimPorts, id: string): Promise<void> {
  const host = id.slice(0, -27);
  await commit(ports, { [host]: { want: [{ job: id, want: 'stop' }] } }, AbortSignal.timeout(endMs));
}

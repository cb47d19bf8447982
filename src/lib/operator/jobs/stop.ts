// Ending jobs: their claims say stop, their agents end them in order and give back what they had.
import { FlynnError, isFlynnError } from '../../api/errors.js';
import { hostOfJob } from '../../api/names.js';
import type { HostOutcome, TransactionInput } from '../../api/sampi.js';
import type { Clock } from '../../util/clock.js';
import { poll, retry } from '../../util/retry.js';
import type { Rng } from '../../util/rng.js';
import { DeadlineError } from '../../util/signal.js';
import { ulid } from '../../util/ulid.js';
import type { GridClient } from '../door/grid.js';
import { findJob } from './detail.js';

/** What a change of claims needs. */
export interface ClaimPorts {
  grid: Pick<GridClient, 'transact' | 'job' | 'claims'>;
  clock: Clock;
  rng: Rng;
}

/** How long a transaction is repeated by its id while its answer is lost, ms. */
const resolveMs = 15_000;

/** Failures after which nobody knows whether a transaction was carried out, or could not be asked at all. */
const isLost = (error: unknown): boolean =>
  (['ambiguous', 'timeout', 'unreachable', 'no_quorum'] as const).some((code) => isFlynnError(error, code));

/** Commits a transaction; its id is made once, so that a lost answer is resolved by asking again. */
export async function commit(
  { grid, clock, rng }: ClaimPorts,
  hosts: TransactionInput['hosts'],
  signal: AbortSignal,
): Promise<Record<string, HostOutcome>> {
  const id = ulid(clock.now(), rng);
  const work = () => grid.transact({ id, mode: 'incremental', hosts }, { signal });
  const answer = await retry(work, { clock, rng, deadlineMs: resolveMs, retryable: isLost, signal });
  return answer.hosts;
}

/** Has jobs stopped; all of them are looked at before the first is. Throws `not_found`, and `conflict` for omni jobs. */
export async function stopJobs(
  ports: ClaimPorts,
  jobs: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const hosts: Record<string, { want: { job: string; want: 'stop' }[] }> = {};
  for (const job of jobs) {
    const { view } = await findJob(ports.grid, job, signal);
    if (view.claim.o.startsWith('omni/')) throw isOmni(job, view.claim.o);
    (hosts[hostOfJob(job)] ??= { want: [] }).want.push({ job, want: 'stop' });
  }
  for (const [host, outcome] of Object.entries(await commit(ports, hosts, signal))) {
    // A claim that is gone is what this wanted.
    if (outcome.ok || outcome.rejection?.code === 'not_found') continue;
    throw new FlynnError({
      code: 'conflict',
      message: `${host}: ${outcome.rejection?.message ?? 'its jobs could not be stopped'}`,
      hint: 'flynn jobs:list',
    });
  }
}

function isOmni(job: string, owner: string): FlynnError {
  return new FlynnError({
    code: 'conflict',
    message: `job ${job} is ${owner}, which its host claims for itself: it would come back at once`,
    hint: `flynn jobs:signal ${job} TERM   (restarts it)`,
  });
}

/** Whether a job's claim is gone, or it ended and is not started again. */
export async function isOver(
  grid: Pick<GridClient, 'job' | 'claims'>,
  id: string,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    const { view } = await findJob(grid, id, signal);
    return view.status?.state === 'done' || view.status?.state === 'failed';
  } catch (error) {
    if (isFlynnError(error, 'not_found')) return true;
    throw error;
  }
}

/** Waits until the jobs' claims are gone; throws `timeout`, naming those that are left. They go on ending either way. */
export async function waitUntilGone(
  { grid, clock }: { grid: Pick<GridClient, 'job' | 'claims'>; clock: Clock },
  jobs: readonly string[],
  timeoutMs: number,
  signal: AbortSignal,
): Promise<void> {
  const left = new Set(jobs);
  const look = async (): Promise<true | undefined> => {
    for (const job of [...left]) {
      const gone = await findJob(grid, job, signal).then(
        () => false,
        (error: unknown) => {
          if (isFlynnError(error, 'not_found')) return true;
          // Whoever is away for a moment is asked again.
          if (isLost(error) && !signal.aborted) return false;
          throw error;
        },
      );
      if (gone) left.delete(job);
    }
    return left.size === 0 ? true : undefined;
  };
  await poll(clock, look, { timeoutMs, intervalMs: 200, signal }).catch((error: unknown) => {
    if (!(error instanceof DeadlineError)) throw error;
    throw new FlynnError({
      code: 'timeout',
      message: `${[...left].join(', ')} did not end within ${timeoutMs / 1000} s, and will when its host can`,
      hint: `flynn jobs:info ${[...left][0] ?? ''}`,
      cause: error,
    });
  });
}

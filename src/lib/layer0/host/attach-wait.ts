// One-off jobs that wait for their attach: created, not started, and given up after a while. Pure.
import type { JobTemplate } from '../../api/job.js';
import type { JobRecord, Now, SeenContainer } from './state.js';

/** How long (ms) a one-off that was created waits for its attach before it fails. */
export const attachWaitMs = 60_000;

/** Whether the job's container is created and started only when somebody attaches. */
export const startsByAttach = (template: Pick<JobTemplate, 'kind' | 'attach'> | undefined): boolean =>
  template?.kind === 'oneoff' && template.attach;

/** Whether the job's container is there and waits for its attach. */
export const waitsForAttach = (
  template: Pick<JobTemplate, 'kind' | 'attach'> | undefined,
  current: Pick<SeenContainer, 'state'> | undefined,
): boolean => startsByAttach(template) && current?.state === 'created';

/** Milliseconds that the waiting container still has; 0 or less when its time is over. */
export const attachTimeLeft = (
  record: Pick<JobRecord, 'waitSince'>,
  current: Pick<SeenContainer, 'createdAt'>,
  now: Now,
): number => {
  // Created by an agent before us, or by a call whose answer was lost: only the wall clock knows when.
  const waited = record.waitSince === undefined ? now.wall - current.createdAt : now.mono - record.waitSince;
  return attachWaitMs - waited;
};

// Whether a job whose process ended is started again. Pure.
import type { JobTemplate } from '../../api/job.js';
import type { Exit } from './state.js';

type Restarting = Pick<JobTemplate, 'kind' | 'restart'>;

/** Whether the job gets one process at most, however that ends. */
export const startsOnce = ({ kind, restart }: Restarting): boolean =>
  kind === 'oneoff' || restart?.policy === 'never';

/** Whether the job is started again after that end; a start that failed is no success. */
export const startsAgain = (template: Restarting, exit: Pick<Exit, 'code' | 'container'>): boolean => {
  if (startsOnce(template)) return false;
  const succeeded = exit.container !== undefined && exit.code === 0;
  return !(template.restart?.policy === 'on-failure' && succeeded);
};

/**
 * Whether the job has ended for good as far as is known: `exit` is its last end, `reported` what its status says where
 * this agent has not seen the end itself. A job that starts once and has not started has not ended.
 */
export const isOver = (
  template: Restarting,
  exit: Exit | undefined,
  reported: string | undefined,
): boolean => {
  if (exit) return !startsAgain(template, exit);
  if (reported !== 'done' && reported !== 'failed') return false;
  return startsOnce(template) || (template.restart?.policy === 'on-failure' && reported === 'done');
};

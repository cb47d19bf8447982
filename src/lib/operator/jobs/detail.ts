// One job with all that its agent and Sampi know of it.
import { FlynnError, isFlynnError } from '../../api/errors.js';
import type { Claim, JobTemplate, JobView } from '../../api/job.js';
import { hostOfJob } from '../../api/names.js';
import type { GridClient } from '../door/grid.js';
import { rowOf, type JobRow } from './rows.js';

/** A job in full. */
export interface JobDetail {
  job: JobRow;
  claim: Claim;
  /** Absent when nothing names it any more. */
  template?: JobTemplate;
  /** `address:port` by port name. */
  addresses: Record<string, string>;
  /** The last lines of a container that ended badly. */
  tail: string[];
}

/** What one call about a job needs. */
type Reads = Pick<GridClient, 'job' | 'template' | 'claims'>;

/** Looks a job up. Throws `not_found`; where its agent does not answer, what is claimed is told. */
export async function jobDetail(grid: Reads, id: string, signal: AbortSignal): Promise<JobDetail> {
  const { view, silent } = await findJob(grid, id, signal);
  const template = await grid.template(view.claim.t, { signal }).catch((error: unknown): undefined => {
    if (signal.aborted || !isFlynnError(error)) throw error;
  });
  return {
    job: rowOf(view, silent),
    claim: view.claim,
    ...(template ? { template } : {}),
    addresses: view.status?.addresses ?? {},
    tail: view.status?.tail ?? [],
  };
}

/** The job as its agent sees it, else as it is claimed. Throws `not_found`, or why nobody could be asked. */
export async function findJob(
  grid: Pick<Reads, 'job' | 'claims'>,
  id: string,
  signal: AbortSignal,
): Promise<{ view: JobView; silent: boolean }> {
  const host = hostOfJob(id);
  try {
    return { view: await grid.job(id, { signal }), silent: false };
  } catch (error) {
    if (signal.aborted || !isFlynnError(error)) throw error;
    if (error.code === 'not_found') throw noSuchJob(id, error);
    if (error.code !== 'unreachable' && error.code !== 'timeout') throw error;
    const claims = await grid.claims({ host }, { signal }).catch(() => {
      throw error;
    });
    const claimed = claims.find(({ job }) => job === id);
    if (!claimed) throw noSuchJob(id, error);
    return { view: { id, host, claim: claimed.claim }, silent: true };
  }
}

function noSuchJob(id: string, cause: FlynnError): FlynnError {
  if (/no host/.test(cause.message)) return cause;
  return new FlynnError({
    code: 'not_found',
    message: `host ${hostOfJob(id)} has no job ${id}`,
    hint: 'flynn jobs:list',
    cause,
  });
}

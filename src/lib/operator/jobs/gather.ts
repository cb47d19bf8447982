// The jobs of a grid, gathered from Sampi and from the agents, with what could not be learned.
import { isFlynnError, type FlynnError } from '../../api/errors.js';
import type { DoorInfo } from '../../api/door.js';
import type { GridClient, ListedClaim } from '../door/grid.js';
import { jobRows, type JobRow } from './rows.js';

/** Which jobs. */
export interface WhichJobs {
  host?: string | undefined;
  /** An owner, or the first words of one up to a slash. */
  owner?: string | undefined;
}

/** The jobs, and in words what is missing from them. */
export interface GatheredJobs {
  jobs: JobRow[];
  problems: string[];
}

/**
 * All jobs of which anything is known. What does not answer is told and leaves a gap, not an error: throws `not_found`
 * for a host that is none, and what every part says when nothing at all answers.
 */
export async function gatherJobs(
  grid: Pick<GridClient, 'claims' | 'jobsOn'>,
  info: Pick<DoorInfo, 'hosts'>,
  { host, owner }: WhichJobs,
  signal: AbortSignal,
): Promise<GatheredJobs> {
  const problems: string[] = [];
  const of = { ...(host ? { host } : {}), ...(owner ? { owner } : {}) };
  let failure: FlynnError | undefined;
  const claims = await grid.claims(of, { signal }).catch((error: unknown): undefined => {
    if (!isFlynnError(error) || !away.has(error.code)) throw error;
    failure = error;
    problems.push(`the jobs are as their hosts tell: ${error.message}`);
  });
  const hosts = host ? [host] : claims ? hostsOf(claims) : info.hosts.map(({ name }) => name);
  const { jobs, silent } = await grid.jobsOn(hosts, { signal });
  if (failure && silent.length === hosts.length) throw failure;
  const wanted = jobs.filter(({ claim }) => owner === undefined || `${claim.o}/`.startsWith(`${owner}/`));
  for (const { host: name, error } of silent)
    problems.push(`how the jobs of ${name} do is not known: ${error.message}`);
  return {
    jobs: jobRows({ claims, views: wanted, silent: new Set(silent.map((one) => one.host)) }),
    problems,
  };
}

const away = new Set(['unreachable', 'timeout', 'no_quorum']);

const hostsOf = (claims: readonly ListedClaim[]): string[] =>
  [...new Set(claims.map(({ host }) => host))].sort();

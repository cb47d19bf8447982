// One host with all that Sampi and its own agent tell of it.
import type { DoorInfo } from '../../api/door.js';
import { toFlynnError } from '../../api/errors.js';
import { HostFacts } from '../../layer0/host/shapes.js';
import type { GridClient } from '../door/grid.js';
import { gatherJobs } from '../jobs/gather.js';
import type { JobRow } from '../jobs/rows.js';
import { hostRow, type HostRow } from './rows.js';

/** A host in full. */
export interface HostDetail {
  host: HostRow;
  /** What its agent says; absent when it does not answer. */
  agent?: HostFacts;
  jobs: JobRow[];
  /** What could not be learned. */
  problems: string[];
}

/** Looks at a host. Throws `not_found`; an agent that does not answer is a problem in the answer. */
export async function hostDetail(
  grid: GridClient,
  info: Pick<DoorInfo, 'hosts'>,
  name: string,
  signal: AbortSignal,
): Promise<HostDetail> {
  const host = hostRow(await grid.view({ signal }), name);
  const [facts, gathered] = await Promise.allSettled([
    grid.facts(name, { signal }),
    gatherJobs(grid, info, { host: name }, signal),
  ]);
  signal.throwIfAborted();
  if (gathered.status === 'rejected') throw gathered.reason;
  const { jobs, problems } = gathered.value;
  if (facts.status === 'fulfilled') return { host, agent: facts.value, jobs, problems };
  const why = toFlynnError(facts.reason).message;
  return { host, jobs, problems: problems.length > 0 ? problems : [why] };
}

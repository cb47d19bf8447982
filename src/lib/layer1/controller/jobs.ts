// Jobs as people and planners see them: states, names, what serves. Pure, over records of the picture.
import { serviceOf, type JobLine, type ProcessSpec, type Release } from '../../api/app.js';
import { ulidTime } from '../../util/ulid.js';
import { isMissing, type Condition } from './hosts.js';
import type { JobRecord } from './state.js';

/** What is needed beside the records to tell how a job does. */
export interface JobContext {
  /** Condition of a host; undefined: not registered. */
  condition(host: string): Condition | undefined;
  /** Revision up to which all live consumers of a service applied instance records. */
  applied(service: string): number;
  release(version: number): Release | undefined;
}

/** Ended jobs shown at most. */
const maxEnded = 10;

/** Port inside the container: `web` has 8080 unless said; 0: it listens on none. */
export function portOf(type: string, spec: ProcessSpec | undefined): number {
  return spec?.port ?? (type === 'web' ? 8080 : 0);
}

/** Why a container cannot be had at all, when its agent says so; such a job is never restarted by it. */
export function isFailed(job: JobRecord): boolean {
  return job.status?.state === 'failed';
}

/** True when the job is up, and every live consumer of its service knows it (no service: up is enough). */
export function isServing(job: JobRecord, context: JobContext): boolean {
  if (job.claim === undefined || job.claim.w === 'stop' || job.status?.state !== 'up') return false;
  const condition = context.condition(job.host);
  if (condition === undefined || isMissing(condition)) return false;
  const spec = context.release(job.version)?.processes[job.type];
  if (portOf(job.type, spec) === 0) return true;
  return job.registered !== undefined && job.registered <= context.applied(serviceOf(job.app, job.type));
}

/** The state that `ps` shows. */
export function lineState(job: JobRecord, context: JobContext): JobLine['state'] {
  const state = job.status?.state ?? 'pending';
  if (!job.claim) return state;
  const condition = context.condition(job.host);
  if (condition === 'lost' || condition === 'away') return 'lost';
  if (job.claim.w === 'lost' && condition !== 'present') return 'lost';
  if (job.claim.w === 'stop') return state === 'failed' ? 'failed' : 'stopping';
  return isServing(job, context) && state === 'up' && job.registered !== undefined ? 'serving' : state;
}

/** Lines of `ps`: booked jobs by type and age, then the last that ended badly. `jobs` are oldest first. */
export function jobLines(jobs: readonly JobRecord[], context: JobContext): JobLine[] {
  const booked = jobs.filter(({ claim }) => claim);
  // Those that are being stopped come last, so that the names of the others stay as they are.
  const ordered = [
    ...booked.filter((j) => j.claim?.w !== 'stop'),
    ...booked.filter((j) => j.claim?.w === 'stop'),
  ];
  const counts = new Map<string, number>();
  const lines = ordered.map((job) => {
    const ordinal = (counts.get(job.type) ?? 0) + 1;
    counts.set(job.type, ordinal);
    return lineOf(job, `${job.type}.${ordinal}`, context);
  });
  lines.sort((a, b) => (a.type === b.type ? 0 : a.type < b.type ? -1 : 1));
  const ended = jobs.filter(
    (job) => !job.claim && (job.status?.state === 'failed' || job.status?.state === 'crashed'),
  );
  return [
    ...lines,
    ...ended.slice(-maxEnded).map((job) => lineOf(job, `${job.type}.${job.id.slice(-6)}`, context)),
  ];
}

function lineOf(job: JobRecord, name: string, context: JobContext): JobLine {
  const { status } = job;
  return {
    id: job.id,
    name,
    type: job.type,
    release: job.version,
    host: job.host,
    state: lineState(job, context),
    // The id is made with the claim: until its agent tells more, that is when this state began.
    since: status?.since ?? (ulidTime(job.id.slice(-26)) || 0),
    starts: status?.starts ?? 0,
    ...(status?.reason ? { reason: status.reason } : {}),
    ...(status?.tail ? { tail: status.tail } : {}),
  };
}

/** Starts of a job that came to nothing. */
export function failedStarts({ status }: JobRecord): number {
  if (!status) return 0;
  switch (status.state) {
    case 'crashed':
      return status.starts;
    case 'failed':
      return Math.max(1, status.starts);
    default:
      return Math.max(0, status.starts - 1);
  }
}

// A job's status as the agent reports it, derived from what it knows.
import { keys } from '../../api/keys.js';
import type { Claim, JobState, JobStatus, JobTemplate } from '../../api/job.js';
import { sameJson } from '../../util/same.js';
import { waitsForAttach } from './attach-wait.js';
import { publishedAddresses } from './ports.js';
import { isOver, startsOnce } from './restart.js';
import { isRunning, type HostState, type JobRecord, type Now, type SeenContainer } from './state.js';

/** What a status is derived from. */
export interface StatusInput {
  state: HostState;
  record: JobRecord;
  claim: Claim;
  template: JobTemplate | undefined;
  current: SeenContainer | undefined;
  /** Revision of the job's instance record, when there is one. */
  registered: number | undefined;
  stopping: boolean;
}

/** Whether the container's end is known in full. */
export const isExamined = (record: JobRecord, current: SeenContainer | undefined): boolean =>
  current !== undefined && record.exit?.container === current.id;

const endedForGood = (record: JobRecord): JobState =>
  record.exit?.code === 0 && record.exit.container !== undefined ? 'done' : 'failed';

const isRunningState = (at: JobState): boolean => at === 'starting' || at === 'up' || at === 'unhealthy';

/** Undefined: nothing certain can be said now, so what was said before stays. */
const stateOf = (input: StatusInput, reported: JobStatus | undefined): JobState | undefined => {
  const { record, template, current } = input;
  if (input.stopping) return 'stopping';
  if (isRunning(current)) {
    if (record.verdict === 'down') return 'unhealthy';
    if (record.verdict === 'unknown') return record.adopted ? undefined : 'starting';
    if (!template?.service || input.registered !== undefined) return 'up';
    // Its registration is under way: what was said before holds for that moment.
    return reported && isRunningState(reported.state) ? undefined : 'starting';
  }
  if (waitsForAttach(template, current)) return 'starting';
  if (template && (startsOnce(template) || isOver(template, record.exit, reported?.state))) {
    // How it ended was told by an agent before us, which saw it.
    const told = reported?.state === 'done' || reported?.state === 'failed';
    if (told && !current && !record.exit) return undefined;
    if (current ? isExamined(record, current) : record.starts > 0) return endedForGood(record);
  }
  if (record.imageMissing) return record.exit && record.restartAt ? 'crashed' : 'pulling';
  if (current ? isExamined(record, current) : record.exit) return 'crashed';
  return template?.kind === 'singleton' && !current ? 'pending' : undefined;
};

const reasonOf = (input: StatusInput, at: JobState): string | undefined => {
  const { record } = input;
  if (at === 'unhealthy') return record.problem;
  if (waitsForAttach(input.template, input.current)) return 'waits for its attach';
  if (at === 'starting') return record.problem ?? record.exit?.reason;
  if (at === 'pending') return turnOf(input);
  if (at === 'failed' && !record.exit) return 'its container is gone';
  return at === 'crashed' || at === 'failed' ? record.exit?.reason : undefined;
};

/** What a singleton waits for. */
const turnOf = ({ state, record }: StatusInput): string => {
  const own = state.singletons.get(keys.singleton(state.host.name, record.job));
  const before = [...state.singletons].filter(
    ([, key]) => own && key.name === own.name && key.epoch < own.epoch,
  );
  const jobs = before.map(([key]) => key.slice(key.lastIndexOf('/') + 1));
  return jobs.length > 0 ? `waits for the end of ${jobs.join(', ')}` : 'waits for its lease';
};

/**
 * The status to report, undefined when the reported one is right already.
 * `since` changes with the state only, so that an unchanged world gives an unchanged text.
 */
export const statusToReport = (
  input: StatusInput,
  reported: JobStatus | undefined,
  now: Now,
): JobStatus | undefined => {
  const at = stateOf(input, reported);
  if (at === undefined) return undefined;
  const { record, claim, template, current, state } = input;
  const ended = at === 'crashed' || at === 'failed' || at === 'done' || at === 'starting';
  const reason = reasonOf(input, at);
  const serves = isRunningState(at);
  const status: JobStatus = {
    state: at,
    owner: claim.o,
    template: claim.t,
    starts: record.starts,
    exitCode: ended && record.exit ? record.exit.code : null,
    ...(reason ? { reason } : {}),
    ...(ended && at !== 'done' && record.exit?.tail.length ? { tail: record.exit.tail } : {}),
    ...(current ? { containerId: current.id } : {}),
    addresses: serves && template ? publishedAddresses(template, claim, state.host.address) : {},
    since: reported?.state === at ? reported.since : now.wall,
    ...(serves && current?.details?.startedAt !== undefined ? { startedAt: current.details.startedAt } : {}),
    ...(at === 'crashed' && record.restartAt ? { restartAt: record.restartAt.wall } : {}),
    ...(at === 'up' && input.registered !== undefined ? { registeredRevision: input.registered } : {}),
  };
  return reported && sameJson(reported, status) ? undefined : status;
};

// The plan for one claimed job: bring it up and keep it so, or stop it in order.
import type { Claim, JobStatus, JobTemplate } from '../../api/job.js';
import type { Instance } from '../../api/grid.js';
import { keys } from '../../api/keys.js';
import type { Action } from './actions.js';
import { attachTimeLeft, waitsForAttach } from './attach-wait.js';
import type { Draft } from './draft.js';
import { drainCapMs, isDrained } from './drain.js';
import { hasLease, isSingleton, mayTakeOver, planLease } from './plan-singleton.js';
import { instanceOf } from './ports.js';
import { isOver, startsOnce } from './restart.js';
import { isExamined, statusToReport } from './status.js';
import { volumesOf } from './volumes.js';
import { isRunning, retiredName, type JobRecord, type SeenContainer } from './state.js';

/** Everything about one claimed job. */
export interface JobInPlan {
  job: string;
  claim: Claim;
  record: JobRecord;
  template: JobTemplate | undefined;
  current: SeenContainer | undefined;
  instance: { key: string; value: Instance; revision: number } | undefined;
  reported: JobStatus | undefined;
}

/** A start that may be carried out when its turn comes. */
export type StartAction = Extract<Action, { do: 'start' }>;

const defaultStopTimeoutMs = 30_000;
/** A container that outlives SIGKILL (a blocked disk) gets another one this often, ms. */
const killAgainMs = 5_000;
/**
 * An instance that somebody else withdrew is offered again after this, ms. A leader that holds this host for lost
 * withdraws it each time: without the pause the two would write against each other as fast as the store lets them.
 */
const offerAgainMs = 5_000;

/**
 * Plans one job; returns the start that it is due, which the caller carries out within its limit.
 * A container is signalled from `planStop`, reached only by a claim of the store that says stop, and from `planLease`,
 * for singletons that have no lease: the stated exception.
 */
export const planJob = (draft: Draft, it: JobInPlan): StartAction | undefined => {
  const { state } = draft;
  const { record } = it;
  if (record.released) {
    if (it.reported && state.listed.statuses) draft.emit({ do: 'forget', job: it.job });
    return undefined;
  }
  const stopping = it.claim.w === 'stop' && state.claimsFrom === 'store' && !state.adoptMode;
  if (!it.template) draft.emit({ do: 'template', hash: it.claim.t });
  report(draft, it, stopping);
  if (isSingleton(it.template, it.current) && planLease(draft, it, stopping)) return undefined;
  if (stopping) {
    planStop(draft, it);
    return undefined;
  }
  look(draft, it);
  registration(draft, it);
  awaitAttach(draft, it);
  return it.claim.w === 'stop' ? undefined : dueStart(draft, it);
};

const report = (draft: Draft, it: JobInPlan, stopping: boolean): void => {
  const { state, now } = draft;
  if (!state.listed.statuses) return;
  const { job, record, claim, template, current, reported } = it;
  const registered = it.instance?.revision;
  const status = statusToReport(
    { state, record, claim, template, current, registered, stopping },
    reported,
    now,
  );
  if (status) draft.emit({ do: 'status', job, status });
};

/** Has a container inspected when its present state is not known in full. */
const look = (draft: Draft, { job, record, current }: JobInPlan): void => {
  if (!current || current.state === 'created' || current.state === 'removing') return;
  if (isRunning(current)) {
    if (!current.details) draft.emit({ do: 'inspect', job, container: current.id, tail: false });
  } else if (!isExamined(record, current)) {
    draft.emit({ do: 'inspect', job, container: current.id, tail: true });
  }
};

/** Gives up a container that nobody attached to in time. */
const awaitAttach = (draft: Draft, { job, record, template, current }: JobInPlan): void => {
  if (!current || !waitsForAttach(template, current)) return;
  const left = attachTimeLeft(record, current, draft.now);
  if (left > 0) draft.wake(draft.now.mono + left);
  else draft.emit({ do: 'abandon', job, container: current.id });
};

const sameInstance = (
  a: Pick<Instance, 'address' | 'port'>,
  b: Pick<Instance, 'address' | 'port'>,
): boolean => a.address === b.address && a.port === b.port;

/** Registers what is healthy; withdraws what is known to be down, never what is merely not known yet. */
const registration = (draft: Draft, it: JobInPlan): void => {
  const { state } = draft;
  const { job, record, template, current, instance } = it;
  if (!state.listed.instances) return;
  const running = isRunning(current);
  if (running && record.verdict === 'up') {
    const wanted = template && instanceOf(template, it.claim, state.host.address);
    if (!template?.service || !wanted || (instance && sameInstance(instance.value, wanted))) return;
    const offerAt = instance || !record.withdrawn?.byOther ? 0 : record.withdrawn.at + offerAgainMs;
    if (offerAt > draft.now.mono) return draft.wake(offerAt);
    const key = keys.instance(state.host.name, template.service.name, job);
    draft.emit({ do: 'register', job, key, instance: wanted });
    return;
  }
  if (!instance) return;
  // An old record of a container that runs since before us holds until a check says otherwise.
  if (running && record.verdict === 'unknown' && record.adopted) return;
  // A container is gone only when Docker says so.
  if (!running && !state.dockerUp && current === undefined) return;
  draft.emit({ do: 'deregister', job, key: instance.key });
};

const dueStart = (draft: Draft, it: JobInPlan): StartAction | undefined => {
  const { state, now } = draft;
  const { job, claim, record, template, current } = it;
  if (!template || !state.dockerUp || isRunning(current) || current?.state === 'removing') return undefined;
  if (draft.isBusy(`container:${job}`) || !mayStart(draft, it, template)) return undefined;
  // A store that was restored may say run again while the release of before is still under way.
  if (draft.isBusy(`release:${job}`)) return undefined;
  // Whether its volumes are there is not known yet.
  if (!state.volumesListed && volumesOf(template).length > 0) return undefined;
  const leftover = current?.state === 'created';
  if (current && !leftover && !isExamined(record, current)) return undefined;
  if (!leftover && isOver(template, record.exit, it.reported?.state)) return undefined;
  if (record.restartAt && record.restartAt.mono > now.mono) {
    draft.wake(record.restartAt.mono);
    return undefined;
  }
  if (record.imageMissing) {
    draft.emit({ do: 'pull', image: template.image });
    return undefined;
  }
  return {
    do: 'start',
    job,
    claim,
    template,
    starts: record.starts + 1,
    attempts: record.attempts,
    ...(template.kind === 'singleton' && record.lease ? { epoch: record.lease.epoch } : {}),
    ...(current && !leftover ? { retire: { id: current.id, name: retiredName(job, current.starts) } } : {}),
  };
};

const mayStart = (draft: Draft, it: JobInPlan, template: JobTemplate): boolean => {
  const { state, now } = draft;
  if (template.kind === 'singleton') return it.claim.w === 'run' && mayTakeOver(draft, it.record);
  const once = startsOnce(template);
  // Whether it ended well, before this agent, is in its status.
  const depends = template.restart?.policy === 'on-failure' && !it.record.exit;
  if (state.claimsFrom === 'disk') {
    if (once || depends) return false;
    if (state.diskStartsAt > now.mono) draft.wake(state.diskStartsAt);
    return state.diskStartsAt <= now.mono;
  }
  if (!once) return state.claimsFrom === 'store' && (!depends || state.listed.statuses);
  if (waitsForAttach(template, it.current)) return false;
  // Whether it did start is in its status, and a container that was only created did not.
  const fresh = it.record.starts === 0 || it.current?.state === 'created';
  return state.claimsFrom === 'store' && state.listed.statuses && it.claim.w === 'run' && fresh;
};

/** Deregister, consumers drain, SIGTERM, stop timeout, SIGKILL, and the claim is released when the container has ended. */
const planStop = (draft: Draft, it: JobInPlan): void => {
  const { state, now } = draft;
  const { job, record, template, current, instance } = it;
  if (!state.listed.instances || !state.dockerUp) return;
  if (instance) {
    draft.emit({ do: 'deregister', job, key: instance.key });
    return;
  }
  // A registration under way is waited for: stopped now, the job would be registered after its SIGTERM, and not drained.
  if (draft.isBusy(`container:${job}`) || draft.isBusy(`instance:${job}`)) return;
  if (!current || !isRunning(current)) {
    // Its lease goes first: nobody would give it back afterwards.
    if (isSingleton(template, current) && hasLease(state, it)) return;
    draft.emit({ do: 'release', job });
    return;
  }
  // After a restart of the agent in the middle of a drain the revision of the withdrawal is lost: the cap remains.
  const interrupted = record.adopted && it.reported?.state === 'stopping';
  const withdrawn =
    record.withdrawn ?? (interrupted ? { revision: undefined, at: state.bootedAt } : undefined);
  if (withdrawn && record.termAt === undefined && now.mono < withdrawn.at + drainCapMs) {
    const known = state.listed.consumers;
    if (!known || !isDrained(state.consumers, template?.service?.name, job, withdrawn.revision)) {
      draft.wake(withdrawn.at + drainCapMs);
      return;
    }
  }
  const signal = signalDue(draft, it);
  if (signal) draft.emit({ do: 'signal', job, container: current.id, signal });
};

const signalDue = (draft: Draft, { record, template }: JobInPlan): 'SIGTERM' | 'SIGKILL' | undefined => {
  if (record.termAt === undefined) return 'SIGTERM';
  const killAt =
    record.killAt === undefined
      ? record.termAt + (template?.stopTimeoutMs ?? defaultStopTimeoutMs)
      : record.killAt + killAgainMs;
  if (killAt <= draft.now.mono) return 'SIGKILL';
  draft.wake(killAt);
  return undefined;
};

// Whether a job can be attached to now: read off the agent's state. Pure.
import { keys } from '../../api/keys.js';
import { waitsForAttach } from './attach-wait.js';
import { isOver, startsOnce } from './restart.js';
import { isExamined } from './status.js';
import { currentOf, isRunning, type HostState, type JobRecord, type SeenContainer } from './state.js';

/** What an attach finds. */
export type AttachPhase =
  /** No claim of that name is known here; it may be on its way. */
  | { at: 'unknown' }
  /** Its image or its container is being made. */
  | { at: 'preparing' }
  /** Its container is created and not started. */
  | { at: 'waiting'; container: string }
  | { at: 'running'; container: string }
  /** It will not run again; `code` is null when its process never ran. */
  | { at: 'ended'; code: number | null; reason: string };

/** The phase of a job for one who wants to attach to it. */
export const attachPhase = (state: HostState, job: string): AttachPhase => {
  const claim = state.claims.get(keys.claim(state.host.name, job))?.value;
  const record = state.jobs.get(job);
  if (!claim || !record || record.released) return { at: 'unknown' };
  const template = state.templates.get(claim.t);
  const current = currentOf(state, job);
  if (state.busy.has(`container:${job}`)) return { at: 'preparing' };
  if (current && isRunning(current)) return { at: 'running', container: current.id };
  if (claim.w === 'stop') return { at: 'ended', code: null, reason: 'it is being stopped' };
  if (!template) return { at: 'preparing' };
  if (current && waitsForAttach(template, current)) return { at: 'waiting', container: current.id };
  const reported = state.statuses.get(keys.status(state.host.name, job))?.value.state;
  const final = startsOnce(template) || isOver(template, record.exit, reported);
  return final ? endOf(state, record, current) : { at: 'preparing' };
};

const endOf = (state: HostState, record: JobRecord, current: SeenContainer | undefined): AttachPhase => {
  const { exit } = record;
  if (exit && (current ? isExamined(record, current) : record.starts > 0)) {
    return { at: 'ended', code: exit.code, reason: exit.reason };
  }
  const reported = state.statuses.get(keys.status(state.host.name, record.job))?.value;
  if (!current && (reported?.state === 'done' || reported?.state === 'failed')) {
    return { at: 'ended', code: reported.exitCode, reason: reported.reason ?? 'its container is gone' };
  }
  return { at: 'preparing' };
};

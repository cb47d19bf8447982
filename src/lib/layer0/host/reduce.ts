// What changes the agent's state: news from Docker, the store and the checks, and the outcomes of actions.
import { keys } from '../../api/keys.js';
import type { Instance } from '../../api/grid.js';
import { nextAttempts, restartDelay, retryDelay } from './backoff.js';
import { exitReason } from './exit.js';
import {
  currentOf,
  isRunning,
  newRecord,
  type Details,
  type HostState,
  type JobRecord,
  type Now,
  type SeenContainer,
  type Verdict,
} from './state.js';

/** Makes records for new claims, drops those of claims that are gone, and takes notice of replaced containers. */
export const syncRecords = (state: HostState): void => {
  const prefix = keys.claimsAt(state.host.name);
  const claimed = new Set<string>();
  for (const [key] of state.claims.entries()) {
    const job = key.slice(prefix.length);
    claimed.add(job);
    if (!state.jobs.has(job)) state.jobs.set(job, newRecord(job));
  }
  for (const job of [...state.jobs.keys()]) if (!claimed.has(job)) state.jobs.delete(job);
  const newest = new Map<string, SeenContainer>();
  for (const c of state.containers.values()) {
    if (c.name === `flynn-${c.job}`) newest.set(c.job, c);
    const record = state.jobs.get(c.job);
    if (record) record.starts = Math.max(record.starts, c.starts);
  }
  for (const record of state.jobs.values()) {
    const status = state.statuses.get(keys.status(state.host.name, record.job));
    record.starts = Math.max(record.starts, status?.value.starts ?? 0);
    follow(record, newest.get(record.job));
  }
};

/** A container that this record does not know was there before us, or was made by a call whose answer we lost. */
const follow = (record: JobRecord, current: SeenContainer | undefined): void => {
  if (record.container === current?.id) return;
  record.container = current?.id;
  record.verdict = 'unknown';
  record.upSince = undefined;
  record.adopted = isRunning(current);
  if (current) record.attempts = Math.max(record.attempts, current.attempts);
};

/**
 * Takes over a list of all our containers that was asked for at mono time `askedAt`.
 * What we touched after that is left as it is: the list may be older than our action.
 */
export const containersListed = (state: HostState, list: SeenContainer[], askedAt: number): void => {
  state.dockerUp = true;
  const present = new Set(list.map((c) => c.id));
  for (const [id, known] of state.containers) {
    if (!present.has(id) && known.touched < askedAt) state.containers.delete(id);
  }
  for (const seen of list) {
    const known = state.containers.get(seen.id);
    if (known && known.touched >= askedAt) continue;
    const same = known?.state === seen.state;
    state.containers.set(seen.id, {
      ...seen,
      ...(known?.oomHint ? { oomHint: true } : {}),
      ...(same && known.details ? { details: known.details } : {}),
    });
  }
  for (const id of [...state.adopted]) if (!state.containers.has(id)) state.adopted.delete(id);
  syncRecords(state);
};

/** Docker told that a container ended. True when it is one that we thought was running. */
export const containerDied = (state: HostState, id: string, now: Now): boolean => {
  const container = state.containers.get(id);
  if (!container || !isRunning(container)) return false;
  state.containers.set(id, { ...container, state: 'exited', details: undefined, touched: now.mono });
  return true;
};

/** An inspection's outcome. The end of a job's present container is booked once. */
export const inspected = (
  state: HostState,
  id: string,
  found: { state: SeenContainer['state']; details: Details },
  now: Now,
): void => {
  const known = state.containers.get(id);
  if (!known) return;
  const container = { ...known, state: found.state, details: found.details, touched: now.mono };
  state.containers.set(id, container);
  const record = state.jobs.get(known.job);
  if (!record || isRunning(container) || currentOf(state, known.job)?.id !== id) return;
  if (record.exit?.container === id) return;
  const claim = state.claims.get(keys.claim(state.host.name, known.job))?.value;
  const { code, reason } = exitReason(found.details, {
    oomHint: known.oomHint === true,
    limitMiB: claim?.m,
    template: claim && state.templates.get(claim.t),
  });
  const why = record.fenced ? 'ended: its lease could not be renewed' : reason;
  bookEnd(record, { container: id, code, reason: why, tail: found.details.tail }, now);
};

const bookEnd = (record: JobRecord, exit: NonNullable<JobRecord['exit']>, now: Now): void => {
  const upMs = record.upSince === undefined ? undefined : now.mono - record.upSince;
  record.attempts = nextAttempts(record.attempts, upMs);
  const delay = restartDelay(record.attempts);
  record.restartAt = { mono: now.mono + delay, wall: now.wall + delay };
  record.exit = exit;
  // The next process has a lease of its own, and its own end.
  if (record.fenced)
    Object.assign(record, { fenced: undefined, lease: undefined, termAt: undefined, killAt: undefined });
  record.verdict = 'unknown';
  record.upSince = undefined;
  record.adopted = false;
  record.problem = undefined;
};

/** A container was created and started. */
export const started = (
  state: HostState,
  container: SeenContainer,
  retired?: { id: string; name: string },
): void => {
  if (retired) renamed(state, retired.id, retired.name, container.touched);
  state.containers.set(container.id, container);
  const record = state.jobs.get(container.job);
  if (!record) return;
  record.container = container.id;
  record.starts = Math.max(record.starts, container.starts);
  record.verdict = 'unknown';
  record.upSince = undefined;
  record.problem = undefined;
  record.adopted = false;
  record.restartAt = undefined;
  record.imageMissing = false;
  record.waitSince = container.state === 'created' ? container.touched : undefined;
};

/** An attach has started the container that waited for it; without details it has ended already. */
export const attachStarted = (state: HostState, id: string, details: Details | undefined, now: Now): void => {
  if (details) return inspected(state, id, { state: 'running', details }, now);
  const known = state.containers.get(id);
  if (known) state.containers.set(id, { ...known, state: 'exited', details: undefined, touched: now.mono });
};

/** A container that waited for its attach is removed without having run: its job has failed. */
export const neverStarted = (state: HostState, id: string, reason: string, now: Now): void => {
  const record = state.jobs.get(state.containers.get(id)?.job ?? '');
  containerGone(state, id);
  if (record) bookEnd(record, { code: null, reason, tail: [] }, now);
};

/** The ended container has given up its name. */
export const renamed = (state: HostState, id: string, name: string, mono: number): void => {
  const old = state.containers.get(id);
  if (!old) return;
  state.containers.set(id, { ...old, name, touched: mono });
  const record = state.jobs.get(old.job);
  if (record?.container === id) record.container = undefined;
};

/** No container came into being: counts like an end, so that it backs off and is seen. */
export const startFailed = (state: HostState, job: string, reason: string, now: Now): void => {
  const record = state.jobs.get(job);
  if (!record) return;
  record.starts += 1;
  bookEnd(record, { code: null, reason, tail: [] }, now);
};

/** The image of a job turned out not to be here. */
export const imageMissing = (state: HostState, job: string): void => {
  const record = state.jobs.get(job);
  if (record) record.imageMissing = true;
};

/** A pull ended: with a reason, it failed. */
export const pulled = (state: HostState, image: string, failure: string | undefined, now: Now): void => {
  const prefix = keys.claimsAt(state.host.name);
  for (const [key, { value: claim }] of state.claims.entries()) {
    const record = state.jobs.get(key.slice(prefix.length));
    if (!record?.imageMissing || state.templates.get(claim.t)?.image !== image) continue;
    if (failure === undefined) record.imageMissing = false;
    else startFailed(state, record.job, failure, now);
  }
};

/** A signal was sent. */
export const signalled = (
  state: HostState,
  job: string,
  signal: 'SIGTERM' | 'SIGKILL',
  now: Now,
  fence = false,
): void => {
  const record = state.jobs.get(job);
  if (!record) return;
  if (fence) record.fenced = true;
  if (signal === 'SIGTERM') record.termAt = now.mono;
  else record.killAt = now.mono;
};

/** A container is gone. */
export const containerGone = (state: HostState, id: string): void => {
  state.containers.delete(id);
  syncRecords(state);
};

/** A check's verdict on the container of a job. */
export const judged = (
  state: HostState,
  job: string,
  container: string,
  verdict: Verdict,
  problem: string | undefined,
  now: Now,
): void => {
  const record = state.jobs.get(job);
  if (!record || record.container !== container) return;
  record.verdict = verdict;
  record.problem = verdict === 'up' ? undefined : problem;
  if (verdict === 'up') record.upSince ??= now.mono;
  else record.upSince = undefined;
};

/** An instance record was written, by us or as the informer tells. */
export const instancePut = (state: HostState, key: string, instance: Instance, revision: number): void => {
  state.instances.put(key, instance, revision);
};

/** An instance record is gone, whoever deleted it: its consumers have to let go of it before the job is stopped. */
export const instanceGone = (
  state: HostState,
  key: string,
  revision: number,
  now: Now,
  byOther = false,
): void => {
  if (!state.instances.remove(key, revision)) return;
  const record = state.jobs.get(key.slice(key.lastIndexOf('/') + 1));
  if (record) record.withdrawn = { revision, at: now.mono, ...(byOther ? { byOther } : {}) };
};

/** The claim was released; the informer will tell. */
export const released = (state: HostState, job: string): void => {
  const record = state.jobs.get(job);
  if (record) record.released = true;
};

/** Remembers that an action failed: it is left alone for a while. */
export const actionFailed = (
  state: HostState,
  key: string,
  error: string,
  now: Now,
  random: number,
): void => {
  const failures = (state.retry.get(key)?.failures ?? 0) + 1;
  state.retry.set(key, { failures, at: now.mono + retryDelay(failures, random), error });
};

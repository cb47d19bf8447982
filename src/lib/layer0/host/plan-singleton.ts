// The plan for a job of which the grid may run one: its lease, its turn, and its end when the lease cannot be renewed.
import { keys } from '../../api/keys.js';
import type { Claim, JobTemplate } from '../../api/job.js';
import type { Draft } from './draft.js';
import type { JobInPlan } from './plan-job.js';
import { isOver } from './restart.js';
import { isRunning, type HostState, type JobRecord, type Lease, type SeenContainer } from './state.js';

/** RULES, "singleton": the lease in the store, and when the process is told to end and killed after the last renewal was sent. */
export const leaseSeconds = 20;
const termAfterMs = 10_000;
const killAfterMs = 17_000;
/** The store may count a little faster than we do: whoever is next waits this long after the lease before it is gone. */
const startAfterMs = 3_000;
const renewEveryMs = 4_000;
/** After a restart of the agent nobody knows when the lease was last renewed: it is found again in this time, or not. */
const adoptWithinMs = 2_000;
/** From SIGTERM to SIGKILL where no later moment is known to be safe. */
const shortGraceMs = 2_000;
const killAgainMs = 5_000;

/** What there may be one of. */
export const singletonName = (template: Pick<JobTemplate, 'singleton'>, claim: Pick<Claim, 'o'>): string =>
  template.singleton?.name ?? claim.o;

/** Whether the job is one; a container says so itself while its template is not known. */
export const isSingleton = (
  template: Pick<JobTemplate, 'kind'> | undefined,
  current: Pick<SeenContainer, 'epoch'> | undefined,
): boolean => template?.kind === 'singleton' || current?.epoch !== undefined;

/** Whether the lease may be relied on: not told to be gone, and renewed less than 10 s ago. */
export const isHeld = (lease: Lease | undefined, mono: number): lease is Lease =>
  lease !== undefined && lease.lostAt === undefined && mono < lease.sentAt + termAfterMs;

/** Keeps the lease of a job. True while its container is being ended because it has none: nothing else is planned then. */
export const planLease = (draft: Draft, it: JobInPlan, stopping: boolean): boolean => {
  if (isRunning(it.current)) return keepOrEnd(draft, it);
  const { record, template, claim, reported } = it;
  const over = template !== undefined && isOver(template, record.exit, reported?.state);
  if (stopping || over) close(draft, it);
  else if (isHeld(record.lease, draft.now.mono)) renew(draft, it, record.lease);
  else if (claim.w === 'run' && template) open(draft, it, template);
  return false;
};

/** Whether it is the job's turn to start. */
export const mayTakeOver = (draft: Draft, record: JobRecord): boolean => {
  const { lease } = record;
  if (!isHeld(lease, draft.now.mono) || lease.firstSince === undefined) return false;
  const at = lease.firstSince + startAfterMs;
  if (at > draft.now.mono) draft.wake(at);
  return at <= draft.now.mono;
};

/** Whether the job has a lease, or a key of an earlier life, that must go before its claim does. */
export const hasLease = (state: HostState, { job, record }: Pick<JobInPlan, 'job' | 'record'>): boolean =>
  record.lease !== undefined || state.singletons.has(keys.singleton(state.host.name, job));

/** The leases of the job: what it holds, and what its key in the store hangs on. */
const leasesOf = ({ state }: Draft, { job, record }: JobInPlan): string[] => {
  const key = state.singletons.get(keys.singleton(state.host.name, job));
  return [...new Set([record.lease?.id, key?.lease])].filter(
    (id) => id !== undefined && id !== '',
  ) as string[];
};

const close = (draft: Draft, it: JobInPlan): void => {
  if (hasLease(draft.state, it)) draft.emit({ do: 'lease-close', job: it.job, leases: leasesOf(draft, it) });
};

const open = (draft: Draft, it: JobInPlan, template: JobTemplate): void => {
  const { state } = draft;
  // Only what the store says now may have one; never what lies on the disk.
  if (state.claimsFrom !== 'store' || state.adoptMode || !state.listed.singletons || !state.dockerUp) return;
  // A container that was never started does no harm; whether another one ended has to be known.
  if (it.current && it.current.state !== 'created' && it.record.exit?.container !== it.current.id) return;
  const name = singletonName(template, it.claim);
  draft.emit({ do: 'lease-open', job: it.job, name, old: leasesOf(draft, it) });
};

const renew = (draft: Draft, { job }: JobInPlan, { id, sentAt, epoch }: Lease): void => {
  const at = sentAt + renewEveryMs;
  if (at <= draft.now.mono) draft.emit({ do: 'lease-renew', job, lease: id, epoch });
  draft.wake(Math.max(at, draft.now.mono + 1));
};

const keepOrEnd = (draft: Draft, it: JobInPlan): boolean => {
  const { state, now } = draft;
  const { job, record, current } = it;
  const { lease } = record;
  if (lease && lease.epoch === current?.epoch) {
    if (isHeld(lease, now.mono)) {
      renew(draft, it, lease);
      draft.wake(lease.sentAt + termAfterMs);
      return false;
    }
  } else if (!lease && now.mono < state.bootedAt + adoptWithinMs) {
    // It ran before this agent did. The key with the lease is in the store, or it is not.
    const key = state.singletons.get(keys.singleton(state.host.name, job));
    if (key?.lease && key.epoch === current?.epoch)
      draft.emit({ do: 'lease-renew', job, lease: key.lease, epoch: key.epoch });
    if (key?.epoch === current?.epoch || !state.listed.singletons) {
      draft.wake(state.bootedAt + adoptWithinMs);
      return false;
    }
  }
  end(draft, it);
  return true;
};

const end = (draft: Draft, { job, record, current }: JobInPlan): void => {
  const { now } = draft;
  if (!current || draft.isBusy(`container:${job}`)) return;
  if (record.termAt === undefined) {
    draft.emit({ do: 'signal', job, container: current.id, signal: 'SIGTERM', fence: true });
    return;
  }
  const short = record.termAt + shortGraceMs;
  const sent = record.lease && record.lease.epoch === current.epoch ? record.lease : undefined;
  const latest = sent ? sent.sentAt + killAfterMs : short;
  const first = sent && sent.lostAt === undefined ? latest : Math.min(short, latest);
  const at = record.killAt === undefined ? first : record.killAt + killAgainMs;
  if (at <= now.mono)
    draft.emit({ do: 'signal', job, container: current.id, signal: 'SIGKILL', fence: true });
  else draft.wake(at);
};

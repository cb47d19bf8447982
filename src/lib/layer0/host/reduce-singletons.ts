// What changes the agent's knowledge of singletons: keys in the store, and the leases of its own.
import { keys } from '../../api/keys.js';
import { syncRecords } from './reduce.js';
import type { HostState, Lease, Now, SeenSingleton } from './state.js';

/** A key in the store came, changed or went. */
export const singletonSeen = (state: HostState, key: string, seen: SeenSingleton | undefined): void => {
  if (seen) state.singletons.set(key, seen);
  else state.singletons.delete(key);
};

/**
 * Notices which of our leases are first in their line. Our own key being seen says that every key made before it was
 * seen too; those made later have a higher revision, so first stays first.
 */
export const noticeTurns = (state: HostState, now: Now): void => {
  syncRecords(state);
  for (const { job, lease } of state.jobs.values()) {
    if (!lease) continue;
    const own = state.singletons.get(keys.singleton(state.host.name, job));
    const first =
      own?.epoch === lease.epoch &&
      ![...state.singletons.values()].some(({ name, epoch }) => name === own.name && epoch < own.epoch);
    if (first) lease.firstSince ??= now.mono;
    else delete lease.firstSince;
  }
};

/** A lease was had, for a key made at that revision. */
export const leaseOpened = (state: HostState, job: string, lease: Lease, now: Now): void => {
  const record = state.jobs.get(job);
  if (record) record.lease = lease;
  noticeTurns(state, now);
};

/** A lease was renewed by a call that was sent at that moment. */
export const leaseRenewed = (state: HostState, job: string, { id, epoch, sentAt }: Lease, now: Now): void => {
  const record = state.jobs.get(job);
  if (!record || record.fenced) return;
  if (record.lease?.id === id) record.lease.sentAt = Math.max(record.lease.sentAt, sentAt);
  else record.lease ??= { id, epoch, sentAt };
  noticeTurns(state, now);
};

/** The store says that the lease is gone. */
export const leaseGone = (state: HostState, job: string, id: string, now: Now): void => {
  const lease = state.jobs.get(job)?.lease;
  if (lease?.id === id) lease.lostAt ??= now.mono;
};

/** The lease was given back, and its key with it. */
export const leaseClosed = (state: HostState, job: string): void => {
  state.singletons.delete(keys.singleton(state.host.name, job));
  const record = state.jobs.get(job);
  if (record) record.lease = undefined;
};

// Carries out what the plan asks for about singletons' leases.
import { FlynnError, isFlynnError } from '../../api/errors.js';
import type { Singleton } from '../../api/job.js';
import { keys } from '../../api/keys.js';
import type { Action } from './actions.js';
import type { PerformDeps } from './perform.js';
import { leaseSeconds } from './plan-singleton.js';
import { leaseClosed, leaseGone, leaseOpened, leaseRenewed } from './reduce-singletons.js';
import type { Now } from './state.js';

type LeaseAction = Extract<Action, { do: 'lease-open' | 'lease-renew' | 'lease-close' }>;

const callMs = 1_000;

/** Carries out one of them. Throws when it has to be tried again. */
export const performLease = (deps: PerformDeps, action: LeaseAction, signal: AbortSignal): Promise<void> => {
  switch (action.do) {
    case 'lease-open':
      return open(deps, action, signal);
    case 'lease-renew':
      return renew(deps, action, signal);
    case 'lease-close':
      return close(deps, action, signal);
  }
};

const nowOf = ({ clock }: PerformDeps): Now => ({ mono: clock.mono(), wall: clock.now() });

const open = async (
  deps: PerformDeps,
  { job, name, old }: Extract<LeaseAction, { do: 'lease-open' }>,
  signal: AbortSignal,
): Promise<void> => {
  const { store, state, clock, log } = deps;
  const opts = { signal, timeoutMs: callMs };
  // A key that went on living would keep its revision, and the epoch with it.
  for (const lease of old) await store.revoke(lease, opts);
  const sentAt = clock.mono();
  const id = await store.grant(leaseSeconds, opts);
  const key = keys.singleton(state.host.name, job);
  const value: Singleton = { name };
  const { succeeded, revision } = await store.txn(
    {
      compare: [{ key, target: 'create', op: '=', value: 0 }],
      then: [{ op: 'put', key, value: JSON.stringify(value), lease: id }],
    },
    opts,
  );
  if (!succeeded) {
    await store.revoke(id, opts);
    throw new FlynnError({ code: 'conflict', message: `the key of singleton ${job} is there already` });
  }
  leaseOpened(state, job, { id, sentAt, epoch: revision }, nowOf(deps));
  log.info({ job, name, epoch: revision }, 'singleton has a lease, and waits for its turn');
};

const renew = async (
  deps: PerformDeps,
  { job, lease, epoch }: Extract<LeaseAction, { do: 'lease-renew' }>,
  signal: AbortSignal,
): Promise<void> => {
  const { store, state, clock, log } = deps;
  const sentAt = clock.mono();
  try {
    await store.keepAliveOnce(lease, { signal, timeoutMs: callMs });
    leaseRenewed(state, job, { id: lease, epoch, sentAt }, nowOf(deps));
  } catch (error) {
    if (!isFlynnError(error, 'not_found')) throw error;
    log.warn({ job, lease }, 'the lease of a singleton is gone from the store');
    leaseGone(state, job, lease, nowOf(deps));
  }
};

const close = async (
  { store, state }: PerformDeps,
  { job, leases }: Extract<LeaseAction, { do: 'lease-close' }>,
  signal: AbortSignal,
): Promise<void> => {
  for (const lease of leases) await store.revoke(lease, { signal, timeoutMs: callMs });
  leaseClosed(state, job);
};

// The agent's plan: what is claimed, what runs and what is known, in; the next steps, out. Pure.
import { keys } from '../../api/keys.js';
import { Draft, type Plan } from './draft.js';
import { planJob, type JobInPlan, type StartAction } from './plan-job.js';
import { planDead, planOmnis, planUnclaimed, planVolumes } from './plan-world.js';
import { claimsByJob, currentByJob, instancesByJob, type HostState, type Now } from './state.js';

/** Containers that are created and started at the same time, at most. */
export const maxStarts = 4;

/**
 * The steps that are due. Carried out, and asked again of the unchanged world, there are none.
 * Nothing is stopped but on a claim, read from the store, that says stop; nothing at all is done about containers
 * before Docker has listed them.
 */
export const planHost = (state: HostState, now: Now): Plan => {
  const draft = new Draft(state, now);
  if (state.claimsFrom === 'none') return draft;
  const claims = claimsByJob(state);
  const current = currentByJob(state);
  const instances = instancesByJob(state);

  const starts: StartAction[] = [];
  for (const [job, claim] of claims) {
    const record = state.jobs.get(job);
    if (!record) continue;
    const it: JobInPlan = {
      job,
      claim,
      record,
      template: state.templates.get(claim.t),
      current: current.get(job),
      instance: instances.get(job),
      reported: state.statuses.get(keys.status(state.host.name, job))?.value,
    };
    const start = planJob(draft, it);
    if (start) starts.push(start);
  }
  emitStarts(draft, starts);
  planOmnis(draft, claims);
  planUnclaimed(draft, claims, current, instances);
  planDead(draft, claims);
  planVolumes(draft);
  return draft;
};

/** System jobs first, omni jobs in their own order, then the oldest; as many as the limit lets. */
const emitStarts = (draft: Draft, starts: StartAction[]): void => {
  const { state } = draft;
  const orderOf = (start: StartAction): number =>
    (start.template.priority === 'system' ? 0 : 1_000_000) +
    (state.omnis.get(start.claim.o.replace(/^omni\//, ''))?.order ?? 100);
  const sorted = starts
    .map((start) => ({ start, order: orderOf(start) }))
    .sort((a, b) => a.order - b.order || (a.start.job < b.start.job ? -1 : 1));
  let room = maxStarts - [...state.busy.values()].filter((what) => what === 'start').length;
  for (const { start } of sorted) {
    if (room <= 0) return;
    if (draft.emit(start)) room -= 1;
  }
};

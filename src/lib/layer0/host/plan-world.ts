// The plan for what has no claim: omni jobs still to be claimed, containers nobody claims, and dead ones.
import type { Claim } from '../../api/job.js';
import type { Instance } from '../../api/grid.js';
import { keys } from '../../api/keys.js';
import type { Draft } from './draft.js';
import { containerName, isRunning, type SeenContainer } from './state.js';

/** Dead containers kept per app on this host, for their logs (RULES, "kept"). */
export const deadKept = 25;

/** Claims the omni jobs of this host that have no claim, the lowest order first, one at a time. */
export const planOmnis = (draft: Draft, claims: ReadonlyMap<string, Claim>): void => {
  const { state } = draft;
  if (state.claimsFrom !== 'store' || !state.listed.omnis || state.adoptMode) return;
  const owners = new Set([...claims.values()].map((claim) => claim.o));
  const missing = [...state.omnis.values()]
    .filter((omni) => omni.on === 'all' || state.host.control)
    .filter((omni) => !owners.has(`omni/${omni.name}`))
    .sort((a, b) => a.order - b.order || (a.name < b.name ? -1 : 1));
  for (const { name, template: hash } of missing) {
    const template = state.templates.get(hash);
    if (template) draft.emit({ do: 'claim-omni', name, hash, template });
    else draft.emit({ do: 'template', hash });
  }
};

/** Reports containers that run without a claim, and clears what is left of jobs that are no more. Stops nothing. */
export const planUnclaimed = (
  draft: Draft,
  claims: ReadonlyMap<string, Claim>,
  current: ReadonlyMap<string, SeenContainer>,
  instances: ReadonlyMap<string, { key: string; value: Instance }>,
): void => {
  const { state } = draft;
  if (state.claimsFrom !== 'store' || !state.dockerUp) return;
  for (const container of state.containers.values()) {
    if (claims.has(container.job) || !isRunning(container) || state.adopted.has(container.id)) continue;
    draft.emit({ do: 'adopt', job: container.job, container: container.id });
  }
  const abandoned = (job: string): boolean => !claims.has(job) && !isRunning(current.get(job));
  if (state.listed.instances) {
    for (const [job, { key }] of instances) if (abandoned(job)) draft.emit({ do: 'deregister', job, key });
  }
  if (!state.listed.statuses) return;
  const prefix = keys.statusAt(state.host.name);
  for (const [key] of state.statuses.entries()) {
    const job = key.slice(prefix.length);
    if (abandoned(job)) draft.emit({ do: 'forget', job });
  }
};

/** Records the volumes that are on this host and that the store does not know. */
export const planVolumes = (draft: Draft): void => {
  const { state } = draft;
  if (state.claimsFrom !== 'store' || !state.listed.volumes || !state.volumesListed) return;
  for (const record of state.volumes.values()) {
    const known = state.volumeRecords.get(keys.volume(state.host.name, record.name));
    // One that is being restored may yet fail, and be removed.
    if (!known && !state.volumesBusy.has(record.name)) draft.emit({ do: 'record-volume', record });
  }
};

/** App (or omni job) that a container's owner names: its first two parts. */
const groupOf = (owner: string): string => owner.split('/').slice(0, 2).join('/');

/** Collects the oldest dead containers of every app that has more than are kept. */
export const planDead = (draft: Draft, claims: ReadonlyMap<string, Claim>): void => {
  const { state } = draft;
  if (state.claimsFrom !== 'store' || !state.dockerUp || state.containers.size <= deadKept) return;
  const groups = new Map<string, SeenContainer[]>();
  for (const container of state.containers.values()) {
    if (isRunning(container) || container.state === 'removing') continue;
    if (container.name === containerName(container.job) && claims.has(container.job)) continue;
    const group = groupOf(container.owner);
    groups.set(group, [...(groups.get(group) ?? []), container]);
  }
  for (const dead of groups.values()) {
    if (dead.length <= deadKept) continue;
    dead.sort((a, b) => a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1));
    for (const { job, id } of dead.slice(0, dead.length - deadKept)) {
      draft.emit({ do: 'collect', job, container: id });
    }
  }
};

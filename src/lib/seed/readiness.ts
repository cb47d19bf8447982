// What is missing until a grid is up: agents that gave no sign of life, omni jobs that are not up. Pure.
import { HostInfo, OmniJob } from '../api/grid.js';
import { Claim, JobStatus } from '../api/job.js';
import { keys, partsAfter } from '../api/keys.js';
import type { Entry } from '../store/port.js';
import type { Pending } from './protocol.js';

/** Entries of the prefixes that readiness is read from. */
export interface GridEntries {
  hosts: readonly Entry[];
  omnis: readonly Entry[];
  claims: readonly Entry[];
  statuses: readonly Entry[];
}

/** What is not up yet (on `only` these hosts), in the order of hosts and of first start; `of` counts all that should be. */
export function readiness(
  entries: GridEntries,
  only?: readonly string[],
): { pending: Pending[]; of: number } {
  const infos = entries.hosts
    .filter((entry) => entry.key.endsWith('/info'))
    .map((entry) => HostInfo.parse(JSON.parse(entry.value)))
    .filter((info) => only === undefined || only.includes(info.name));
  const alive = new Set(
    entries.hosts
      .filter((entry) => entry.key.endsWith('/lease'))
      .map((entry) => partsAfter(keys.hosts, entry.key)[0]),
  );
  const omnis = entries.omnis
    .map((entry) => OmniJob.parse(JSON.parse(entry.value)))
    .sort((a, b) => a.order - b.order);
  const pending: Pending[] = [];
  let of = 0;
  for (const info of infos) {
    of += 1;
    if (!alive.has(info.name)) pending.push({ host: info.name, job: 'agent', state: 'silent' });
    for (const omni of omnis) {
      if (omni.on === 'control' && !info.roles.includes('control')) continue;
      of += 1;
      const missing = jobPending(info.name, omni, entries);
      if (missing) pending.push(missing);
    }
  }
  return { pending, of };
}

function jobPending(host: string, omni: OmniJob, entries: GridEntries): Pending | undefined {
  const owner = `omni/${omni.name}`;
  const statuses = entries.statuses
    .filter((entry) => entry.key.startsWith(keys.statusAt(host)))
    .map((entry) => JobStatus.safeParse(JSON.parse(entry.value)))
    .flatMap((parsed) => (parsed.success && parsed.data.owner === owner ? [parsed.data] : []));
  // After an upgrade an old job may still be stopping beside the new one.
  const status = statuses.find((s) => s.state === 'up') ?? statuses.sort((a, b) => b.since - a.since)[0];
  if (status?.state === 'up') return undefined;
  if (status) {
    return {
      host,
      job: omni.name,
      state: status.state,
      ...(status.reason ? { reason: status.reason } : {}),
      ...(status.tail ? { tail: status.tail } : {}),
    };
  }
  const claimed = entries.claims.some(
    (entry) =>
      entry.key.startsWith(keys.claimsAt(host)) && Claim.safeParse(JSON.parse(entry.value)).data?.o === owner,
  );
  return { host, job: omni.name, state: claimed ? 'claimed' : 'absent' };
}

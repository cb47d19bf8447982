// What an agent says about its host and itself, and which dependency is broken.
import { z } from 'zod';
import { JobView } from '../../api/job.js';
import { keys } from '../../api/keys.js';
import type { HostAgent } from './agent.js';
import { claimsByJob, isRunning, type HostState } from './state.js';

/** `GET /v1/facts` of an agent. */
export const HostFacts = z.object({
  host: z.string(),
  address: z.string(),
  claimsFrom: z.enum(['none', 'disk', 'store']),
  /** The store was restored or emptied: nothing is stopped. */
  adoptMode: z.boolean(),
  docker: z.enum(['ok', 'unreachable']),
  /** ms since the store last confirmed the claims; null before the first list. */
  storeAgeMs: z.number().nullable(),
  jobs: z.number().int(),
  running: z.number().int(),
  /** Containers that run without a claim: reported, never stopped. */
  unclaimed: z.array(z.object({ job: z.string(), container: z.string() })),
  /** Actions that fail at present. */
  failing: z.array(z.object({ action: z.string(), failures: z.number().int(), error: z.string() })),
  /** `ok`, or what is wrong with the firewall; `none` where the agent keeps none. */
  firewall: z.string(),
});
export type HostFacts = z.infer<typeof HostFacts>;

/** `GET /healthz` of an agent: `ok` when no dependency is broken, otherwise what is wrong with which. */
export const AgentHealth = z.object({
  ok: z.boolean(),
  docker: z.string(),
  store: z.string(),
  firewall: z.string(),
});
export type AgentHealth = z.infer<typeof AgentHealth>;

const staleMs = 20_000;

const storeAge = (agent: HostAgent): number => agent.feeds?.claims.stale() ?? Number.POSITIVE_INFINITY;

const firewall = ({ deps }: HostAgent): string =>
  deps.firewall ? (deps.firewall.problem() ?? 'ok') : 'none';

/** The facts now. */
export const factsOf = (agent: HostAgent): HostFacts => {
  const { state } = agent.deps;
  const age = storeAge(agent);
  const containers = [...state.containers.values()];
  return {
    host: state.host.name,
    address: state.host.address,
    claimsFrom: state.claimsFrom,
    adoptMode: state.adoptMode,
    docker: state.dockerUp ? 'ok' : 'unreachable',
    storeAgeMs: Number.isFinite(age) ? Math.round(age) : null,
    jobs: [...state.claims.entries()].length,
    running: containers.filter(isRunning).length,
    unclaimed: containers
      .filter((c) => state.adopted.has(c.id))
      .map(({ job, id }) => ({ job, container: id })),
    failing: [...state.retry]
      .slice(0, 100)
      .map(([action, { failures, error }]) => ({ action, failures, error })),
    firewall: firewall(agent),
  };
};

/** Which dependency is broken. */
export const healthOf = (agent: HostAgent): AgentHealth => {
  const age = storeAge(agent);
  const docker = agent.deps.state.dockerUp ? 'ok' : 'docker does not answer';
  const store =
    age <= staleMs
      ? 'ok'
      : Number.isFinite(age)
        ? `etcd was last heard ${Math.round(age / 1000)} s ago`
        : 'etcd was never heard';
  const guard = firewall(agent);
  const ok = docker === 'ok' && store === 'ok' && (guard === 'ok' || guard === 'none');
  return { ok, docker, store, firewall: guard };
};

/** The jobs of this host with claim and status. */
export const jobViews = (state: HostState): JobView[] =>
  [...claimsByJob(state)].map(([id, claim]) => {
    const status = state.statuses.get(keys.status(state.host.name, id))?.value;
    return { id, host: state.host.name, claim, ...(status ? { status } : {}) };
  });

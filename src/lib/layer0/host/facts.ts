// What an agent says about its host and itself, and which dependency is broken.
import type { JobView } from '../../api/job.js';
import { keys } from '../../api/keys.js';
import type { HostAgent } from './agent.js';
import type { AgentHealth, HostFacts } from './shapes.js';
import { claimsByJob, isRunning, type HostState } from './state.js';

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

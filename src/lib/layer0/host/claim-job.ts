// Jobs put and stopped over the agent's API: claims through Sampi's transaction, like everybody's.
import { FlynnError } from '../../api/errors.js';
import { Claim, type JobTemplate, type JobTemplateInput } from '../../api/job.js';
import { keys } from '../../api/keys.js';
import { hostOfJob } from '../../api/names.js';
import type { HostChange, HostOutcome, Rejection } from '../../api/sampi.js';
import { ulid } from '../../util/ulid.js';
import type { HostAgent } from './agent.js';
import { claimablePorts } from './ports.js';
import type { JobDetail, PutJob } from './shapes.js';

/** Writes a template to the store; hosts themselves may not. */
export type PutTemplate = (input: JobTemplateInput) => Promise<{ hash: string; template: JobTemplate }>;

type ChangeInput = { claims?: unknown[]; want?: HostChange['want'] };

/**
 * Claims a job for this host. The same call again answers the same. Throws `conflict` when another job has the id or
 * had it, `no_capacity` when it does not fit, and what the store throws.
 */
export const claimJob = async (
  agent: HostAgent,
  putTemplate: PutTemplate,
  id: string,
  { template: input, owner, wrappedKey }: PutJob,
): Promise<JobDetail> => {
  const { state, store } = agent.deps;
  const host = state.host.name;
  if (hostOfJob(id) !== host) {
    throw new FlynnError({
      code: 'invalid',
      message: `job ${id} is none of host ${host}: its id begins with the name of its host`,
    });
  }
  const key = keys.claim(host, id);
  if (!state.claims.get(key) && [...state.containers.values()].some(({ job }) => job === id)) {
    throw new FlynnError({
      code: 'conflict',
      message: `job ${id} was here and is over: a job runs under its id once`,
      hint: `flynn jobs:logs ${id}`,
    });
  }
  const { hash, template } = await putTemplate(input);
  const request = {
    job: id,
    template: hash,
    owner,
    resources: template.resources,
    ...claimablePorts(template),
    ...(wrappedKey ? { wrappedKey } : {}),
  };
  // Named after the job, so that a repeated call finds what the first one did.
  const { outcome, revision } = await change(agent, `put-${id.slice(-26)}`, { claims: [request] });
  let claim = outcome.claims[id];
  if (!outcome.ok) {
    if (outcome.rejection?.code !== 'exists') throw refused(id, outcome.rejection);
    // Another scheduler's transaction: an equal claim is as good as ours.
    const entry = await store.get(key);
    claim = entry && Claim.parse(JSON.parse(entry.value));
  }
  if (claim?.t !== hash || claim.o !== owner) {
    throw new FlynnError({
      code: 'conflict',
      message: `job ${id} exists, and is another one: owner ${claim?.o ?? 'unknown'}, template ${claim?.t ?? 'unknown'}`,
      hint: `flynn jobs:info ${id}`,
    });
  }
  state.templates.set(hash, template);
  if (revision > 0 && state.claimsFrom === 'store') state.claims.put(key, claim, revision);
  agent.kick();
  const status = state.statuses.get(keys.status(host, id))?.value;
  return { id, host, claim, template, ...(status ? { status } : {}) };
};

/** Has a job stopped. One that is over already is stopped; throws `not_found` for one that never was here. */
export const stopJob = async (agent: HostAgent, id: string): Promise<void> => {
  const { state, clock, rng } = agent.deps;
  const host = state.host.name;
  const known = state.claims.get(keys.claim(host, id))?.value;
  if (!known && state.claimsFrom === 'store') {
    if ([...state.containers.values()].some(({ job }) => job === id)) return;
    throw new FlynnError({
      code: 'not_found',
      message: `host ${host} has no job ${id}`,
      hint: 'flynn jobs',
    });
  }
  if (known?.o.startsWith('omni/')) {
    throw new FlynnError({
      code: 'conflict',
      message: `job ${id} is ${known.o}, which every host claims for itself: it would come back at once`,
      hint: `flynn jobs:signal ${id} SIGTERM   (restarts it)`,
    });
  }
  const { outcome, revision } = await change(agent, ulid(clock.now(), rng), {
    want: [{ job: id, want: 'stop' }],
  });
  if (!outcome.ok) throw refused(id, outcome.rejection);
  const claim = outcome.claims[id];
  if (claim && revision > 0) state.claims.put(keys.claim(host, id), claim, revision);
  agent.kick();
};

const change = async (
  agent: HostAgent,
  id: string,
  input: ChangeInput,
): Promise<{ outcome: HostOutcome; revision: number }> => {
  const { state, store, sampi, clock, rng } = agent.deps;
  const host = state.host.name;
  const answer = await sampi.transact(store, { id, hosts: { [host]: input as HostChange } }, { clock, rng });
  const outcome = answer.hosts[host];
  if (!outcome) throw new FlynnError({ code: 'internal', message: `no answer for host ${host}` });
  return { outcome, revision: answer.revision };
};

const refused = (id: string, rejection: Rejection | undefined): FlynnError =>
  new FlynnError({
    code: rejection?.code === 'cordoned' ? 'no_capacity' : (rejection?.code ?? 'conflict'),
    message: rejection?.message ?? `job ${id} is not claimed`,
    hint: 'flynn hosts',
  });

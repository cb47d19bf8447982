// Whether a healed cluster is as it should be: asked of the store, the engines and the proxies, not of our own records.
import { ownerOf, parseOwner, type App, type Formation, type Release } from '../../src/lib/api/app.js';
import { keys } from '../../src/lib/api/keys.js';
import type { Instance } from '../../src/lib/api/grid.js';
import type { Claim, JobStatus } from '../../src/lib/api/job.js';
import type { World } from './world.js';

/** What is not yet as it should be, in words; undefined when all is. */
export const unsettled = (world: World): string | undefined => {
  const read = <T>(prefix: string): [string, T][] =>
    world.etcd.mvcc.range(prefix).entries.map(({ key, value }) => [key, JSON.parse(value) as T]);
  const claims = new Map(read<Claim>(keys.claims).map(([key, claim]) => [lastPart(key), claim]));
  const statuses = new Map(read<JobStatus>(keys.statuses).map(([key, status]) => [lastPart(key), status]));
  const instances = new Map(
    read<Instance>(keys.instances).map(([key, value]) => [
      lastPart(key),
      { ...value, host: key.split('/')[1] ?? '' },
    ]),
  );
  const jobs = new Map<string, number>();
  for (const host of world.hosts.values())
    for (const { job } of host.docker.running.values()) jobs.set(job, (jobs.get(job) ?? 0) + 1);

  for (const [job, count] of jobs) {
    if (!claims.has(job)) return `a container of ${job} runs, which nobody claims`;
    if (count !== 1) return `${count} containers of ${job} run`;
  }
  const counts = new Map<string, number>();
  for (const [job, claim] of claims) {
    if (claim.w !== 'run') return `${job} still says ${claim.w}`;
    if (claim.o.startsWith('run/')) return `the one-off ${job} is still booked`;
    counts.set(claim.o, (counts.get(claim.o) ?? 0) + 1);
    if (!jobs.has(job)) return `${job} is booked and does not run`;
    const status = statuses.get(job);
    if (status?.state !== 'up')
      return `${job} is ${status?.state ?? 'not reported'} (${status?.reason ?? ''})`;
    const offers = !claim.o.endsWith('/worker');
    const instance = instances.get(job);
    if (offers && !instance) return `${job} is not registered`;
    if (instance && claim.p.length > 0 && !claim.p.includes(instance.port))
      return `${job} is registered at ${instance.port}, and has ${claim.p.join(' ')}`;
  }
  for (const job of instances.keys()) if (!claims.has(job)) return `${job} is registered and not booked`;

  const wanted = new Set<string>();
  for (const [, app] of read<App>(keys.apps)) {
    if (app.destroying) return `app ${app.name} is still being destroyed`;
    if (app.deployment !== undefined)
      return `release ${app.lastRelease} of ${app.name} is still being deployed`;
    if (app.release === undefined) continue;
    const release = JSON.parse(
      world.etcd.mvcc.get(keys.release(app.name, app.release))?.value ?? '{}',
    ) as Release;
    const formation = world.etcd.mvcc.get(keys.formation(app.name));
    const { processes } = JSON.parse(formation?.value ?? '{"processes":{}}') as Formation;
    for (const type of Object.keys(release.processes)) {
      const owner = ownerOf(app.name, app.release, type);
      wanted.add(owner);
      const count = counts.get(owner) ?? 0;
      if (count !== (processes[type] ?? 0)) return `${owner} has ${count} jobs of ${processes[type] ?? 0}`;
    }
  }
  for (const owner of counts.keys())
    if (parseOwner(owner) && !wanted.has(owner)) return `${owner} has jobs and should have none`;
  const hosts = [...world.registered()].length;
  if ((counts.get('omni/mon') ?? 0) !== hosts)
    return `omni/mon has ${counts.get('omni/mon') ?? 0} jobs of ${hosts}`;
  return routersLag(world, instances);
};

/** Every router serves exactly the registered instances of the services that it knows. */
const routersLag = (world: World, instances: ReadonlyMap<string, Instance>): string | undefined => {
  for (const host of world.hosts.values()) {
    if (host.removed) continue;
    const serving = new Set<string>();
    for (const { id, port } of host.proxy.serving()) {
      serving.add(id);
      if (instances.get(id)?.port !== port) return `the router of ${host.name} serves ${id} at ${port}`;
    }
    for (const [service, servers] of host.proxy.running.backends)
      for (const id of servers.keys())
        if (!serving.has(id)) return `the router of ${host.name} has ${id} of ${service} taken out`;
    if (!world.etcd.mvcc.get(keys.consumer('*', host.name)))
      return `the router of ${host.name} is no consumer`;
  }
  return undefined;
};

const lastPart = (key: string): string => key.slice(key.lastIndexOf('/') + 1);

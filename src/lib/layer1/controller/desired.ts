// What should run: an app's records turned into groups of jobs for the formation scheduler.
import { parseOwner, type App, type Deployment } from '../../api/app.js';
import { keys, partsAfter } from '../../api/keys.js';
import { seatOf, type Seat } from '../../layer0/index.js';
import type { HostWatch } from './hostwatch.js';
import { isFailed, isServing, type JobContext } from './jobs.js';
import { rollout, type Counts } from './deployments/plan.js';
import { needOf } from './releases.js';
import type { Group } from './schedulers/formations.js';
import type { JobRecord, Picture } from './state.js';

/** Counts by version and process type. */
export type Desired = Map<number, Counts>;

/** How to read an app's jobs on this copy. */
export function jobContext(picture: Picture, hosts: HostWatch, app: string): JobContext {
  const missing = hosts.missing();
  return {
    condition: (host) => hosts.condition(host),
    applied: (service) => picture.appliedBy(service, missing),
    release: (version) => picture.release(app, version),
  };
}

/** The deployment that an app's record names; undefined when there is none or its record has not come yet. */
export function deploymentOf(picture: Picture, app: App): Deployment | undefined {
  if (app.deployment === undefined) return undefined;
  return picture.records.deployments.get(keys.deployment(app.name, app.deployment))?.value;
}

/**
 * What should run of an app. Undefined when its records are not complete: then nothing is concluded.
 * The app's record alone says which release is current and which deployment is under way, so a picture whose
 * other parts are older or newer never makes a release look like a surplus.
 */
export function desiredOf(
  picture: Picture,
  app: App,
  jobs: readonly JobRecord[],
  context: JobContext,
): Desired | undefined {
  const desired: Desired = new Map();
  if (app.destroying) return desired;
  const formation = picture.formation(app.name);
  if (app.deployment === undefined) {
    if (app.release === undefined) return desired;
    const release = picture.release(app.name, app.release);
    if (!release) return undefined;
    return desired.set(app.release, pickTypes(formation, Object.keys(release.processes)));
  }
  const deployment = deploymentOf(picture, app);
  const to = deployment && picture.release(app.name, deployment.to);
  const from = app.release === undefined ? undefined : picture.release(app.name, app.release);
  if (!deployment || !to || (app.release !== undefined && !from)) return undefined;
  const ofNew = jobs.filter(({ version, claim }) => version === deployment.to && claim?.w === 'run');
  const counts = rollout({
    strategy: deployment.strategy,
    formation,
    from: from && Object.keys(from.processes),
    to: Object.keys(to.processes),
    serving: countTypes(ofNew.filter((job) => isServing(job, context))),
    booked: countTypes(ofNew),
    batch: Math.max(1, picture.hosts().size),
  });
  if (app.release !== undefined) desired.set(app.release, counts.from);
  return desired.set(deployment.to, counts.to);
}

/** Groups of an app: one for each type that should run or has jobs. Undefined when nothing may be concluded. */
export function groupsOf(
  picture: Picture,
  app: App,
  context: JobContext,
  failures: (app: string, version: number, type: string) => readonly number[],
): Group[] | undefined {
  const jobs = picture.jobs(app.name);
  const desired = desiredOf(picture, app, jobs, context);
  if (!desired) return undefined;
  const groups = new Map<string, Group & { jobs: Group['jobs'][number][] }>();
  const groupOf = (version: number, type: string) => {
    const key = `${version}/${type}`;
    const release = picture.release(app.name, version);
    const group = groups.get(key) ?? {
      app: app.name,
      version,
      type,
      desired: desired.get(version)?.[type] ?? 0,
      need: release ? needOf(release, type) : { m: 0, c: 0, ports: 0, fixed: [] },
      jobs: [],
      failures: failures(app.name, version, type),
    };
    groups.set(key, group);
    return group;
  };
  for (const [version, counts] of desired) {
    for (const type of Object.keys(counts)) groupOf(version, type);
  }
  for (const job of jobs) {
    if (!job.claim) continue;
    groupOf(job.version, job.type).jobs.push({
      id: job.id,
      host: job.host,
      want: job.claim.w,
      serving: isServing(job, context),
      failed: isFailed(job),
    });
  }
  return [...groups.values()];
}

/** Hosts as placement sees them; those that may not be used say why. */
export function seatsOf(picture: Picture, hosts: HostWatch): Seat[] {
  const seats: Seat[] = [];
  const registered = picture.hosts();
  // In a small grid every host gets every image.
  const images = registered.size > pulledEverywhere ? imagesByHost(picture) : undefined;
  for (const [name, { book }] of registered) {
    if (!book) continue;
    const memory = hosts.hosts().get(name);
    const seat = seatOf(name, book, memory?.usable ? undefined : closedBecause(memory?.condition));
    const on = images?.get(name);
    seats.push(on ? { ...seat, images: on } : seat);
  }
  return seats;
}

/** Up to that many hosts, images are pulled on all of them (PROTOCOLS, "Images"). */
const pulledEverywhere = 5;

/** Images of releases that jobs have been started from on each host. */
function imagesByHost(picture: Picture): Map<string, Set<string>> {
  const images = new Map<string, Set<string>>();
  for (const [key, { value }] of picture.records.statuses.items()) {
    const owner = value.starts > 0 ? parseOwner(value.owner) : undefined;
    const release = owner && picture.release(owner.app, owner.version);
    if (!release) continue;
    const [host = ''] = partsAfter(keys.statuses, key);
    const on = images.get(host) ?? new Set();
    images.set(host, on.add(release.image));
  }
  return images;
}

function closedBecause(condition: string | undefined): string {
  switch (condition) {
    case 'suspect':
      return 'does not answer';
    case 'lost':
      return 'is lost';
    case 'present':
      return 'has no agent right now';
    case 'away':
      return 'has no agent';
    default:
      return 'has not been seen yet';
  }
}

function pickTypes(formation: Counts, types: readonly string[]): Counts {
  return Object.fromEntries(types.map((type) => [type, formation[type] ?? 0]));
}

/** Number of jobs by process type. */
export function countTypes(jobs: readonly { type: string }[]): Counts {
  const counts: Counts = {};
  for (const { type } of jobs) counts[type] = (counts[type] ?? 0) + 1;
  return counts;
}

// An app's state as watchers see it: formation, jobs, deployment, whether it has converged, and what stands in the way.
import { serviceOf, type App, type AppState, type JobLine } from '../../api/app.js';
import type { Rng } from '../../util/rng.js';
import type { Clock } from '../../util/clock.js';
import { deploymentOf, groupsOf, jobContext, seatsOf } from './desired.js';
import type { HostWatch } from './hostwatch.js';
import { isServing, jobLines } from './jobs.js';
import { planFormations } from './schedulers/formations.js';
import type { Picture } from './state.js';

/** What the view is made from. */
export interface ViewPorts {
  picture: Picture;
  hosts: HostWatch;
  clock: Clock;
  rng: Rng;
}

/** The state of one app now, the same on every copy whose informers are up to date. */
export function appState(ports: ViewPorts, app: App): AppState {
  const { picture, hosts } = ports;
  const context = jobContext(picture, hosts, app.name);
  const jobs = picture.jobs(app.name);
  const lines = jobLines(jobs, context);
  const deployment = deploymentOf(picture, app) ?? picture.deployments(app.name).at(-1);
  const problem = problemOf(ports, app, lines);
  return {
    app,
    formation: picture.formation(app.name),
    jobs: lines,
    ...(deployment ? { deployment } : {}),
    converged: isConverged(ports, app),
    settled: isSettled(ports, app),
    ...(problem === undefined ? {} : { problem }),
  };
}

/** Counts match, all serve, nothing else runs on a host that is there, and no deployment is under way. */
export function isConverged({ picture, hosts }: ViewPorts, app: App): boolean {
  if (app.deployment !== undefined || app.destroying) return false;
  const context = jobContext(picture, hosts, app.name);
  const groups = groupsOf(picture, app, context, () => []);
  if (!groups) return false;
  const serving = new Set(
    picture
      .jobs(app.name)
      .filter((job) => isServing(job, context))
      .map(({ id }) => id),
  );
  return groups.every((group) => {
    const there = group.jobs.filter(({ host }) => {
      const condition = hosts.condition(host);
      return condition !== undefined && condition !== 'lost' && condition !== 'away';
    });
    return there.length === group.desired && there.every(({ id, want }) => want === 'run' && serving.has(id));
  });
}

/** The current release alone is registered, and every router has let go of what was withdrawn. */
export function isSettled({ picture, hosts }: Pick<ViewPorts, 'picture' | 'hosts'>, app: App): boolean {
  if (app.deployment !== undefined) return false;
  const { applied } = jobContext(picture, hosts, app.name);
  return picture
    .jobs(app.name)
    .every(
      (job) =>
        (job.registered === undefined || job.version === app.release) &&
        picture.withdrawn(app.name) <= applied(serviceOf(app.name, job.type)),
    );
}

function problemOf(ports: ViewPorts, app: App, lines: readonly JobLine[]): string | undefined {
  const { picture, hosts, clock, rng } = ports;
  if (hosts.frozen) {
    const missing = [...hosts.missing()].sort();
    return `frozen: more than half of the hosts went missing at once (${missing.join(', ')}); nothing is moved until half are back`;
  }
  const groups = groupsOf(picture, app, jobContext(picture, hosts, app.name), () => []);
  if (groups && picture.synced) {
    // The scheduler's own plan, thrown away: it says why a job finds no place.
    const plan = planFormations({
      synced: true,
      wall: clock.now(),
      now: clock.mono(),
      hosts: hosts.hosts(),
      frozen: false,
      seats: seatsOf(picture, hosts),
      groups,
      rng,
    });
    const problem = plan.problems.get(app.name);
    if (problem !== undefined) return problem;
  }
  const stuck = lines.find(
    ({ state, reason }) => (state === 'failed' || state === 'crashed') && reason !== undefined,
  );
  return stuck && isCurrent(app, stuck, ports)
    ? `${stuck.name} on ${stuck.host}: ${stuck.reason}`
    : undefined;
}

/** Jobs of releases that nobody wants any more are history, not problems. */
function isCurrent(app: App, line: JobLine, { picture }: ViewPorts): boolean {
  return line.release === app.release || line.release === deploymentOf(picture, app)?.to;
}

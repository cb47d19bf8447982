// Moves deployments on: reads the picture, judges, and writes the verdict in one fenced transaction.
import type { App, Deployment } from '../../../api/app.js';
import { keys } from '../../../api/keys.js';
import { fencedTxn, type Compare, type Op, type Store } from '../../../store/index.js';
import type { Clock } from '../../../util/clock.js';
import type { Log } from '../../../appliance/log.js';
import type { Rng } from '../../../util/rng.js';
import { ulidTime } from '../../../util/ulid.js';
import { deploymentOf, jobContext } from '../desired.js';
import { eventOp } from '../events.js';
import type { HostWatch } from '../hostwatch.js';
import { failedStarts, isFailed, isServing, jobLines, type JobContext } from '../jobs.js';
import type { JobRecord, Picture } from '../state.js';
import { put, unchanged } from '../write.js';
import { judgeDeployment, stepsOf, type NewJobView, type Verdict } from './plan.js';

/** What moving deployments on needs. */
export interface DeploymentPorts {
  picture: Picture;
  hosts: HostWatch;
  store: Pick<Store, 'txn'>;
  clock: Clock;
  rng: Rng;
  log: Log;
}

/** Watches the deployments of one term. */
export class Deployments {
  private readonly watchedSince = new Map<string, number>();

  constructor(
    private readonly ports: DeploymentPorts,
    private readonly guard: Compare,
  ) {}

  /** Judges an app's deployment and writes what follows. Throws `fenced`, and what the store throws. */
  async step(app: App, problem: string | undefined): Promise<void> {
    const { picture, clock } = this.ports;
    const deployment = deploymentOf(picture, app);
    if (!deployment) return;
    // Another state than running: the app's record will follow in a moment, or has been left behind.
    if (deployment.state !== 'running')
      return this.write(app, deployment, { ...app, deployment: undefined }, deployment);
    const release = picture.release(app.name, deployment.to);
    if (!release) return;
    const since = this.watchedSince.get(deployment.id) ?? clock.mono();
    this.watchedSince.set(deployment.id, since);
    const formation = picture.formation(app.name);
    const verdict = judgeDeployment({
      deployment,
      formation,
      types: Object.keys(release.processes),
      jobs: this.newJobs(app, deployment),
      steps: stepsOf(deployment.strategy, formation, picture.hosts().size),
      now: clock.now(),
      watchedMs: clock.mono() - since,
      ...(problem === undefined ? {} : { problem }),
    });
    await this.apply(app, deployment, verdict);
  }

  /** Forgets deployments that are over. */
  trim(running: ReadonlySet<string>): void {
    for (const id of this.watchedSince.keys()) if (!running.has(id)) this.watchedSince.delete(id);
  }

  private newJobs(app: App, deployment: Deployment): NewJobView[] {
    const { picture, hosts } = this.ports;
    const context = jobContext(picture, hosts, app.name);
    const jobs = picture.jobs(app.name);
    const names = new Map(jobLines(jobs, context).map(({ id, name }) => [id, name]));
    return jobs
      .filter((job) => job.version === deployment.to && isOfThis(job, deployment))
      .map((job) => viewOf(job, names.get(job.id) ?? job.id, context));
  }

  private async apply(app: App, deployment: Deployment, verdict: Verdict): Promise<void> {
    const finishedAt = this.ports.clock.now();
    const over = { ...app, deployment: undefined };
    if (verdict.state === 'running') {
      if (verdict.failedStarts === deployment.failedStarts) return;
      const { failedStarts: count } = verdict;
      return this.write(app, deployment, undefined, { ...deployment, failedStarts: count });
    }
    if (verdict.state === 'complete') {
      const message = `${app.name} runs release ${deployment.to}`;
      const done: Deployment = { ...deployment, state: 'complete', finishedAt };
      return this.write(app, deployment, { ...over, release: deployment.to }, done, [
        'deployment.complete',
        message,
      ]);
    }
    const { reason, tail } = verdict;
    const kept = app.release === undefined ? 'nothing ran before' : `release ${app.release} goes on`;
    const failed: Deployment = {
      ...deployment,
      state: 'failed',
      finishedAt,
      failedStarts: verdict.failedStarts,
      reason,
      ...(tail ? { tail: tail.slice(-20) } : {}),
    };
    const message = `release ${deployment.to} of ${app.name} was not deployed: ${reason}; ${kept}`;
    return this.write(app, deployment, over, failed, ['deployment.failed', message]);
  }

  /** One transaction, under the guard and against everything that was read; a conflict is left to the next look. */
  private async write(
    app: App,
    before: Deployment,
    newApp: App | undefined,
    deployment: Deployment,
    event?: [type: string, message: string],
  ): Promise<void> {
    const { store, picture, log } = this.ports;
    const { records } = picture;
    const appKey = keys.app(app.name);
    const formationKey = keys.formation(app.name);
    const key = keys.deployment(app.name, before.id);
    const compare = [
      unchanged(appKey, records.apps.get(appKey)?.entry),
      unchanged(formationKey, records.formations.get(formationKey)?.entry),
      unchanged(key, records.deployments.get(key)?.entry),
    ];
    const then: Op[] = [];
    if (deployment !== before) then.push(put(key, deployment));
    if (newApp) then.push(put(appKey, newApp));
    if (event)
      then.push(eventOp(this.ports, { type: event[0], app: app.name, message: event[1], by: before.by }));
    const result = await fencedTxn(store, [this.guard], { compare, then });
    if (event && result.succeeded) log.info({ app: app.name, deployment: before.id }, event[1]);
  }
}

/** A release may have been tried before: what is left of that time says nothing of this one. */
function isOfThis(job: JobRecord, { startedAt }: Deployment): boolean {
  const booked = job.claim !== undefined && job.claim.w !== 'stop';
  return booked || ulidTime(job.id.slice(-26)) >= startedAt;
}

function viewOf(job: JobRecord, name: string, context: JobContext): NewJobView {
  const { status } = job;
  return {
    name: `${name} on ${job.host}`,
    type: job.type,
    serving: isServing(job, context),
    failedStarts: failedStarts(job),
    hopeless: isFailed(job) && (status?.starts ?? 0) === 0,
    ...(status?.reason ? { reason: status.reason } : {}),
    ...(status?.tail ? { tail: status.tail } : {}),
  };
}

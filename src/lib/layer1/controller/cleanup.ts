// What the leader clears away: releases beyond the ten kept, finished deployments, and apps that were destroyed.
import type { App, Release } from '../../api/app.js';
import { keys } from '../../api/keys.js';
import { nameTemplate } from '../../api/template.js';
import { fencedTxn, type Compare, type Op, type Store } from '../../store/index.js';
import type { Clock } from '../../util/clock.js';
import type { Rng } from '../../util/rng.js';
import { deploymentOf } from './desired.js';
import { eventOp } from './events.js';
import { jobTemplate } from './releases.js';
import type { Picture } from './state.js';
import { unchanged } from './write.js';

/** Old releases and finished deployments kept per app. */
const kept = { releases: 10, deployments: 20 } as const;
const batch = 50;

/** What clearing away needs. */
export interface CleanupPorts {
  picture: Picture;
  store: Pick<Store, 'txn'>;
  clock: Clock;
  rng: Rng;
}

/** Releases to delete: not current, in no deployment, with no jobs left, and older than the ten newest of those; pure. */
export function surplusReleases(
  app: Pick<App, 'release'>,
  releases: readonly Release[],
  inUse: (version: number) => boolean,
): Release[] {
  const old = releases.filter(({ version }) => version !== app.release && !inUse(version));
  return old.sort((a, b) => b.version - a.version).slice(kept.releases);
}

/** Deletes what an app has too much of. Throws `fenced`, and what the store throws. */
export async function cleanApp(ports: CleanupPorts, guard: Compare, app: App): Promise<void> {
  const { picture } = ports;
  const running = deploymentOf(picture, app);
  if (app.deployment !== undefined && !running) return;
  const booked = new Set(picture.jobs(app.name).flatMap(({ claim, version }) => (claim ? [version] : [])));
  const releases = surplusReleases(
    app,
    picture.releases(app.name),
    (version) => booked.has(version) || version === running?.to || version === running?.from,
  );
  const finished = picture.deployments(app.name).filter(({ id }) => id !== app.deployment);
  const deployments = finished.slice(0, Math.max(0, finished.length - kept.deployments));
  const ops: Op[] = [
    ...releases.flatMap(releaseOps),
    ...deployments.map(({ id }): Op => ({ op: 'delete', key: keys.deployment(app.name, id) })),
  ];
  if (ops.length > 0) await deleteWhileUnchanged(ports, guard, app, ops);
}

/** Takes a destroyed app's records away once none of its jobs is booked; true when it is gone. */
export async function finishDestroy(ports: CleanupPorts, guard: Compare, app: App): Promise<boolean> {
  const { picture, store } = ports;
  const jobs = picture.jobs(app.name);
  if (jobs.some(({ claim }) => claim)) return false;
  const routes = picture.routes().filter((route) => route.app === app.name);
  const ops: Op[] = [
    ...routes.map(({ domain }): Op => ({ op: 'delete', key: keys.route(domain) })),
    ...picture.releases(app.name).flatMap(releaseOps),
    ...picture
      .deployments(app.name)
      .map(({ id }): Op => ({ op: 'delete', key: keys.deployment(app.name, id) })),
    ...jobs.map(({ host, id }): Op => ({ op: 'delete', key: keys.status(host, id) })),
  ];
  if (!(await deleteWhileUnchanged(ports, guard, app, ops))) return false;
  // The app's own record goes last: until then a new leader finds what is left to do.
  const key = keys.app(app.name);
  const { succeeded } = await fencedTxn(store, [guard], {
    compare: [unchanged(key, picture.records.apps.get(key)?.entry)],
    then: [
      { op: 'delete', key: keys.formation(app.name) },
      { op: 'delete', key },
      eventOp(ports, { type: 'app.destroyed', app: app.name, message: `app ${app.name} is gone` }),
    ],
  });
  return succeeded;
}

async function deleteWhileUnchanged(
  { picture, store }: CleanupPorts,
  guard: Compare,
  app: App,
  ops: readonly Op[],
): Promise<boolean> {
  const key = keys.app(app.name);
  const unique = [...new Map(ops.map((op) => [op.op === 'delete' ? op.key : '', op])).values()];
  for (let from = 0; from < unique.length; from += batch) {
    const { succeeded } = await fencedTxn(store, [guard], {
      compare: [unchanged(key, picture.records.apps.get(key)?.entry)],
      then: unique.slice(from, from + batch),
    });
    if (!succeeded) return false;
  }
  return true;
}

/** A release and the templates that were made of it. */
function releaseOps(release: Release): Op[] {
  const templates = Object.keys(release.processes).map(
    (type) => nameTemplate(jobTemplate(release, type)).hash,
  );
  return [keys.release(release.app, release.version), ...templates.map(keys.template)].map((key) => ({
    op: 'delete',
    key,
  }));
}

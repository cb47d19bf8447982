// Releases, deployments and environments over HTTP.
import type { Hono } from 'hono';
import { DeployRequest, EnvRequest, RollbackRequest, type Release } from '../../../api/app.js';
import { FlynnError } from '../../../api/errors.js';
import { keys } from '../../../api/keys.js';
import { ProcessType } from '../../../api/names.js';
import { appOf, knownApp, type ApiContext } from '../context.js';
import {
  deployExisting,
  deployWanted,
  isSame,
  readBasis,
  readRelease,
  refuseSecond,
  runnable,
  storeBlank,
  type Answer,
  type Basis,
} from '../deployments/create.js';
import { openEnv, publicRelease, type Env } from '../releases.js';
import { contend } from '../write.js';
import { body } from './body.js';

/** Adds the routes of releases, deployments and environments. */
export function deployRoutes(api: Hono, context: ApiContext): void {
  const { picture, clusterKey } = context;

  api.post('/v1/apps/:app/deploy', async (c) => {
    const { name, person } = appOf(c, 'deploy');
    const request = DeployRequest.parse(await body(c));
    const answer = await deployWanted(context, name, ({ base }) => ({
      image: request.image,
      processes: checkProcesses(request.processes ?? inherited(base)),
      env: base ? openEnv(clusterKey, base) : {},
      why: request.why ?? `deploy --image ${request.image}`,
      by: person.name,
      ...(request.git === undefined ? {} : { git: request.git }),
    }));
    return c.json(answer);
  });

  api.post('/v1/apps/:app/rollback', async (c) => {
    const { name, person } = appOf(c, 'deploy');
    const { version } = RollbackRequest.parse(await body(c));
    const answer = await deployExisting(context, name, person.name, (basis) =>
      target(context, basis, version),
    );
    return c.json(answer);
  });

  api.get('/v1/apps/:app/releases', async (c) => {
    const { name } = appOf(c, 'read');
    await context.fresh.app(name);
    const app = knownApp(context, name);
    return c.json({ releases: picture.releases(name).map(publicRelease), current: app.release });
  });

  api.get('/v1/apps/:app/deployments/:id', async (c) => {
    const { name } = appOf(c, 'read');
    await context.fresh.app(name);
    const id = c.req.param('id');
    const deployment = picture.records.deployments.get(keys.deployment(name, id))?.value;
    if (!deployment)
      throw new FlynnError({
        code: 'not_found',
        message: `app ${name} has no deployment ${id}`,
        hint: `flynn releases -a ${name}`,
      });
    return c.json(deployment);
  });

  api.get('/v1/apps/:app/env', async (c) => {
    const { name } = appOf(c, 'read');
    await context.fresh.app(name);
    const app = knownApp(context, name);
    const version = app.release ?? app.lastRelease;
    const release = version > 0 ? picture.release(name, version) : undefined;
    return c.json({ env: release ? openEnv(clusterKey, release) : {} });
  });

  api.post('/v1/apps/:app/env', async (c) => {
    const { name, person } = appOf(c, 'change');
    const request = EnvRequest.parse(await body(c));
    return c.json(await changeEnv(context, name, person.name, request));
  });
}

/** Changes an environment: a new release like any other, or none when nothing changes. */
async function changeEnv(
  context: ApiContext,
  name: string,
  by: string,
  { set, unset }: { set: Env; unset: readonly string[] },
): Promise<Answer & { env: Env }> {
  const { clusterKey } = context;
  const why = [
    ...(Object.keys(set).length > 0 ? [`env:set ${Object.keys(set).sort().join(' ')}`] : []),
    ...(unset.length > 0 ? [`env:unset ${[...unset].sort().join(' ')}`] : []),
  ].join(', ');
  return contend(context, `app ${name}`, async () => {
    const basis = await readBasis(context, name);
    const { base, running } = basis;
    const from = running && isSubset(openEnv(clusterKey, running.to), set, unset) ? running.to : base;
    const before = from ? openEnv(clusterKey, from) : {};
    const env = { ...before, ...set };
    for (const key of unset) delete env[key];
    const wanted = {
      image: from?.image ?? '',
      processes: from?.processes ?? {},
      env,
      why: why.slice(0, 200),
      by,
    };
    if (running && isSame(clusterKey, running.to, wanted)) {
      return { release: running.to.version, deployment: running.deployment, changed: true, env };
    }
    if (from ? isSame(clusterKey, from, wanted) : Object.keys(env).length === 0)
      return { release: from?.version ?? 0, changed: false, env };
    refuseSecond(basis);
    // Nothing to run yet: the environment is kept for the first deploy.
    if (wanted.image === '') {
      const stored = await storeBlank(context, basis, wanted);
      return stored && { ...stored, env };
    }
    const answer = await deployWanted(context, name, () => wanted);
    return { ...answer, env };
  });
}

/** True when an environment is as a request wants it already. */
function isSubset(env: Env, set: Env, unset: readonly string[]): boolean {
  return (
    Object.entries(set).every(([key, value]) => env[key] === value) && unset.every((key) => !(key in env))
  );
}

function inherited(base: Release | undefined): Release['processes'] {
  return base && Object.keys(base.processes).length > 0 ? base.processes : { web: {} };
}

function checkProcesses(processes: Release['processes']): Release['processes'] {
  if (Object.keys(processes).length === 0)
    throw new FlynnError({ code: 'invalid', message: 'a release has at least one process type' });
  for (const type of Object.keys(processes)) ProcessType.parse(type);
  return processes;
}

/** The release to go back to: the one asked for, or the newest that ran before the current one. Never none. */
async function target(context: ApiContext, basis: Basis, version: number | undefined): Promise<Release> {
  const { app } = basis;
  const nothing = (message: string) =>
    new FlynnError({ code: 'not_found', message, hint: `flynn releases -a ${app.name}` });
  if (version !== undefined) {
    const release = await readRelease(context, app.name, version);
    if (!release) throw nothing(`app ${app.name} has no release ${version}`);
    return runnable(release);
  }
  refuseSecond(basis);
  const { entries } = await context.store.list(keys.releasesAt(app.name));
  const older = entries
    .map(({ value }) => JSON.parse(value) as Release)
    .filter((release) => release.image !== '' && release.version < (app.release ?? 0));
  const failed = new Set(
    context.picture
      .deployments(app.name)
      .filter(({ state }) => state === 'failed')
      .map(({ to }) => to),
  );
  const ran = new Set(
    context.picture
      .deployments(app.name)
      .filter(({ state }) => state === 'complete')
      .map(({ to }) => to),
  );
  // A release that was only ever tried in vain is no place to go back to.
  const previous = older.findLast((release) => ran.has(release.version) || !failed.has(release.version));
  if (!previous) throw nothing(`app ${app.name} has no earlier release to go back to`);
  return previous;
}

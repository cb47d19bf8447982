// How a release and its deployment come to be: one transaction against the app's record, which is the lock of all of it.
import {
  Deployment,
  Release,
  type App,
  type DeployAnswer,
  type Formation,
  type ProcessSpec,
} from '../../../api/app.js';
import type { z } from 'zod';
import { FlynnError } from '../../../api/errors.js';
import { keys } from '../../../api/keys.js';
import { canonicalJson } from '../../../api/template.js';
import type { Entry, Op } from '../../../store/index.js';
import { ulid } from '../../../util/ulid.js';
import { currentApp, type ApiContext } from '../context.js';
import { eventOp } from '../events.js';
import { isBlank, openEnv, sealEnv, type Env } from '../releases.js';
import { commit, contend, put, unchanged } from '../write.js';

/** The answer to whoever deploys. */
export type Answer = z.infer<typeof DeployAnswer>;

/** An app with all that a new release is made from, as the majority has it. */
export interface Basis {
  app: App;
  entry: Entry;
  /** The current release; before the first deploy the newest one, which may hold an environment alone. */
  base: Release | undefined;
  running: { deployment: Deployment; to: Release } | undefined;
  formation: { value: Formation['processes']; entry: Entry | undefined };
}

/** What a new release is to be. */
export interface Wanted {
  image: string;
  processes: Record<string, ProcessSpec>;
  env: Env;
  why: string;
  by: string;
  git?: string;
}

/** Reads the basis. Throws `not_found`. */
export async function readBasis(context: ApiContext, name: string): Promise<Basis> {
  const { app, entry, entries } = await currentApp(context, name, [keys.formation(name)]);
  const formationEntry = entries.get(keys.formation(name));
  const version = app.release ?? (app.lastRelease > 0 ? app.lastRelease : undefined);
  const running = app.deployment === undefined ? undefined : await readRunning(context, app, app.deployment);
  return {
    app,
    entry,
    base: version === undefined ? undefined : await readRelease(context, name, version),
    running,
    formation: {
      value: formationEntry ? (JSON.parse(formationEntry.value) as Formation).processes : {},
      entry: formationEntry,
    },
  };
}

/** A release from the store; undefined when there is none. */
export async function readRelease(
  { store }: Pick<ApiContext, 'store'>,
  app: string,
  version: number,
): Promise<Release | undefined> {
  const entry = await store.get(keys.release(app, version));
  return entry && Release.parse(JSON.parse(entry.value));
}

async function readRunning(context: ApiContext, app: App, id: string): Promise<Basis['running']> {
  const entry = await context.store.get(keys.deployment(app.name, id));
  const deployment = entry && Deployment.parse(JSON.parse(entry.value));
  const to = deployment && (await readRelease(context, app.name, deployment.to));
  return deployment && to ? { deployment, to } : undefined;
}

/** True when a release is what is wanted: image, processes and environment are equal. */
export function isSame(clusterKey: Buffer, release: Release, wanted: Wanted): boolean {
  return (
    release.image === wanted.image &&
    canonicalJson(release.processes) === canonicalJson(wanted.processes) &&
    canonicalJson(openEnv(clusterKey, release)) === canonicalJson(wanted.env)
  );
}

/**
 * Makes the wanted release and begins to deploy it. Nothing changes when the current release is equal; an equal one
 * that is being deployed is joined. Throws `conflict` when another deployment is under way.
 */
export async function deployWanted(
  context: ApiContext,
  name: string,
  want: (basis: Basis) => Wanted | Promise<Wanted>,
): Promise<Answer> {
  return contend(context, `app ${name}`, async () => {
    const basis = await readBasis(context, name);
    const wanted = await want(basis);
    const { app, base, running } = basis;
    if (running && isSame(context.clusterKey, running.to, wanted)) {
      return { release: running.to.version, deployment: running.deployment, changed: true };
    }
    refuseSecond(basis);
    if (app.release !== undefined && base && isSame(context.clusterKey, base, wanted)) {
      return { release: base.version, changed: false };
    }
    const version = app.lastRelease + 1;
    const release = newRelease(context, name, version, wanted);
    return begin(context, basis, release, wanted.by, [put(keys.release(name, version), release)]);
  });
}

/** Deploys a release that exists. Throws `not_found`, `conflict`. */
export async function deployExisting(
  context: ApiContext,
  name: string,
  by: string,
  choose: (basis: Basis) => Promise<Release>,
): Promise<Answer> {
  return contend(context, `app ${name}`, async () => {
    const basis = await readBasis(context, name);
    const release = await choose(basis);
    if (basis.running?.to.version === release.version) {
      return { release: release.version, deployment: basis.running.deployment, changed: true };
    }
    refuseSecond(basis);
    if (basis.app.release === release.version) return { release: release.version, changed: false };
    return begin(context, basis, release, by, []);
  });
}

/** Keeps an environment for the first deploy, as a release without an image. */
export async function storeBlank(
  context: ApiContext,
  basis: Basis,
  wanted: Wanted,
): Promise<Answer | undefined> {
  const { app, entry } = basis;
  const version = app.lastRelease + 1;
  const release = newRelease(context, app.name, version, wanted);
  const done = await commit(context, {
    compare: [unchanged(entry.key, entry)],
    then: [put(entry.key, { ...app, lastRelease: version }), put(keys.release(app.name, version), release)],
  });
  return done ? { release: version, changed: true } : undefined;
}

/** Throws `conflict` while a deployment is under way. */
export function refuseSecond({ app, running }: Basis): void {
  if (app.deployment === undefined) return;
  const what = running ? `release ${running.deployment.to}` : 'another release';
  throw new FlynnError({
    code: 'conflict',
    message: `${what} of ${app.name} is being deployed (deployment ${app.deployment}${running ? `, begun by ${running.deployment.by}` : ''})`,
    hint: `flynn ps -a ${app.name}   (shows how far it is; deploy again when it is over)`,
  });
}

function newRelease(context: ApiContext, app: string, version: number, wanted: Wanted): Release {
  const { image, processes, env, by, why, git } = wanted;
  return Release.parse({
    app,
    version,
    image,
    processes,
    ...sealEnv(context.clusterKey, app, version, env),
    createdAt: context.clock.now(),
    by,
    why,
    ...(git === undefined ? {} : { git }),
  });
}

async function begin(
  context: ApiContext,
  basis: Basis,
  release: Release,
  by: string,
  more: readonly Op[],
): Promise<Answer | undefined> {
  const { clock, rng } = context;
  const { app, entry, formation } = basis;
  const deployment = Deployment.parse({
    id: ulid(clock.now(), rng),
    app: app.name,
    ...(app.release === undefined ? {} : { from: app.release }),
    to: release.version,
    strategy: app.strategy,
    state: 'running',
    startedAt: clock.now(),
    timeoutMs: app.deployTimeoutMs,
    by,
  });
  const first = 'web' in release.processes && formation.value.web === undefined;
  const message = `${by} deploys release ${release.version} of ${app.name}: ${release.why}`;
  const releaseKey = keys.release(app.name, release.version);
  const done = await commit(context, {
    compare: [
      unchanged(entry.key, entry),
      unchanged(keys.formation(app.name), formation.entry),
      { key: releaseKey, target: 'create', op: more.length > 0 ? '=' : '>', value: 0 },
    ],
    then: [
      put(keys.deployment(app.name, deployment.id), deployment),
      put(entry.key, {
        ...app,
        lastRelease: Math.max(app.lastRelease, release.version),
        deployment: deployment.id,
      }),
      ...more,
      ...(first
        ? [
            put(keys.formation(app.name), {
              processes: { ...formation.value, web: 1 },
              updatedAt: clock.now(),
            }),
          ]
        : []),
      eventOp(context, { type: 'deployment.started', app: app.name, message, by }),
    ],
  });
  return done ? { release: release.version, deployment, changed: true } : undefined;
}

/** A release that can run; throws `conflict` for one that only holds an environment. */
export function runnable(release: Release): Release {
  if (!isBlank(release)) return release;
  throw new FlynnError({
    code: 'conflict',
    message: `release ${release.version} of ${release.app} has no image: it holds an environment set before the first deploy`,
    hint: `flynn releases -a ${release.app}`,
  });
}

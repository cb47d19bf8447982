// Releases: their sealed environment, and the job template that each process type becomes.
import { serviceOf, type ProcessSpec, type Release } from '../../api/app.js';
import { FlynnError } from '../../api/errors.js';
import { Resources, type JobTemplateInput } from '../../api/job.js';
import { keys } from '../../api/keys.js';
import type { Need } from '../../layer0/index.js';
import { newKey, seal, unseal } from '../../util/seal.js';
import { portOf } from './jobs.js';

const MiB = 1024 * 1024;

/** A plain environment. */
export type Env = Record<string, string>;

/** The sealed parts of a new release. */
export function sealEnv(
  clusterKey: Buffer,
  app: string,
  version: number,
  env: Env,
): Pick<Release, 'sealedEnv' | 'sealedKey' | 'envKeys'> {
  const context = keys.release(app, version);
  const key = newKey();
  return {
    sealedEnv: seal(key, JSON.stringify(env), context),
    sealedKey: seal(clusterKey, key, context),
    envKeys: Object.keys(env).sort(),
  };
}

/** The key of a release. Throws `internal` when the cluster key is not the one it was sealed with. */
export function releaseKey(clusterKey: Buffer, release: Release): Buffer {
  try {
    return unseal(clusterKey, release.sealedKey, keys.release(release.app, release.version));
  } catch (cause) {
    throw new FlynnError({
      code: 'internal',
      message: `the key of release ${release.version} of ${release.app} cannot be opened with this host's cluster key`,
      hint: 'flynn cluster status',
      cause,
    });
  }
}

/** The plain environment of a release. */
export function openEnv(clusterKey: Buffer, release: Release): Env {
  const key = releaseKey(clusterKey, release);
  const text = unseal(key, release.sealedEnv, keys.release(release.app, release.version)).toString('utf8');
  return JSON.parse(text) as Env;
}

/** What a job of an app learns of itself: Layer 0 knows nothing of apps, so whoever schedules says it. */
export function appVariables(meta: Record<string, string>): Env {
  const named = { FLYNN_APP: meta.app, FLYNN_RELEASE: meta.release, FLYNN_PROCESS_TYPE: meta.type };
  return Object.fromEntries(Object.entries(named).flatMap(([key, value]) => (value ? [[key, value]] : [])));
}

/** The job template of one process type of a release. */
export function jobTemplate(release: Release, type: string): JobTemplateInput {
  const spec: ProcessSpec = release.processes[type] ?? {};
  const port = portOf(type, spec);
  const { app, version } = release;
  const meta = { app, release: String(version), type };
  return {
    kind: 'service',
    image: release.image,
    env: appVariables(meta),
    ...(spec.entrypoint ? { entrypoint: spec.entrypoint } : {}),
    ...(spec.args ? { args: spec.args } : {}),
    sealedEnv: { keyId: keys.release(app, version), data: release.sealedEnv },
    ...(port > 0
      ? { ports: [{ name: 'http', container: port }], service: { name: serviceOf(app, type), port: 'http' } }
      : {}),
    ...(spec.health ? { health: spec.health } : {}),
    resources: resourcesOf(spec),
    meta,
  };
}

/** What one job of a process type takes; RULES.md's default where nothing is said. */
export function resourcesOf(spec: ProcessSpec | undefined): Resources {
  return spec?.resources ?? Resources.parse({});
}

/** The same as placement counts it. */
export function needOf(release: Release, type: string): Need {
  const spec = release.processes[type];
  const { memory, cpu } = resourcesOf(spec);
  const ports = portOf(type, spec) > 0 ? 1 : 0;
  return { m: Math.ceil(memory / MiB), c: cpu, ports, fixed: [], image: release.image };
}

/** A release without what is sealed, for people. */
export function publicRelease({
  sealedEnv: _env,
  sealedKey: _key,
  ...rest
}: Release): Omit<Release, 'sealedEnv' | 'sealedKey'> {
  return rest;
}

/** True for a release that only holds an environment set before the first deploy. */
export function isBlank(release: Release): boolean {
  return release.image === '';
}

// Layer 1's resources: apps, releases, formations, deployments, routes, keys, events, and the controller's answers.
import { z } from 'zod';
import { AppName, Domain, EnvKey, ProcessType } from './names.js';
import { HealthCheck, JobState, Resources } from './job.js';

/** How a deployment replaces instances. */
export const Strategy = z.enum(['all-at-once', 'one-by-one', 'in-batches']);

export const App = z.object({
  name: AppName,
  id: z.string(),
  createdAt: z.number(),
  /** Version of the current release; absent before the first deploy. */
  release: z.number().int().optional(),
  /** Version of the newest release made, current or not. */
  lastRelease: z.number().int().default(0),
  strategy: Strategy.default('all-at-once'),
  deployTimeoutMs: z.number().int().default(120_000),
  /** Id of the deployment that is under way: one record tells what should run. */
  deployment: z.string().optional(),
  /** It is being taken away: its jobs stop, then its records go. */
  destroying: z.boolean().optional(),
});
export type App = z.infer<typeof App>;

/** One process type of a release. */
export const ProcessSpec = z.object({
  /** Command as argv; absent: the image's own. */
  args: z.array(z.string()).optional(),
  entrypoint: z.array(z.string()).optional(),
  /** Port inside the container, given to the process as PORT; 0: it listens on none. `web` has 8080 unless said. */
  port: z.number().int().min(0).max(65535).optional(),
  health: HealthCheck.optional(),
  resources: Resources.optional(),
});
export type ProcessSpec = z.infer<typeof ProcessSpec>;

/** An immutable, numbered release. Its environment is sealed under its own key; that key under the cluster's. */
export const Release = z.object({
  app: AppName,
  version: z.number().int().min(1),
  image: z.string(),
  processes: z.record(ProcessType, ProcessSpec),
  /** AES-256-GCM of the JSON environment under the release key; base64; associated data is the release's store key. */
  sealedEnv: z.string(),
  /** The release key under the cluster key; base64; the same associated data. */
  sealedKey: z.string(),
  /** Names of the variables, so that they can be listed without a key. */
  envKeys: z.array(EnvKey),
  createdAt: z.number(),
  by: z.string(),
  /** What made it, for people: `deploy --image hello:1`, `env:set GREETING`. */
  why: z.string(),
  git: z.string().optional(),
});
export type Release = z.infer<typeof Release>;

/** How many of each process type should run. */
export const Formation = z.object({
  processes: z.record(ProcessType, z.number().int().min(0).max(1000)),
  updatedAt: z.number(),
});
export type Formation = z.infer<typeof Formation>;

/** The change from one release to the next: a state machine in the store, carried by whichever controller leads. */
export const Deployment = z.object({
  id: z.string(),
  app: AppName,
  from: z.number().int().optional(),
  to: z.number().int(),
  strategy: Strategy,
  state: z.enum(['running', 'complete', 'failed']),
  /** Counts of the new release that the plan has allowed so far, by process type. */
  startedAt: z.number(),
  finishedAt: z.number().optional(),
  timeoutMs: z.number().int(),
  /** Failed starts of the new release so far. */
  failedStarts: z.number().int().default(0),
  /** Why it failed, with the failing container's last lines. */
  reason: z.string().optional(),
  tail: z.array(z.string()).optional(),
  by: z.string(),
});
export type Deployment = z.infer<typeof Deployment>;

export const Route = z.object({
  domain: Domain,
  app: AppName,
  /** Discovery name that it leads to. */
  service: z.string(),
  createdAt: z.number(),
  /** Made with the app (`APP.DOMAIN`), removed with it. */
  auto: z.boolean().default(false),
});
export type Route = z.infer<typeof Route>;

export const Role = z.enum(['admin', 'developer', 'deploy']);
export type Role = z.infer<typeof Role>;

/** A public key that may use the gateway. */
export const SshKey = z.object({
  /** `SHA256:…` as ssh-keygen prints it. */
  fingerprint: z.string(),
  type: z.string(),
  /** Base64 blob of the public key. */
  blob: z.string(),
  name: z.string().max(100),
  role: Role,
  /** Apps that a developer or deploy key is limited to; empty for a developer: every app. */
  apps: z.array(AppName).default([]),
  createdAt: z.number(),
});
export type SshKey = z.infer<typeof SshKey>;

/** Something that happened, for people and scripts. */
export const Event = z.object({
  id: z.string(),
  at: z.number(),
  type: z.string(),
  app: z.string().optional(),
  host: z.string().optional(),
  job: z.string().optional(),
  message: z.string(),
  by: z.string().optional(),
});
export type Event = z.infer<typeof Event>;

/** Discovery name of an app's process type: `web.hello`. */
export function serviceOf(app: string, type: string): string {
  return `${type}.${app}`;
}

/** Owner of an app's claims: `app/hello/3/web`. */
export function ownerOf(app: string, version: number, type: string): string {
  return `app/${app}/${version}/${type}`;
}

/** The inverse of `ownerOf`; undefined for owners of other kinds. */
export function parseOwner(owner: string): { app: string; version: number; type: string } | undefined {
  const [kind, app, version, type] = owner.split('/');
  if (kind !== 'app' || !app || !version || !type) return undefined;
  return { app, version: Number(version), type };
}

// ---- requests and answers of the controller ----

/** One line of `flynn ps`. */
export const JobLine = z.object({
  id: z.string(),
  /** `web.1`: type and ordinal among the app's jobs of that type, oldest first. */
  name: z.string(),
  type: z.string(),
  release: z.number().int(),
  host: z.string(),
  state: z.union([JobState, z.literal('serving'), z.literal('lost')]),
  /** When it came into this state, ms; before its agent has told anything: when it was claimed. */
  since: z.number(),
  starts: z.number().int(),
  reason: z.string().optional(),
  tail: z.array(z.string()).optional(),
});
export type JobLine = z.infer<typeof JobLine>;

/** Everything a watcher of an app needs; sent whole on every change by `GET /v1/apps/APP/watch` (NDJSON). */
export const AppState = z.object({
  app: App,
  formation: z.record(z.string(), z.number().int()),
  jobs: z.array(JobLine),
  deployment: Deployment.optional(),
  /** The formation is what serves: counts match, all serving, nothing else runs, no deployment under way. */
  converged: z.boolean(),
  /** No router sends requests to another release than the current one: old instances may still be draining. */
  settled: z.boolean().default(true),
  /** Why nothing moves, when it is known: no capacity, an image that cannot be pulled. */
  problem: z.string().optional(),
});
export type AppState = z.infer<typeof AppState>;

export const CreateApp = z.object({ name: AppName.optional(), ifMissing: z.boolean().default(false) });
export const CreatedApp = z.object({ app: App, created: z.boolean(), domain: z.string() });
export const ScaleRequest = z.object({ processes: z.record(ProcessType, z.number().int().min(0).max(1000)) });
export const ScaleAnswer = z.object({
  before: z.record(z.string(), z.number().int()),
  after: z.record(z.string(), z.number().int()),
  changed: z.boolean(),
});
export const DeployRequest = z.object({
  image: z.string().min(1).max(500),
  processes: z.record(ProcessType, ProcessSpec).optional(),
  git: z.string().max(64).optional(),
  why: z.string().max(200).optional(),
});
export const DeployAnswer = z.object({
  release: z.number().int(),
  deployment: Deployment.optional(),
  changed: z.boolean(),
});
export const EnvRequest = z.object({
  set: z.record(EnvKey, z.string().max(65_536)).default({}),
  unset: z.array(EnvKey).default([]),
});
export const EnvAnswer = z.object({ env: z.record(z.string(), z.string()) });
export const RollbackRequest = z.object({ version: z.number().int().min(1).optional() });
export const AddRoute = z.object({ domain: Domain, process: ProcessType.default('web') });
export const AddKey = z.object({
  /** A line of an OpenSSH public key file. */
  publicKey: z.string().min(1).max(20_000),
  name: z.string().max(100).optional(),
  role: Role.default('admin'),
  apps: z.array(AppName).default([]),
});
export const LogLine = z.object({
  job: z.string(),
  name: z.string(),
  stream: z.enum(['stdout', 'stderr', 'flynn']),
  at: z.string(),
  line: z.string(),
});
export type LogLine = z.infer<typeof LogLine>;

/** `GET /v1/status`: the whole grid, for `cluster status` and its picture. */
export const GridStatus = z.object({
  cluster: z.string(),
  /** Empty where there is Layer 0 alone. */
  domain: z.string(),
  /** There is Layer 0 alone: nobody leads, nothing routes. */
  layer0: z.literal(true).optional(),
  revision: z.number().int(),
  leader: z.string().optional(),
  etcd: z.object({
    members: z.number().int(),
    healthy: z.boolean(),
    dbSizeBytes: z.number(),
    alarms: z.array(z.string()),
  }),
  hosts: z.array(
    z.object({
      name: z.string(),
      address: z.string(),
      roles: z.array(z.string()),
      alive: z.boolean(),
      cordoned: z.boolean(),
      capacity: z.object({ m: z.number(), c: z.number() }),
      used: z.object({ m: z.number(), c: z.number() }),
      jobs: z.array(
        z.object({
          id: z.string(),
          name: z.string(),
          owner: z.string(),
          state: z.string(),
          reason: z.string().optional(),
        }),
      ),
    }),
  ),
});
export type GridStatus = z.infer<typeof GridStatus>;

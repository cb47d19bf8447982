// The documents that commands print under --json, as JSON Schema. Types hold each to what its command returns.
import { z } from 'zod';
import type Apps from '../commands/apps/index.js';
import type AppsCreate from '../commands/apps/create.js';
import type AppsDestroy from '../commands/apps/destroy.js';
import type AppsInfo from '../commands/apps/info.js';
import type ClusterAdd from '../commands/cluster/add.js';
import type ClusterAddHost from '../commands/cluster/add-host.js';
import type ClusterBootstrap from '../commands/cluster/bootstrap.js';
import type ClusterDestroy from '../commands/cluster/destroy.js';
import type ClusterList from '../commands/cluster/list.js';
import type ClusterRemove from '../commands/cluster/remove.js';
import type ClusterStatus from '../commands/cluster/status.js';
import type ClusterUse from '../commands/cluster/use.js';
import type Deploy from '../commands/deploy.js';
import type Env from '../commands/env/index.js';
import type EnvGet from '../commands/env/get.js';
import type EnvSet from '../commands/env/set.js';
import type EnvUnset from '../commands/env/unset.js';
import type Keys from '../commands/keys/index.js';
import type KeysAdd from '../commands/keys/add.js';
import type KeysRemove from '../commands/keys/remove.js';
import type Ps from '../commands/ps.js';
import type Releases from '../commands/releases/index.js';
import type ReleasesRollback from '../commands/releases/rollback.js';
import type Routes from '../commands/routes/index.js';
import type RoutesAdd from '../commands/routes/add.js';
import type RoutesRemove from '../commands/routes/remove.js';
import type Scale from '../commands/scale.js';
import { OpenRelease } from '../lib/access/controller.js';
import { App, AppState, Deployment, Event, GridStatus, LogLine, Route, SshKey } from '../lib/api/app.js';
import { exitCodes, type ErrorBody, type ErrorCode } from '../lib/api/errors.js';
import { LocalCluster } from '../lib/operator/context.js';

/** What a command's `run()` resolves with. */
type ResultOf<Command extends { run(): Promise<unknown> }> = Exclude<
  Awaited<ReturnType<Command['run']>>,
  void
>;

/** A schema of exactly the type `T`: wider or narrower does not compile. */
const of =
  <T>() =>
  <S extends z.ZodType>(
    schema: S & ([z.output<S>] extends [T] ? ([T] extends [z.output<S>] ? unknown : never) : never),
  ): z.ZodType =>
    schema;

const counts = z.record(z.string(), z.number());
const deployed = z.object({
  app: z.string(),
  release: z.number(),
  changed: z.boolean(),
  deployment: Deployment.optional(),
  ms: z.number().optional(),
});
const envChange = deployed.extend({ keys: z.array(z.string()) });
const operation = z.object({
  id: z.string(),
  kind: z.enum([
    'docker.install',
    'docker.configure',
    'files.write',
    'images.build',
    'images.load',
    'etcd.start',
    'etcd.wait',
    'etcd.auth',
    'grid.seed',
    'grid.join',
    'grid.admit',
    'agent.start',
    'grid.wait',
    'local.remember',
  ]),
  host: z.string().optional(),
  title: z.string(),
  detail: z.array(z.string()),
  after: z.array(z.string()),
});
const members = {
  cluster: LocalCluster,
  findings: z.array(
    z.object({
      code: z.string(),
      level: z.enum(['error', 'warning', 'note']),
      host: z.string().optional(),
      message: z.string(),
      hint: z.string().optional(),
    }),
  ),
  addresses: z.array(
    z.object({
      host: z.string(),
      address: z.string().optional(),
      why: z.string(),
      unreachedFrom: z.array(z.string()),
    }),
  ),
  operations: z.array(operation),
  results: z.array(z.object({ id: z.string(), changed: z.boolean(), ms: z.number() })).optional(),
};

/** The schema of an error. */
const error = of<ErrorBody>()(
  z.object({
    code: z.enum(Object.keys(exitCodes) as [ErrorCode, ...ErrorCode[]]),
    message: z.string(),
    hint: z.string().optional(),
  }),
);

/** By command id: its document, or one line of its stream. */
export const answers: Readonly<Record<string, z.ZodType>> = {
  apps: of<ResultOf<Apps>>()(z.object({ apps: z.array(App) })),
  'apps:create': of<ResultOf<AppsCreate>>()(
    z.object({
      app: z.string(),
      created: z.boolean(),
      domain: z.string(),
      remote: z.enum(['added', 'same', 'taken', 'none']),
      sshCommand: z.enum(['set', 'same', 'kept', 'none']),
    }),
  ),
  'apps:destroy': of<ResultOf<AppsDestroy>>()(
    z.object({ app: z.string(), routes: z.array(z.string()), releases: z.number(), jobs: z.number() }),
  ),
  'apps:info': of<ResultOf<AppsInfo>>()(AppState.extend({ routes: z.array(Route) })),
  'cluster:add': of<ResultOf<ClusterAdd>>()(
    z.object({
      name: z.string(),
      gateways: z.array(z.string()),
      fingerprint: z.string(),
      domain: z.string().optional(),
      identity: z.string().optional(),
    }),
  ),
  'cluster:add-host': of<ResultOf<ClusterAddHost>>()(z.object({ ...members, hosts: z.array(z.string()) })),
  'cluster:bootstrap': of<ResultOf<ClusterBootstrap>>()(
    z.object({ ...members, string: z.string().optional() }),
  ),
  'cluster:destroy': of<ResultOf<ClusterDestroy>>()(
    z.object({ name: z.string(), hosts: z.array(z.object({ host: z.string(), containers: z.number() })) }),
  ),
  'cluster:list': of<ResultOf<ClusterList>>()(
    z.object({
      clusters: z.array(
        z.object({
          name: z.string(),
          default: z.boolean(),
          domain: z.string().optional(),
          gateways: z.array(z.string()),
          hosts: z.array(z.string()),
        }),
      ),
    }),
  ),
  'cluster:remove': of<ResultOf<ClusterRemove>>()(z.object({ name: z.string(), removed: z.boolean() })),
  'cluster:status': of<ResultOf<ClusterStatus>>()(GridStatus),
  'cluster:use': of<ResultOf<ClusterUse>>()(z.object({ name: z.string() })),
  deploy: of<ResultOf<Deploy>>()(deployed),
  env: of<ResultOf<Env>>()(z.object({ app: z.string(), env: z.record(z.string(), z.string()) })),
  'env:get': of<ResultOf<EnvGet>>()(z.object({ key: z.string(), value: z.string() })),
  'env:set': of<ResultOf<EnvSet>>()(envChange),
  'env:unset': of<ResultOf<EnvUnset>>()(envChange),
  events: of<Event>()(Event),
  keys: of<ResultOf<Keys>>()(z.object({ keys: z.array(SshKey) })),
  'keys:add': of<ResultOf<KeysAdd>>()(SshKey),
  'keys:remove': of<ResultOf<KeysRemove>>()(z.object({ removed: SshKey })),
  logs: of<LogLine>()(LogLine),
  ps: of<ResultOf<Ps>>()(AppState),
  releases: of<ResultOf<Releases>>()(
    z.object({ app: z.string(), current: z.number().optional(), releases: z.array(OpenRelease) }),
  ),
  'releases:rollback': of<ResultOf<ReleasesRollback>>()(deployed),
  routes: of<ResultOf<Routes>>()(z.object({ routes: z.array(Route) })),
  'routes:add': of<ResultOf<RoutesAdd>>()(Route),
  'routes:remove': of<ResultOf<RoutesRemove>>()(z.object({ app: z.string(), domain: z.string() })),
  scale: of<ResultOf<Scale>>()(
    z.object({
      app: z.string(),
      before: counts,
      formation: counts,
      changed: z.boolean(),
      ms: z.number().optional(),
    }),
  ),
};

/** JSON Schema by name: `error`, and the ids of commands. Fields may be added in later versions: no schema forbids more. */
export function jsonSchemas(): Map<string, object> {
  const schema = (title: string, type: z.ZodType): object => ({
    title,
    ...z.toJSONSchema(type, {
      override: ({ jsonSchema }) => {
        if (jsonSchema.additionalProperties === false) delete jsonSchema.additionalProperties;
      },
    }),
  });
  const of = Object.entries(answers).map(([id, type]): [string, object] => [
    id,
    schema(`flynn ${id.replaceAll(':', ' ')} --json`, type),
  ]);
  return new Map([['error', schema('an error under --json', error)], ...of]);
}

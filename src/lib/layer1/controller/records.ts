// What the controller reads of the store: one informer per prefix, each with the meaning of its values.
import { z } from 'zod';
import { App, Deployment, Event, Formation, Release, Route, SshKey } from '../../api/app.js';
import { ClusterConfig, Consumer, HostBook, HostInfo, HostLease, Instance } from '../../api/grid.js';
import { Claim, JobStatus } from '../../api/job.js';
import { keys } from '../../api/keys.js';
import { createInformer, type Informer, type Store } from '../../store/index.js';
import type { Clock } from '../../util/clock.js';
import type { Log } from '../../appliance/log.js';
import type { Rng } from '../../util/rng.js';

/** One of the records below `hosts/`. */
export type HostRecord =
  { kind: 'info'; info: HostInfo } | { kind: 'book'; book: HostBook } | { kind: 'lease'; lease: HostLease };

/** The election whose leader plans. */
export const electionName = 'controller';

/** What the informers need. */
export interface RecordPorts {
  store: Pick<Store, 'list' | 'watch'>;
  clock: Clock;
  rng: Rng;
  log: Log;
}

/** The informers of the controller by what they hold; nothing is read before they are started. */
export function createRecords(ports: RecordPorts) {
  const of = <T>(prefix: string, parse: (key: string, value: string) => T | undefined): Informer<T> =>
    createInformer<T>({ ...ports, prefix, parse });
  const json =
    <S extends z.ZodType>(schema: S) =>
    (_key: string, value: string): z.infer<S> =>
      schema.parse(JSON.parse(value));
  return {
    cluster: of(keys.cluster, json(ClusterConfig)),
    hosts: of(keys.hosts, hostRecord),
    claims: of(keys.claims, json(Claim)),
    statuses: of(keys.statuses, json(JobStatus)),
    instances: of(keys.instances, json(Instance)),
    consumers: of(keys.consumers, json(Consumer)),
    apps: of(keys.apps, json(App)),
    releases: of(keys.releases, json(Release)),
    formations: of(keys.formations, json(Formation)),
    deployments: of(keys.deployments, json(Deployment)),
    routes: of(keys.routes, json(Route)),
    sshKeys: of(keys.sshKeys, json(SshKey)),
    events: of(keys.events, json(Event)),
    leaders: of(`${keys.elections}${electionName}/`, (_key, value) => value),
  };
}

/** All informers of the controller. */
export type Records = ReturnType<typeof createRecords>;
/** Name of one of them. */
export type RecordKind = keyof Records;

function hostRecord(key: string, value: string): HostRecord | undefined {
  const kind = key.slice(key.lastIndexOf('/') + 1);
  if (kind === 'info') return { kind, info: HostInfo.parse(JSON.parse(value)) };
  if (kind === 'book') return { kind, book: HostBook.parse(JSON.parse(value)) };
  if (kind === 'lease') return { kind, lease: HostLease.parse(JSON.parse(value)) };
  return undefined;
}

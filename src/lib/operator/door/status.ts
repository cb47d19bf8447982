// The grid as `cluster status` shows it where there is no controller: what Sampi, the agents and etcd say.
import type { GridStatus } from '../../api/app.js';
import { isFlynnError, type FlynnError } from '../../api/errors.js';
import type { GridClient } from './grid.js';
import { gatherJobs } from '../jobs/gather.js';
import type { JobRow } from '../jobs/rows.js';

/** The status; a Sampi that does not answer leaves out all but the hosts and how etcd does. */
export async function layer0Status(grid: GridClient, name: string, signal: AbortSignal): Promise<GridStatus> {
  const info = await grid.info({ signal });
  let away: FlynnError | undefined;
  const [view, gathered] = await Promise.all([
    grid.view({ signal }).catch((error: unknown): undefined => {
      if (!isFlynnError(error) || signal.aborted) throw error;
      away = error;
    }),
    gatherJobs(grid, info, {}, signal).catch((error: unknown) => {
      if (!isFlynnError(error) || signal.aborted) throw error;
      return { jobs: [] as JobRow[], problems: [] as string[] };
    }),
  ]);
  // Nothing can be placed, whatever etcd says of itself.
  const etcd = { ...info.etcd, healthy: info.etcd.healthy && away === undefined };
  return {
    cluster: name,
    domain: '',
    layer0: true,
    revision: view?.revision ?? 0,
    etcd,
    hosts: info.hosts
      .map(({ name: host, address, roles }) => {
        const found = view?.hosts[host];
        return {
          name: host,
          address: found?.info.publicAddress ?? address,
          roles,
          alive: found?.alive ?? host === info.host,
          cordoned: found?.book.cordoned ?? false,
          capacity: found?.book.capacity ?? { m: 0, c: 0 },
          used: found?.book.used ?? { m: 0, c: 0 },
          jobs: gathered.jobs.filter((job) => job.host === host).map(shown),
        };
      })
      .sort((a, b) => (a.name < b.name ? -1 : 1)),
  };
}

function shown({ id, owner, state, reason }: JobRow): GridStatus['hosts'][number]['jobs'][number] {
  const name = owner.slice(owner.indexOf('/') + 1);
  return { id, name, owner, state, ...(reason ? { reason } : {}) };
}

// The whole grid over HTTP: hosts, what runs on them, the store, and who leads.
import type { Hono } from 'hono';
import { parseOwner, type GridStatus } from '../../../api/app.js';
import { keys } from '../../../api/keys.js';
import type { ApiContext } from '../context.js';
import { jobContext } from '../desired.js';
import { jobLines } from '../jobs.js';
import { mayApp, personOf, type Person } from '../../shared/person.js';

const storeMs = 1_000;

/** Adds the route of the grid's status. */
export function statusRoutes(api: Hono, context: ApiContext): void {
  api.get('/v1/status', async (c) => c.json(await gridStatus(context, personOf(c))));
}

/** The grid as this copy knows it; jobs of apps that the person may not see are left out. */
async function gridStatus(context: ApiContext, person: Person): Promise<GridStatus> {
  const { picture, hosts } = context;
  const cluster = picture.cluster();
  const leader = picture.leader();
  const jobsByHost = jobsOfHosts(context, person);
  return {
    cluster: cluster?.name ?? '',
    domain: cluster?.domain ?? '',
    revision: picture.revision,
    ...(leader === undefined ? {} : { leader }),
    etcd: await storeStatus(context),
    hosts: [...picture.hosts()].map(([name, { info, book, leased }]) => {
      const condition = hosts.condition(name);
      return {
        name,
        address: info.publicAddress,
        roles: info.roles,
        alive: leased && condition !== 'lost' && condition !== 'suspect',
        cordoned: book?.cordoned ?? false,
        capacity: book?.capacity ?? { m: 0, c: 0 },
        used: book?.used ?? { m: 0, c: 0 },
        jobs: jobsByHost.get(name) ?? [],
      };
    }),
  };
}

async function storeStatus({ store }: ApiContext): Promise<GridStatus['etcd']> {
  const [status, members] = await Promise.allSettled([
    store.status({ timeoutMs: storeMs }),
    store.members({ timeoutMs: storeMs }),
  ]);
  const known = status.status === 'fulfilled' ? status.value : undefined;
  return {
    members: members.status === 'fulfilled' ? members.value.length : 0,
    healthy: known?.leader !== undefined && members.status === 'fulfilled',
    dbSizeBytes: known?.dbSize ?? 0,
    alarms: known?.alarms.map(({ alarm }) => alarm) ?? [],
  };
}

type HostJob = GridStatus['hosts'][number]['jobs'][number];

function jobsOfHosts({ picture, hosts }: ApiContext, person: Person): Map<string, HostJob[]> {
  const byHost = new Map<string, HostJob[]>();
  const add = (host: string, job: HostJob) => byHost.set(host, [...(byHost.get(host) ?? []), job]);
  for (const [key, { value: claim }] of picture.records.claims.items()) {
    if (parseOwner(claim.o)) continue;
    const [host = '', id = ''] = key.slice(keys.claims.length).split('/');
    const status = picture.records.statuses.get(keys.status(host, id))?.value;
    add(host, {
      id,
      name: claim.o.slice(claim.o.indexOf('/') + 1),
      owner: claim.o,
      state: claim.w === 'stop' ? 'stopping' : (status?.state ?? 'pending'),
      ...(status?.reason ? { reason: status.reason } : {}),
    });
  }
  for (const app of picture.ownersOfJobs()) {
    if (!mayApp(person, app, 'read')) continue;
    const jobs = picture.jobs(app).filter(({ claim }) => claim);
    for (const line of jobLines(jobs, jobContext(picture, hosts, app))) {
      add(line.host, {
        id: line.id,
        name: `${app} ${line.name}`,
        owner: `app/${app}/${line.release}/${line.type}`,
        state: line.state,
        ...(line.reason ? { reason: line.reason } : {}),
      });
    }
  }
  return byHost;
}

// What the router should carry: routes and the instances behind them, read from records that are not trusted.
import { isIP } from 'node:net';
import { Route } from '../../api/app.js';
import { Instance } from '../../api/grid.js';
import { keys, partsAfter } from '../../api/keys.js';
import { Domain, HostName, JobId, ServiceName } from '../../api/names.js';

/** One instance of a service: a server of HAProxy, named by the id of its job. */
export interface Server {
  id: string;
  host: string;
  address: string;
  port: number;
}

/** Routes by domain, servers by service. */
export interface Table {
  /** Domain in lower case → service. */
  routes: ReadonlyMap<string, string>;
  services: ReadonlyMap<string, readonly Server[]>;
}

/** What HAProxy should do: the table, and the hosts that do not answer. */
export interface Desired extends Table {
  suspects: ReadonlySet<string>;
  /** Those of them that have been silent for so long that nobody will answer what is under way there. */
  dead: ReadonlySet<string>;
}

/** A table with nothing in it. */
export const emptyTable: Table = { routes: new Map(), services: new Map() };

/**
 * The route of a record, undefined when it is not one. Everything that reaches HAProxy's configuration passes
 * here or `parseInstance`: a domain or service with a space or a line break would be a line of configuration.
 */
export function parseRoute(key: string, value: string): Route | undefined {
  const route = Route.safeParse(JSON.parse(value));
  if (!route.success || !Domain.safeParse(partsAfter(keys.routes, key)[0]).success) return undefined;
  return ServiceName.safeParse(route.data.service).success ? route.data : undefined;
}

/** The server of an instance record with its service, undefined when the record or its key is not one. */
export function parseInstance(key: string, value: string): (Server & { service: string }) | undefined {
  const [host, service, id, ...rest] = partsAfter(keys.instances, key);
  const known =
    HostName.safeParse(host).success && ServiceName.safeParse(service).success && isServerName(id);
  const instance = Instance.safeParse(JSON.parse(value));
  if (!known || rest.length > 0 || !instance.success) return undefined;
  const { address, port } = instance.data;
  if (isIP(address) === 0 || port < 1 || port > 65535) return undefined;
  return { id: id as string, host: host as string, service: service as string, address, port };
}

/** Job ids, and the ids of registrations that have no job behind them. */
function isServerName(id: string | undefined): id is string {
  return id !== undefined && (JobId.safeParse(id).success || /^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$/.test(id));
}

/** The table of routes and instances: only services that a route leads to, everything in a fixed order. */
export function buildTable(
  routes: Iterable<Pick<Route, 'domain' | 'service'>>,
  instances: Iterable<Server & { service: string }>,
): Table {
  const byDomain = new Map<string, string>();
  for (const { domain, service } of routes) byDomain.set(domain.toLowerCase(), service);
  const services = new Map<string, Map<string, Server>>();
  for (const service of [...new Set(byDomain.values())].sort()) services.set(service, new Map());
  for (const { service, id, host, address, port } of instances) {
    services.get(service)?.set(id, { id, host, address, port });
  }
  return {
    routes: new Map([...byDomain].sort(([a], [b]) => compare(a, b))),
    services: new Map(
      [...services].map(([name, servers]) => [
        name,
        [...servers.values()].sort((a, b) => compare(a.id, b.id)),
      ]),
    ),
  };
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** Number of servers in a table. */
export function serverCount(table: Table): number {
  let count = 0;
  for (const servers of table.services.values()) count += servers.length;
  return count;
}

/**
 * The servers that take no requests because their host does not answer. Never all of a service: when every host
 * of it is silent, the fault may be ours, and none is taken out.
 */
export function takenOut(servers: readonly Server[], suspects: ReadonlySet<string>): ReadonlySet<string> {
  const out = servers.filter((server) => suspects.has(server.host));
  return out.length === servers.length ? new Set() : new Set(out.map((server) => server.id));
}

// A store that was restored or emptied: what served before goes on serving until each host has registered again. Pure.
import type { Server, Table } from './state.js';

/** What is kept of the time before, and which hosts have registered since. */
export interface Hold {
  readonly table: Table;
  /** Host → moment (monotonic ms) at which its first instance was seen in the new store. */
  readonly back: ReadonlyMap<string, number>;
}

/** A host registers its instances one by one: only after this time (ms) its list counts as whole. */
export const settleMs = 5_000;

/** Begins to hold a table, on top of one that is held already. */
export function beginHold(table: Table, before?: Hold): Hold {
  return { table: before ? merge(table, before.table, () => true) : table, back: new Map() };
}

/**
 * The table to serve: the store's, and of the held one every route that the store does not have, and the servers of
 * the hosts that have not registered again. The hold is undefined once no server is held any more.
 */
export function withHold(
  hold: Hold,
  table: Table,
  hosts: Iterable<string>,
  now: number,
): { table: Table; hold?: Hold } {
  const back = new Map(hold.back);
  for (const host of hosts) if (!back.has(host)) back.set(host, now);
  const held = (server: Server): boolean => now - (back.get(server.host) ?? now) < settleMs;
  const merged = merge(table, hold.table, held);
  const any = [...hold.table.services.values()].some((servers) => servers.some(held));
  return any ? { table: merged, hold: { ...hold, back } } : { table };
}

function merge(table: Table, kept: Table, held: (server: Server) => boolean): Table {
  const services = new Map(table.services);
  for (const [service, servers] of kept.services) {
    const now = services.get(service) ?? [];
    const known = new Set(now.map((server) => server.id));
    const extra = servers.filter((server) => !known.has(server.id) && held(server));
    services.set(service, [...now, ...extra]);
  }
  return { routes: new Map([...kept.routes, ...table.routes]), services };
}

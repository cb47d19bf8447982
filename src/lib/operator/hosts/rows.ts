// Hosts as people see them: Sampi's view, one row for each. Pure.
import { z } from 'zod';
import { FlynnError } from '../../api/errors.js';
import type { GridView } from '../../api/sampi.js';

const amount = z.object({ m: z.number().int(), c: z.number().int() });

/** A host in a list. Memory in MiB, cpu in millicores. */
export const HostRow = z.object({
  name: z.string(),
  /** `away`: its agent gave no sign of life for 10 s. */
  state: z.enum(['up', 'cordoned', 'away']),
  address: z.string(),
  publicAddress: z.string(),
  roles: z.array(z.enum(['control', 'etcd'])),
  arch: z.string(),
  jobs: z.number().int(),
  used: amount,
  capacity: amount,
  tags: z.record(z.string(), z.string()),
  joinedAt: z.number(),
});
export type HostRow = z.infer<typeof HostRow>;

/** The hosts by name. */
export function hostRows(view: GridView): HostRow[] {
  return Object.values(view.hosts)
    .map(({ info, book, alive }) => ({
      name: info.name,
      state: !alive ? ('away' as const) : book.cordoned ? ('cordoned' as const) : ('up' as const),
      address: info.address,
      publicAddress: info.publicAddress,
      roles: info.roles,
      arch: info.arch,
      jobs: book.jobs,
      used: book.used,
      capacity: book.capacity,
      tags: book.tags,
      joinedAt: info.joinedAt,
    }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** The row of that host; throws `not_found`, naming those that there are. */
export function hostRow(view: GridView, name: string): HostRow {
  const rows = hostRows(view);
  const found = rows.find((row) => row.name === name);
  if (found) return found;
  throw noSuchHost(
    name,
    rows.map((row) => row.name),
  );
}

/** There is no such host; `names` are those that there are. */
export function noSuchHost(name: string, names: readonly string[]): FlynnError {
  const few = names.slice(0, 8).join(', ');
  return new FlynnError({
    code: 'not_found',
    message: `the cluster has no host ${name}: its hosts are ${few}${names.length > 8 ? ', …' : ''}`,
    hint: 'flynn hosts',
  });
}

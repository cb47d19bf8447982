// One service of discovery, where there is one.
import type { ServiceView } from '../api/discovery.js';
import { FlynnError } from '../api/errors.js';
import type { GridClient } from './door/grid.js';

/** The service with its instances; throws `not_found` when nothing is registered under that name. */
export async function serviceOf(
  grid: Pick<GridClient, 'service'>,
  host: string,
  name: string,
  signal: AbortSignal,
): Promise<ServiceView> {
  const found = await grid.service(host, name, { signal });
  if (found.instances.length > 0 || found.leader) return found;
  throw new FlynnError({
    code: 'not_found',
    message: `nothing is registered as ${name}`,
    hint: 'flynn services',
  });
}

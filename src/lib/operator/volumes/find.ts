// Volumes of the grid: all of them, and the one that a name means.
import type { DoorInfo } from '../../api/door.js';
import { FlynnError } from '../../api/errors.js';
import type { VolumeView } from '../../layer0/host/shapes.js';
import type { GridClient } from '../door/grid.js';
import { noSuchHost } from '../hosts/rows.js';

/** Volumes by name and host, and what could not be learned. */
export interface FoundVolumes {
  volumes: VolumeView[];
  problems: string[];
}

/** All volumes, or those of a host. Throws `not_found` for a host that is none, and why nobody answered. */
export async function listVolumes(
  grid: Pick<GridClient, 'volumes'>,
  info: Pick<DoorInfo, 'hosts'>,
  host: string | undefined,
  signal: AbortSignal,
): Promise<FoundVolumes> {
  const names = info.hosts.map(({ name }) => name).sort();
  if (host !== undefined && !names.includes(host)) throw noSuchHost(host, names);
  const hosts = host === undefined ? names : [host];
  const { volumes, silent } = await grid.volumes(hosts, { signal });
  const [first] = silent;
  if (first && silent.length === hosts.length) throw first.error;
  return {
    volumes: volumes.sort((a, b) => (a.name === b.name ? compare(a.host, b.host) : compare(a.name, b.name))),
    problems: silent.map(({ host: name, error }) => `the volumes of ${name} are not known: ${error.message}`),
  };
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** The one volume of that name. Throws `not_found`, and `conflict` when several hosts have one and none was named. */
export async function findVolume(
  grid: Pick<GridClient, 'volumes'>,
  info: Pick<DoorInfo, 'hosts'>,
  { name, host }: { name: string; host: string | undefined },
  signal: AbortSignal,
): Promise<VolumeView> {
  const { volumes, problems } = await listVolumes(grid, info, host, signal);
  const found = volumes.filter((volume) => volume.name === name);
  const [one] = found;
  if (one && found.length === 1) return one;
  if (one) {
    throw new FlynnError({
      code: 'conflict',
      message: `${found.map((volume) => volume.host).join(' and ')} have a volume ${name} each`,
      hint: `say which: --host ${one.host}`,
    });
  }
  const gap = problems.length > 0 ? ` (${problems.join('; ')})` : '';
  throw new FlynnError({
    code: 'not_found',
    message: `there is no volume ${name}${host === undefined ? '' : ` on host ${host}`}${gap}`,
    hint: 'flynn volumes',
  });
}

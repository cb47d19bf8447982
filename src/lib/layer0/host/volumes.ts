// Volumes of this host: names in Docker, who may mount which, and what a start has to see to first.
import { FlynnError } from '../../api/errors.js';
import type { Claim, JobTemplate } from '../../api/job.js';
import { keys } from '../../api/keys.js';
import { volumeOwner, VolumeRecord } from '../../api/volume.js';
import type { Docker, VolumeInfo } from '../../docker/port.js';
import * as reduce from './reduce-volumes.js';
import { claimsByJob, type HostState } from './state.js';

const labels = {
  name: 'flynn.volume',
  host: 'flynn.volume.host',
  owner: 'flynn.volume.owner',
  limit: 'flynn.volume.limit',
} as const;

/** Name of a volume in Docker. It carries the host's: several hosts may share one engine. */
export const dockerVolume = (host: string, name: string): string => `flynn.${host}.${name}`;

/** Names of the volumes that a job mounts. */
export const volumesOf = (template: Pick<JobTemplate, 'mounts'> | undefined): string[] =>
  (template?.mounts ?? []).filter(({ type }) => type === 'volume').map(({ source }) => source);

/** Jobs claimed for this host that mount the volume. */
export const usersOf = (state: HostState, name: string): string[] =>
  [...claimsByJob(state)]
    .filter(([, claim]) => volumesOf(state.templates.get(claim.t)).includes(name))
    .map(([job]) => job);

/** The record of a volume of ours, read off its labels; undefined when it is none of this host. */
const recordOf = (host: string, info: VolumeInfo): VolumeRecord | undefined => {
  if (info.labels[labels.host] !== host) return undefined;
  const limit = Number(info.labels[labels.limit] ?? '');
  return VolumeRecord.safeParse({
    name: info.labels[labels.name],
    host,
    owner: info.labels[labels.owner] ?? '',
    createdAt: info.createdAt ?? 0,
    ...(limit > 0 ? { sizeLimit: limit } : {}),
  }).data;
};

/** All volumes of this host that Docker has. */
export const listVolumes = async (
  docker: Docker,
  host: string,
  signal?: AbortSignal,
): Promise<VolumeRecord[]> => {
  const list = await docker.volumes.list({ labels: [`${labels.host}=${host}`], signal, timeoutMs: 10_000 });
  return list.flatMap((info) => recordOf(host, info) ?? []);
};

/** What a volume is made with. */
export interface VolumeWish {
  name: string;
  owner: string;
  sizeLimit?: number;
}

/** Makes a volume in Docker unless it is there, and books it. Throws what Docker throws. */
export const makeVolume = async (
  { state, docker, clock }: VolumeDeps,
  { name, owner, sizeLimit }: VolumeWish,
  signal?: AbortSignal,
): Promise<VolumeRecord> => {
  const host = state.host.name;
  const there = state.volumes.get(name);
  if (there) return there;
  const info = await docker.volumes.create(
    {
      name: dockerVolume(host, name),
      labels: {
        [labels.name]: name,
        [labels.host]: host,
        [labels.owner]: owner,
        ...(sizeLimit === undefined ? {} : { [labels.limit]: String(sizeLimit) }),
      },
    },
    { signal },
  );
  const record = recordOf(host, info);
  if (!record)
    throw new FlynnError({
      code: 'conflict',
      message: `${info.name} in Docker is no volume of host ${host}`,
    });
  reduce.volumeSeen(state, record, clock.mono());
  return record;
};

/** What work on volumes is done with. */
export interface VolumeDeps {
  state: HostState;
  docker: Docker;
  clock: { mono(): number };
}

/**
 * Sees to the volumes of a job before its start: those that are not there are made, for its owner. Throws `conflict`
 * for a volume of another owner, `missing` for one that is recorded and whose data is gone.
 */
export const prepareVolumes = async (
  deps: VolumeDeps,
  claim: Pick<Claim, 'o'>,
  template: JobTemplate,
  signal?: AbortSignal,
): Promise<void> => {
  const { state } = deps;
  const owner = volumeOwner(claim.o);
  for (const name of volumesOf(template)) {
    if (state.volumesBusy.has(name)) {
      throw new FlynnError({ code: 'conflict', message: `volume ${name} is being destroyed or restored` });
    }
    const known = state.volumes.get(name);
    const recorded = state.volumeRecords.get(keys.volume(state.host.name, name))?.value;
    const other = known ?? recorded;
    if (other && other.owner !== '' && other.owner !== owner) {
      throw new FlynnError({
        code: 'conflict',
        message: `volume ${name} of host ${state.host.name} belongs to ${other.owner}, not to ${owner}`,
        hint: 'flynn volumes',
      });
    }
    // An empty volume in the place of lost data would look like data.
    if (!known && recorded) {
      throw new FlynnError({
        code: 'missing',
        message: `the data of volume ${name} is gone from host ${state.host.name}`,
        hint: `flynn volumes:destroy ${name}   (then the next start makes an empty one), or volumes:restore`,
      });
    }
    if (!known) await makeVolume(deps, { name, owner }, signal);
  }
};

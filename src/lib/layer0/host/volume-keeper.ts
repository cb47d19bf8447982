// What is asked of volumes over the API: create, destroy, show; and their content as a tar stream, out and in.
import type { Readable } from 'node:stream';
import { FlynnError, isFlynnError } from '../../api/errors.js';
import { keys } from '../../api/keys.js';
import { VolumeName, type VolumeRecord } from '../../api/volume.js';
import { ulid } from '../../util/ulid.js';
import type { PerformDeps } from './perform.js';
import { containerGone } from './reduce.js';
import { volumeGone } from './reduce-volumes.js';
import type { VolumeView } from './shapes.js';
import { isRunning } from './state.js';
import { dockerVolume, makeVolume, usersOf, type VolumeWish } from './volumes.js';

/** Where the helper container sees the volume. */
const inside = '/volume';
/** Label of containers that only give access to a volume and never run. */
const helperLabel = 'flynn.volume.helper';

/** How long the engine has to let go of the volume of a container that has ended, and how often it is asked, ms. */
const releaseMs = 3_000;
const releaseAgainMs = 100;

/** Volumes of one host. */
export class VolumeKeeper {
  constructor(private readonly deps: PerformDeps) {}

  private get host(): string {
    return this.deps.state.host.name;
  }

  /** All volumes, recorded or found on the host. */
  list(): VolumeView[] {
    const { state } = this.deps;
    const names = new Set(state.volumes.keys());
    for (const [, { value }] of state.volumeRecords.entries()) names.add(value.name);
    return [...names].sort().map((name) => this.get(name));
  }

  /** One volume. Throws `not_found`. */
  get(name: string): VolumeView {
    const { state } = this.deps;
    const there = state.volumes.get(name);
    const recorded = state.volumeRecords.get(keys.volume(this.host, name))?.value;
    const record = there ?? recorded;
    if (!record) {
      throw new FlynnError({
        code: 'not_found',
        message: `host ${this.host} has no volume ${name}`,
        hint: 'flynn volumes',
      });
    }
    const missing = !there && state.volumesListed;
    return { ...record, usedBy: usersOf(state, name), ...(missing ? { missing } : {}) };
  }

  /** Makes an empty volume; one that is there and has that owner is left as it is. Throws `conflict`, `invalid`. */
  async create(wish: VolumeWish, signal?: AbortSignal): Promise<VolumeView> {
    const name = VolumeName.parse(wish.name);
    return this.alone(name, async () => {
      const there = this.deps.state.volumes.get(name);
      if (there && there.owner !== wish.owner) throw this.taken(there);
      const record = await makeVolume(this.deps, wish, signal);
      await this.record(record, signal);
      return this.get(name);
    });
  }

  /** Destroys a volume and its data. Throws `conflict` while a job is claimed with it or a container runs on it. */
  async destroy(name: string, signal?: AbortSignal): Promise<void> {
    const { state, store, clock, log } = this.deps;
    return this.alone(VolumeName.parse(name), async () => {
      const { usedBy } = this.get(name);
      if (usedBy.length > 0) {
        throw new FlynnError({
          code: 'conflict',
          message: `volume ${name} of host ${this.host} is used by job ${usedBy.join(', ')}`,
          hint: `flynn jobs:stop ${usedBy[0]}`,
        });
      }
      await this.removeUnused(name, signal);
      volumeGone(state, name, clock.mono());
      const key = keys.volume(this.host, name);
      const { revision } = await store.delete(key, { signal });
      state.volumeRecords.remove(key, revision);
      log.info({ volume: name }, 'volume destroyed');
    });
  }

  /** The content of a volume as a tar stream; jobs go on, and what they write meanwhile may be in it or not. */
  async snapshot(name: string, signal?: AbortSignal): Promise<Readable> {
    if (!this.deps.state.volumes.has(this.get(name).name)) throw this.lost(name);
    const helper = await this.helper(name, signal);
    try {
      const stream = await this.deps.docker.containers.getArchive(helper, `${inside}/.`, { signal });
      stream.once('close', () => void this.removeHelper(helper));
      return stream;
    } catch (error) {
      await this.removeHelper(helper);
      throw error;
    }
  }

  /** Makes a volume from a snapshot. Throws `conflict` when there is one of that name; what failed half-way is removed. */
  async restore(wish: VolumeWish, tar: Readable, signal?: AbortSignal): Promise<VolumeView> {
    const { state, docker, clock } = this.deps;
    const name = VolumeName.parse(wish.name);
    return this.alone(name, async () => {
      const there = state.volumes.get(name);
      if (there) throw this.taken(there);
      const record = await makeVolume(this.deps, wish, signal);
      try {
        const helper = await this.helper(name, signal);
        try {
          await docker.containers.putArchive(helper, inside, tar, { signal });
        } finally {
          await this.removeHelper(helper);
        }
      } catch (error) {
        await docker.volumes.remove(dockerVolume(this.host, name));
        volumeGone(state, name, clock.mono());
        throw error;
      }
      await this.record(record, signal);
      return this.get(name);
    });
  }

  /** Removes helper containers that an agent before this one left behind. */
  async removeHelpers(signal?: AbortSignal): Promise<void> {
    const labels = [`${helperLabel}=${this.host}`];
    for (const { id } of await this.deps.docker.containers.list({ labels, signal }))
      await this.removeHelper(id);
  }

  private async record(record: VolumeRecord, signal?: AbortSignal): Promise<void> {
    const { store, state } = this.deps;
    const key = keys.volume(this.host, record.name);
    const { revision } = await store.put(key, JSON.stringify(record), { signal });
    state.volumeRecords.put(key, record, revision);
  }

  private async alone<T>(name: string, work: () => Promise<T>): Promise<T> {
    const busy = this.deps.state.volumesBusy;
    if (busy.has(name)) {
      throw new FlynnError({
        code: 'conflict',
        message: `volume ${name} of host ${this.host} is being changed by another call`,
      });
    }
    busy.add(name);
    try {
      return await work();
    } finally {
      busy.delete(name);
    }
  }

  /** Removes the volume in Docker, and the dead jobs on it: the engine keeps it for them. */
  private async removeUnused(name: string, signal?: AbortSignal): Promise<void> {
    const { docker, state, clock } = this.deps;
    const volume = dockerVolume(this.host, name);
    for (const end = clock.mono() + releaseMs; ;) {
      for (const container of await docker.containers.list({ all: true, volumes: [volume], signal })) {
        if (isRunning(container)) continue;
        await docker.containers.remove(container.id, { force: false }, { signal });
        containerGone(state, container.id);
      }
      try {
        return await docker.volumes.remove(volume, { signal });
      } catch (error) {
        // A container that has just ended, or is just being removed, lets go of it in a moment.
        if (!isFlynnError(error, 'conflict') || clock.mono() >= end) throw error;
      }
      await clock.sleep(releaseAgainMs, signal);
    }
  }

  /** A container that is never started: the engine gives access to the volumes of those, too. */
  private async helper(name: string, signal?: AbortSignal): Promise<string> {
    const { docker, clock, rng } = this.deps;
    const [image] = await docker.images.list({ signal });
    if (!image) throw new FlynnError({ code: 'missing', message: `host ${this.host} has no image at all` });
    return docker.containers.create(
      {
        name: `flynn-volume-${ulid(clock.now(), rng)}`,
        image: image.id,
        cmd: ['true'],
        labels: { [helperLabel]: this.host },
        network: 'none',
        mounts: [{ type: 'volume', source: dockerVolume(this.host, name), target: inside }],
      },
      { signal },
    );
  }

  private async removeHelper(id: string): Promise<void> {
    try {
      await this.deps.docker.containers.remove(id, { force: true });
    } catch (error) {
      if (!isFlynnError(error)) throw error;
      // The next start of an agent removes it.
      this.deps.log.warn(
        { container: id, error: error.message },
        'a helper of a volume could not be removed',
      );
    }
  }

  private taken({ name, owner }: VolumeRecord): FlynnError {
    const whose = owner === '' ? '' : `, and belongs to ${owner}`;
    return new FlynnError({
      code: 'conflict',
      message: `volume ${name} is on host ${this.host} already${whose}`,
      hint: `flynn volumes:destroy ${name}`,
    });
  }

  private lost(name: string): FlynnError {
    return new FlynnError({
      code: 'missing',
      message: `the data of volume ${name} is gone from host ${this.host}`,
    });
  }
}

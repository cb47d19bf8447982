// Images, networks and volumes of the fake engine.
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { FlynnError } from '../../src/lib/api/errors.js';
import {
  splitRef,
  type DockerImages,
  type DockerNetworks,
  type DockerVolumes,
  type ImageInfo,
  type NetworkInfo,
  type VolumeInfo,
} from '../../src/lib/docker/index.js';
import type { FakeContainer } from './docker-container.js';

/** A call of the port, as `containers.start`, for fault injection and for counting. */
export type FakeCall = `${'containers' | 'images' | 'networks' | 'volumes' | 'engine'}.${string}`;

/** Runs the work of a call, or the fault that a test put there. */
export type Caller = <T>(name: FakeCall, work: () => T | Promise<T>) => Promise<T>;

/** An error as the real adapter throws it. */
export const fail = (code: FlynnError['code'], message: string): FlynnError =>
  new FlynnError({ code, message });

/** True when labels match a filter, `key` or `key=value`. */
export const hasLabel = (labels: Record<string, string>, wanted: string): boolean => {
  const at = wanted.indexOf('=');
  return at < 0 ? wanted in labels : labels[wanted.slice(0, at)] === wanted.slice(at + 1);
};

const found = <T>(map: Map<string, T>, name: string, what: string): T => {
  const value = map.get(name);
  if (value === undefined) throw fail('not_found', `no such ${what}: ${name}`);
  return value;
};

/** The images, and the port's calls on them. */
export class FakeImages {
  readonly #all = new Map<string, ImageInfo>();
  #builds = 0;

  constructor(
    private readonly call: Caller,
    private readonly now: () => number,
    private readonly containers: () => Iterable<FakeContainer>,
  ) {}

  get size(): number {
    return this.#all.size;
  }

  /** Puts an image there, as a pull or a load would; returns its id. */
  add(ref: string, more: Partial<ImageInfo> = {}): string {
    const tag = ref.includes('@') ? undefined : `${splitRef(ref).repository}:${splitRef(ref).tag}`;
    const id = more.id ?? `sha256:${createHash('sha256').update(ref).digest('hex')}`;
    const empty = {
      sizeBytes: 1,
      labels: {},
      architecture: 'amd64',
      os: 'linux',
      env: {},
      cmd: [],
      entrypoint: [],
    };
    const rest = { workingDir: '', user: '', exposed: [], createdAt: this.now() };
    const old = this.#all.get(id);
    const tags = [...new Set([...(old?.tags ?? []), ...(tag ? [tag] : [])])];
    this.#all.set(id, { ...empty, ...rest, digests: tag ? [] : [ref], ...more, id, tags });
    return id;
  }

  /** The image of that name or id. Throws `image_missing`. */
  get(ref: string): ImageInfo {
    const tag = ref.includes('@') ? ref : `${splitRef(ref).repository}:${splitRef(ref).tag}`;
    const byName = (image: ImageInfo): boolean => image.tags.includes(tag) || image.digests.includes(ref);
    const image = this.#all.get(ref) ?? [...this.#all.values()].find(byName);
    if (!image) throw fail('image_missing', `No such image: ${ref}`);
    return image;
  }

  #has(ref: string): boolean {
    try {
      return this.get(ref) !== undefined;
    } catch (error) {
      if (error instanceof FlynnError && error.code === 'image_missing') return false;
      throw error;
    }
  }

  #remove(ref: string, force: boolean): void {
    if (!this.#has(ref)) return;
    const image = this.get(ref);
    const tags = image.tags.filter((tag) => tag !== ref && tag !== `${ref}:latest`);
    const used = [...this.containers()].some((c) => c.info.imageId === image.id);
    if (used && !force && tags.length === 0) throw fail('conflict', `image ${ref} is used by a container`);
    image.tags = tags;
    if (tags.length === 0 || ref === image.id) this.#all.delete(image.id);
  }

  readonly port: DockerImages = {
    inspect: (ref) => this.call('images.inspect', () => structuredClone(this.get(ref))),
    list: (filter = {}) =>
      this.call('images.list', () =>
        [...this.#all.values()]
          .filter((image) => (filter.labels ?? []).every((label) => hasLabel(image.labels, label)))
          .filter((image) => filter.dangling === undefined || (image.tags.length === 0) === filter.dangling)
          .filter(
            (image) =>
              !filter.reference ||
              image.tags.some((t) => t === filter.reference || splitRef(t).repository === filter.reference),
          ),
      ),
    pull: (ref) => this.call('images.pull', () => void this.add(ref)),
    push: (ref) => this.call('images.push', () => this.get(ref).id),
    load: async (tar) => {
      const loaded: string[] = [];
      for await (const chunk of tar)
        loaded.push(
          ...String(chunk)
            .split('\n')
            .filter((ref) => ref !== ''),
        );
      return this.call('images.load', () => {
        for (const ref of loaded) this.add(ref);
        return loaded;
      });
    },
    // A bundle of this engine is the list of its references, one per line.
    save: (refs) =>
      this.call('images.save', () => {
        for (const ref of refs) this.get(ref);
        return Readable.from(refs.map((ref) => `${ref}\n`));
      }),
    import: async (tar, ref) => {
      for await (const _ of tar);
      return this.call('images.import', () => this.add(ref));
    },
    build: async (context, opts) => {
      for await (const _ of context);
      return this.call('images.build', () => {
        const id = `sha256:${createHash('sha256').update(`build ${++this.#builds}`).digest('hex')}`;
        for (const tag of opts.tags) this.add(tag, { id, labels: opts.labels ?? {} });
        return id;
      });
    },
    tag: (source, ref) => this.call('images.tag', () => void this.add(ref, this.get(source))),
    remove: (ref, how = {}) => this.call('images.remove', () => this.#remove(ref, how.force ?? false)),
    prune: () =>
      this.call('images.prune', () => {
        const old = [...this.#all.values()].filter((image) => image.tags.length + image.digests.length === 0);
        for (const image of old) this.#all.delete(image.id);
        return old.length;
      }),
  };
}

/** Networks and volumes, and the port's calls on them. */
export class FakeResources {
  readonly #networks = new Map<string, NetworkInfo>();
  readonly #volumes = new Map<string, VolumeInfo>();

  constructor(
    private readonly call: Caller,
    private readonly now: () => number,
    private readonly containers: () => Iterable<FakeContainer>,
    private readonly container: (id: string) => FakeContainer,
  ) {}

  /** Makes a volume as mounting it does. */
  ensureVolume(name: string): void {
    const mountpoint = `/var/lib/docker/volumes/${name}/_data`;
    if (!this.#volumes.has(name)) this.#volumes.set(name, { name, driver: 'local', labels: {}, mountpoint });
  }

  readonly networks: DockerNetworks = {
    list: () => this.call('networks.list', () => [...this.#networks.values()]),
    inspect: (name) => this.call('networks.inspect', () => found(this.#networks, name, 'network')),
    create: (spec) =>
      this.call('networks.create', () => {
        if (this.#networks.has(spec.name)) throw fail('conflict', `network ${spec.name} exists`);
        const { name, driver = 'bridge', labels = {} } = spec;
        const subnets = spec.subnet ? [spec.subnet] : [];
        this.#networks.set(name, { id: name, name, driver, labels, subnets, gateways: [] });
        return name;
      }),
    connect: (name, container) =>
      this.call('networks.connect', () => {
        found(this.#networks, name, 'network');
        this.container(container).info.networks[name] = '172.18.0.2';
      }),
    disconnect: (name, container) =>
      this.call('networks.disconnect', () => void delete this.container(container).info.networks[name]),
    remove: (name) => this.call('networks.remove', () => void this.#networks.delete(name)),
  };

  readonly volumes: DockerVolumes = {
    list: (filter = {}) =>
      this.call('volumes.list', () =>
        [...this.#volumes.values()].filter((v) =>
          (filter.labels ?? []).every((label) => hasLabel(v.labels, label)),
        ),
      ),
    inspect: (name) => this.call('volumes.inspect', () => found(this.#volumes, name, 'volume')),
    create: ({ name, labels = {}, driver = 'local' }) =>
      this.call('volumes.create', () => {
        const volume = this.#volumes.get(name) ?? {
          ...{ name, driver, labels, createdAt: this.now() },
          mountpoint: `/var/lib/docker/volumes/${name}/_data`,
        };
        this.#volumes.set(name, volume);
        return volume;
      }),
    remove: (name) =>
      this.call('volumes.remove', () => {
        const user = [...this.containers()].find((c) => c.spec.mounts?.some((m) => m.source === name));
        if (user) throw fail('conflict', `volume ${name} is in use by ${user.info.name}`);
        this.#volumes.delete(name);
      }),
  };
}

// A Docker engine in memory: containers with states, programs that tests write, events, logs, images, injected faults.
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import type {
  ContainerInfo,
  ContainerSpec,
  Docker,
  DockerContainers,
  DockerEvent,
  DockerExecResult,
  DockerImages,
  DockerNetworks,
  DockerVolumes,
  EventOptions,
  ImageInfo,
  LogLine,
  LogOptions,
} from '../../src/lib/docker/index.js';
import { systemClock, type Clock } from '../../src/lib/util/clock.js';
import { FakeContainer, signalExit, type Program } from './docker-container.js';
import { fail, FakeImages, FakeResources, hasLabel, type Caller, type FakeCall } from './docker-resources.js';

export { FakeContainer, type Program } from './docker-container.js';
export type { FakeCall } from './docker-resources.js';

/** How a fake engine differs from an empty one. */
export interface FakeDockerOptions {
  clock?: Pick<Clock, 'now' | 'after'>;
  /** Images that are there from the beginning. */
  images?: readonly string[];
  /** What a container runs; undefined runs until it is stopped. */
  program?(spec: ContainerSpec): Program | undefined;
  /** Answers exec. Default: exit code 0, no output. */
  exec?(container: FakeContainer, argv: readonly string[]): Promise<DockerExecResult>;
  cpus?: number;
  memoryBytes?: number;
}

/** The engine. Its own methods beyond the port are the test's hands. */
export class FakeDocker implements Docker {
  /** Every container, by id. */
  readonly all = new Map<string, FakeContainer>();
  /** Calls so far, in order. */
  readonly calls: FakeCall[] = [];
  readonly #clock: Pick<Clock, 'now' | 'after'>;
  readonly #images: FakeImages;
  readonly #resources: FakeResources;
  readonly #events: DockerEvent[] = [];
  readonly #faults = new Map<FakeCall, Error[]>();
  readonly #listeners = new Set<() => void>();
  #serial = 0;
  #down = 0;

  constructor(private readonly options: FakeDockerOptions = {}) {
    this.#clock = options.clock ?? systemClock;
    const call: Caller = (name, work) => this.#call(name, work);
    const now = (): number => this.#clock.now();
    const containers = (): Iterable<FakeContainer> => this.all.values();
    this.#images = new FakeImages(call, now, containers);
    this.#resources = new FakeResources(call, now, containers, (id) => this.get(id));
    this.images = this.#images.port;
    this.networks = this.#resources.networks;
    this.volumes = this.#resources.volumes;
    for (const ref of options.images ?? []) this.addImage(ref);
  }

  // ---- the test's hands ----

  /** Puts an image there, as a pull or a load would; returns its id. */
  addImage(ref: string, more: Partial<ImageInfo> = {}): string {
    return this.#images.add(ref, more);
  }

  /** The container of that name or id. Throws when there is none. */
  get(nameOrId: string): FakeContainer {
    const found = this.all.get(nameOrId) ?? [...this.all.values()].find((c) => c.info.name === nameOrId);
    if (!found) throw fail('not_found', `no such container: ${nameOrId}`);
    return found;
  }

  /** Ends a container's program, as a crash would. */
  exit(nameOrId: string, code: number, how: { oom?: boolean } = {}): void {
    const container = this.get(nameOrId);
    if (how.oom) {
      container.info.oomKilled = true;
      this.#emit('container', 'oom', container);
    }
    this.#exited(container, code);
  }

  /** Adds output to a running container. */
  output(nameOrId: string, text: string, stream: 'stdout' | 'stderr' = 'stdout'): void {
    this.get(nameOrId).write(stream, text);
  }

  /** The next `times` calls of that name throw. */
  failNext(call: FakeCall, error: Error, times = 1): void {
    this.#faults.set(call, [
      ...(this.#faults.get(call) ?? []),
      ...Array.from({ length: times }, () => error),
    ]);
  }

  /** The engine's process is gone: every call is `unreachable`, event streams break; containers go on (live-restore). */
  goDown(): void {
    this.#down += 1;
    this.#wake();
  }

  /** The engine answers again. */
  comeBack(): void {
    this.#down = 0;
  }

  /** The machine restarts: every container ends; those with `restart: always` start again. */
  reboot(): void {
    for (const container of this.all.values()) if (container.running) this.#exited(container, 137, true);
    for (const container of this.all.values())
      if (container.spec.restart === 'always') this.#start(container);
  }

  /** Somebody makes and starts a container behind our back; returns its id. */
  async intrude(spec: ContainerSpec): Promise<string> {
    this.addImage(spec.image);
    const id = await this.containers.create(spec);
    await this.containers.start(id);
    return id;
  }

  // ---- the port ----

  ping = (): Promise<void> => this.#call('engine.ping', () => undefined);
  version: Docker['version'] = () =>
    this.#call('engine.version', () => ({
      version: '20.10.24',
      apiVersion: '1.41',
      minApiVersion: '1.12',
      os: 'linux',
      arch: 'amd64',
    }));
  info: Docker['info'] = () =>
    this.#call('engine.info', () => ({
      id: 'FAKE',
      name: 'fake',
      serverVersion: '20.10.24',
      cpus: this.options.cpus ?? 2,
      memoryBytes: this.options.memoryBytes ?? 4 * 1024 ** 3,
      rootDir: '/var/lib/docker',
      storageDriver: 'overlay2',
      cgroupVersion: '1',
      cgroupDriver: 'cgroupfs',
      kernelVersion: '6.1.0',
      operatingSystem: 'Debian GNU/Linux 12 (bookworm)',
      architecture: 'x86_64',
      liveRestore: true,
      containers: this.all.size,
      containersRunning: [...this.all.values()].filter((c) => c.running).length,
      images: this.#images.size,
      warnings: [],
    }));
  close = (): void => undefined;

  async *events(opts: EventOptions = {}): AsyncGenerator<DockerEvent, void, undefined> {
    const epoch = this.#down;
    const latest = this.#events.length;
    await this.#call('engine.events', () => undefined);
    const since = opts.since === undefined ? undefined : BigInt(Math.floor(opts.since * 1e9));
    const wanted = (event: DockerEvent): boolean =>
      (!opts.types || opts.types.includes(event.type)) &&
      (!opts.actions || opts.actions.includes(event.action)) &&
      (opts.labels ?? []).every((label) => hasLabel(event.attributes, label)) &&
      (since === undefined || BigInt(event.timeNano) >= since);
    for (let at = since === undefined ? latest : 0; ;) {
      for (; at < this.#events.length; at++) {
        const event = this.#events[at];
        if (event && wanted(event)) yield event;
        if (opts.signal?.aborted) return;
      }
      if (opts.signal?.aborted) return;
      if (this.#down > epoch) throw fail('unreachable', 'the Docker engine ended its stream of events');
      await this.#news(opts.signal);
    }
  }

  readonly containers: DockerContainers = {
    list: (filter = {}) =>
      this.#call('containers.list', () =>
        [...this.all.values()]
          .filter((c) => filter.all !== false || c.running)
          .filter((c) => !filter.names || filter.names.includes(c.info.name))
          .filter((c) => !filter.volumes || c.spec.mounts?.some((m) => filter.volumes?.includes(m.source)))
          .filter((c) => (filter.labels ?? []).every((label) => hasLabel(c.info.labels, label)))
          .map(({ info: { id, name, image, imageId, labels, state, createdAt } }) => ({
            ...{ id, name, image, imageId, labels: { ...labels }, state, createdAt },
          })),
      ),
    inspect: (id) => this.#call('containers.inspect', () => structuredClone(this.get(id).info)),
    create: (spec) => this.#call('containers.create', () => this.#create(spec)),
    start: (id) => this.#call('containers.start', () => this.#start(this.get(id))),
    stop: (id, seconds) => this.#call('containers.stop', () => this.#stop(this.get(id), seconds)),
    kill: (id, signal = 'SIGKILL') =>
      this.#call('containers.kill', () => {
        const container = this.get(id);
        if (!container.running) throw fail('conflict', `container ${id} is not running`);
        this.#emit('container', 'kill', container, { signal });
        this.#signal(container, signal);
      }),
    pause: (id) => this.#call('containers.pause', () => this.#setState(id, 'running', 'paused', 'pause')),
    unpause: (id) =>
      this.#call('containers.unpause', () => this.#setState(id, 'paused', 'running', 'unpause')),
    rename: (id, name) =>
      this.#call('containers.rename', () => {
        this.#nameFree(name);
        this.get(id).info.name = name;
      }),
    remove: (id, how = {}) =>
      this.#call('containers.remove', () => {
        const found = this.all.get(id) ?? [...this.all.values()].find((c) => c.info.name === id);
        if (!found) return;
        if (found.running && !how.force) throw fail('conflict', `container ${id} is running`);
        if (found.running) this.#exited(found, 137, true);
        this.all.delete(found.info.id);
        found.changed();
        this.#emit('container', 'destroy', found);
      }),
    wait: (id, opts = {}) =>
      this.#call('containers.wait', () => this.get(id).wait(opts.condition === 'next-exit', opts.signal)),
    logs: (id, opts) => this.#logs(id, opts),
    stats: (id) =>
      this.#call('containers.stats', () => ({
        memoryBytes: this.get(id).running ? 1024 * 1024 : 0,
        memoryLimitBytes: this.get(id).info.memoryBytes,
        cpuNanos: 1_000_000,
        pids: this.get(id).running ? 1 : 0,
        rxBytes: 0,
        txBytes: 0,
      })),
    exec: (id, argv) =>
      this.#call('containers.exec', () => {
        if (!this.get(id).running) throw fail('conflict', `container ${id} is not running`);
        return this.options.exec?.(this.get(id), argv) ?? { code: 0, stdout: '', stderr: '' };
      }),
    execAttach: (id, argv) =>
      this.#call('containers.execAttach', async () => {
        const container = this.get(id);
        if (!container.running) throw fail('conflict', `container ${id} is not running`);
        const result = (await this.options.exec?.(container, argv)) ?? { code: 0, stdout: '', stderr: '' };
        const inner = new FakeContainer({ ...container.spec, tty: true }, container.info, () =>
          this.#clock.now(),
        );
        const attachment = inner.attach();
        inner.write('stdout', result.stdout + result.stderr);
        attachment.detach();
        return { ...attachment, exitCode: () => Promise.resolve(result.code) };
      }),
    attach: (id) => this.#call('containers.attach', () => this.get(id).attach()),
    putArchive: async (id, _path, tar) => {
      await this.#call('containers.putArchive', () => void this.get(id));
      for await (const _ of tar);
    },
    getArchive: (id) =>
      this.#call('containers.getArchive', () => {
        this.get(id);
        return Readable.from([]);
      }),
  };

  readonly images: DockerImages;
  readonly networks: DockerNetworks;
  readonly volumes: DockerVolumes;

  // ---- inside ----

  async #call<T>(name: FakeCall, work: () => T | Promise<T>): Promise<T> {
    this.calls.push(name);
    if (this.#down > 0) throw fail('unreachable', 'the Docker engine does not answer');
    const fault = this.#faults.get(name)?.shift();
    if (fault) throw fault;
    return work();
  }

  #nameFree(name: string): void {
    if ([...this.all.values()].some((c) => c.info.name === name))
      throw fail('conflict', `the container name ${name} is in use`);
  }

  #create(spec: ContainerSpec): string {
    this.#nameFree(spec.name);
    const image = this.#images.get(spec.image);
    const id = createHash('sha256').update(`container ${++this.#serial}`).digest('hex');
    const info: ContainerInfo = {
      id,
      name: spec.name,
      image: spec.image,
      imageId: image.id,
      labels: { ...image.labels, ...spec.labels },
      state: 'created',
      createdAt: this.#clock.now(),
      pid: 0,
      exitCode: 0,
      oomKilled: false,
      error: '',
      networks: {},
      networkMode: spec.network ?? 'bridge',
      ports: [...(spec.publish ?? [])],
      restartCount: 0,
      restart: spec.restart ?? 'no',
      mounts: [...(spec.mounts ?? [])],
      env: { ...image.env, ...spec.env },
      cmd: [...(spec.cmd ?? image.cmd)],
      memoryBytes: spec.memoryBytes ?? 0,
      tty: spec.tty ?? false,
    };
    for (const mount of spec.mounts ?? [])
      if (mount.type === 'volume') this.#resources.ensureVolume(mount.source);
    const container = new FakeContainer(spec, info, () => this.#clock.now());
    this.all.set(id, container);
    this.#emit('container', 'create', container);
    return id;
  }

  #start(container: FakeContainer): void {
    if (container.running) return;
    for (const other of this.all.values()) {
      const clash = other !== container && other.running && portsMeet(other.spec, container.spec);
      if (clash)
        throw fail('failed', `cannot start the container ${container.info.name}: port is already allocated`);
    }
    const { info, spec } = container;
    const serial = ++this.#serial;
    info.state = 'running';
    info.pid = 1000 + serial;
    info.startedAt = this.#clock.now();
    info.finishedAt = undefined;
    info.exitCode = 0;
    info.oomKilled = false;
    if (info.networkMode !== 'host') {
      info.ip = `172.17.${Math.floor(serial / 250) % 250}.${(serial % 250) + 2}`;
      info.networks = { [info.networkMode]: info.ip };
    }
    this.#emit('container', 'start', container);
    container.run(this.options.program?.(spec), (code) => this.#exited(container, code));
    container.changed();
  }

  #exited(container: FakeContainer, code: number, stopped = false): void {
    const { info } = container;
    if (!container.running) return;
    info.state = 'exited';
    info.exitCode = code;
    info.pid = 0;
    info.ip = undefined;
    info.networks = {};
    info.finishedAt = this.#clock.now();
    container.ended();
    this.#emit('container', 'die', container, { exitCode: String(code) });
    const again = info.restart === 'always' || info.restart === 'unless-stopped';
    if (stopped || !(again || (info.restart === 'on-failure' && code !== 0))) return;
    info.restartCount += 1;
    this.#start(container);
  }

  #signal(container: FakeContainer, signal: string): void {
    // A kill by hand is no crash: Docker does not restart after it.
    const { restart } = container.info;
    container.info.restart = 'no';
    if (signal === 'SIGKILL') {
      container.signals.push(signal);
      this.#exited(container, signalExit(signal), true);
    } else container.signal(signal);
    container.info.restart = restart;
  }

  async #stop(container: FakeContainer, seconds?: number): Promise<void> {
    if (!container.running) return;
    const { restart } = container.info;
    container.info.restart = 'no';
    const ms = (seconds ?? container.spec.stopTimeout ?? 10) * 1000;
    const ended = container.wait(false);
    container.signal(container.spec.stopSignal ?? 'SIGTERM');
    let cancel: () => void = () => undefined;
    const late = new Promise<void>((resolve) => (cancel = this.#clock.after(ms, resolve)));
    await Promise.race([ended, late]);
    cancel();
    if (container.running) this.#signal(container, 'SIGKILL');
    container.info.restart = restart;
    this.#emit('container', 'stop', container);
  }

  #setState(id: string, from: 'running' | 'paused', to: 'running' | 'paused', action: string): void {
    const container = this.get(id);
    if (container.info.state !== from) throw fail('conflict', `container ${id} is ${container.info.state}`);
    container.info.state = to;
    this.#emit('container', action, container);
  }

  async *#logs(id: string, opts: LogOptions = {}): AsyncGenerator<LogLine, void, undefined> {
    const container = await this.#call('containers.logs', () => this.get(id));
    const ms = (when: number | string): number => (typeof when === 'number' ? when * 1000 : Date.parse(when));
    const wanted = ({ ts }: LogLine): boolean =>
      (opts.since === undefined || Date.parse(ts) >= ms(opts.since)) &&
      (opts.until === undefined || Date.parse(ts) <= ms(opts.until));
    let at = opts.tail === undefined ? 0 : Math.max(0, container.log.length - opts.tail);
    for (;;) {
      for (; at < container.log.length; at++) {
        const line = container.log[at];
        if (line && wanted(line)) yield { ...line };
        if (opts.signal?.aborted) return;
      }
      if (!opts.follow || !container.running || opts.signal?.aborted) return;
      await container.change(opts.signal).catch(() => undefined);
    }
  }

  #emit(type: string, action: string, container: FakeContainer, more: Record<string, string> = {}): void {
    const { id, name, image, labels } = container.info;
    const timeNano = (BigInt(Math.floor(this.#clock.now())) * 1_000_000n).toString();
    this.#events.push({ type, action, id, attributes: { ...labels, name, image, ...more }, timeNano });
    this.#wake();
  }

  #wake(): void {
    for (const listener of [...this.#listeners]) listener();
  }

  #news(signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.#listeners.delete(done);
        signal?.removeEventListener('abort', done);
        resolve();
      };
      this.#listeners.add(done);
      signal?.addEventListener('abort', done, { once: true });
    });
  }
}

const portsMeet = (a: ContainerSpec, b: ContainerSpec): boolean =>
  (a.publish ?? []).some((x) =>
    (b.publish ?? []).some(
      (y) =>
        x.hostPort === y.hostPort &&
        x.proto === y.proto &&
        (x.hostIp === y.hostIp || [x.hostIp, y.hostIp].some((ip) => ip === '' || ip === '0.0.0.0')),
    ),
  );

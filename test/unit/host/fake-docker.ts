// A Docker engine in memory, as far as the agent uses one: containers that run until they are killed or told to end.
import { FlynnError } from '../../../src/lib/api/errors.js';
import type {
  ContainerInfo,
  ContainerSpec,
  Docker,
  DockerEvent,
  LogLine,
  VolumeInfo,
} from '../../../src/lib/docker/port.js';

interface Fake extends ContainerInfo {
  spec: ContainerSpec;
  lines: string[];
  removed?: boolean;
}

const refuse = (
  code: 'not_found' | 'conflict' | 'image_missing' | 'unreachable',
  message: string,
): FlynnError => new FlynnError({ code, message });

/** The fake with its handles. */
export class FakeDocker {
  readonly containersById = new Map<string, Fake>();
  readonly images = new Set(['app:1']);
  readonly volumes = new Map<string, VolumeInfo>();
  readonly pulls: string[] = [];
  readonly calls: string[] = [];
  /** Nothing answers, and event streams break. */
  down = false;
  /** Images that a pull brings. */
  readonly registry = new Set<string>();
  /** Containers of these images go on after SIGTERM. */
  readonly deaf = new Set<string>();
  startError: string | undefined;
  private count = 0;
  private readonly listeners = new Set<(event: DockerEvent | undefined) => void>();

  constructor(private readonly now: () => number) {}

  byName(name: string): Fake | undefined {
    return [...this.containersById.values()].find((c) => c.name === name);
  }

  /** Ends a container as if its process had ended. */
  end(id: string, exitCode: number, oom = false): void {
    const c = this.get(id);
    if (c.state !== 'running') return;
    Object.assign(c, { state: 'exited', exitCode, oomKilled: oom, pid: 0, ip: undefined });
    this.emit(id, 'die', { exitCode: String(exitCode) });
  }

  /** Docker goes away, containers stay. */
  stopEngine(): void {
    this.down = true;
    for (const tell of [...this.listeners]) tell(undefined);
  }

  private emit(id: string, action: string, attributes: Record<string, string> = {}): void {
    for (const tell of [...this.listeners]) {
      tell({ type: 'container', action, id, attributes, timeNano: '0' });
    }
  }

  private get(id: string): Fake {
    if (this.down) throw refuse('unreachable', 'docker does not answer');
    const c = this.containersById.get(id) ?? this.byName(id);
    if (!c) throw refuse('not_found', `no container ${id}`);
    return c;
  }

  private create(spec: ContainerSpec): string {
    if (this.down) throw refuse('unreachable', 'docker does not answer');
    if (!this.images.has(spec.image)) throw refuse('image_missing', `no image ${spec.image}`);
    if (this.byName(spec.name)) throw refuse('conflict', `name ${spec.name} is taken`);
    const id = `d${++this.count}`;
    this.containersById.set(id, {
      id,
      name: spec.name,
      image: spec.image,
      imageId: 'sha256:1',
      labels: spec.labels ?? {},
      state: 'created',
      createdAt: this.now() + this.count,
      pid: 0,
      exitCode: 0,
      oomKilled: false,
      error: '',
      networks: {},
      networkMode: spec.network ?? 'bridge',
      ports: [...(spec.publish ?? [])],
      restartCount: 0,
      restart: 'no',
      mounts: [],
      env: spec.env ?? {},
      cmd: [],
      memoryBytes: 0,
      tty: false,
      spec,
      lines: [],
    });
    return id;
  }

  private start(id: string): void {
    const c = this.get(id);
    if (this.startError) throw refuse('conflict', this.startError);
    const ip = c.networkMode === 'host' ? undefined : '172.17.0.9';
    Object.assign(c, { state: 'running', startedAt: this.now(), pid: 42, ip });
    this.emit(c.id, 'start');
  }

  private kill(id: string, signal = 'SIGKILL'): void {
    const c = this.get(id);
    this.calls.push(`kill ${signal}`);
    if (c.state !== 'running') throw refuse('conflict', `${id} does not run`);
    if (signal === 'SIGKILL') this.end(c.id, 137);
    else if (signal === 'SIGTERM' && !this.deaf.has(c.image)) this.end(c.id, 143);
  }

  private async *events(signal?: AbortSignal): AsyncGenerator<DockerEvent> {
    if (this.down) throw refuse('unreachable', 'docker does not answer');
    const queue: (DockerEvent | undefined)[] = [];
    let wake = (): void => undefined;
    const tell = (event: DockerEvent | undefined): void => {
      queue.push(event);
      wake();
    };
    this.listeners.add(tell);
    signal?.addEventListener('abort', () => wake());
    try {
      for (;;) {
        while (queue.length > 0) {
          const event = queue.shift();
          if (!event) throw refuse('unreachable', 'the event stream broke');
          yield event;
        }
        if (signal?.aborted) return;
        await new Promise<void>((resolve) => (wake = resolve));
      }
    } finally {
      this.listeners.delete(tell);
    }
  }

  /** The port. What the agent does not use is not there. */
  port(): Docker {
    const guarded = <T>(what: string, work: () => T): Promise<T> => {
      this.calls.push(what);
      return Promise.resolve().then(() => {
        if (this.down) throw refuse('unreachable', 'docker does not answer');
        return work();
      });
    };
    const get = (id: string): Fake => this.get(id);
    const port = {
      containers: {
        list: (filter?: { labels?: readonly string[]; volumes?: readonly string[] }) =>
          guarded('list', () =>
            [...this.containersById.values()]
              .filter(
                (c) =>
                  !filter?.volumes || c.spec.mounts?.some(({ source }) => filter.volumes?.includes(source)),
              )
              .filter((c) =>
                (filter?.labels ?? []).every((l) => {
                  const [key = '', value] = l.split('=');
                  return value === undefined ? key in c.labels : c.labels[key] === value;
                }),
              )
              .map((c) => ({ ...c })),
          ),
        inspect: (id: string) => guarded('inspect', () => ({ ...get(id) })),
        create: (spec: ContainerSpec) => guarded('create', () => this.create(spec)),
        start: (id: string) => guarded('start', () => this.start(id)),
        kill: (id: string, signal?: string) => guarded('kill', () => this.kill(id, signal)),
        rename: (id: string, name: string) => guarded('rename', () => void (get(id).name = name)),
        remove: (id: string) =>
          guarded('remove', () => {
            this.containersById.delete(id);
            this.emit(id, 'destroy');
          }),
        logs: async function* (id: string, opts?: { tail?: number }): AsyncGenerator<LogLine> {
          await Promise.resolve();
          const { lines } = get(id);
          for (const line of lines.slice(-(opts?.tail ?? lines.length)))
            yield { stream: 'stdout', line, ts: '' };
        },
      },
      images: {
        inspect: (ref: string) =>
          guarded('image', () => {
            if (!this.images.has(ref)) throw refuse('image_missing', `no image ${ref}`);
            return { id: ref };
          }),
        pull: (ref: string) =>
          guarded('pull', () => {
            this.pulls.push(ref);
            if (!this.registry.has(ref)) throw refuse('image_missing', `no image ${ref} anywhere`);
            this.images.add(ref);
          }),
      },
      volumes: {
        list: () => guarded('volumes', () => [...this.volumes.values()]),
        create: ({ name, labels = {} }: { name: string; labels?: Record<string, string> }) =>
          guarded('create volume', () => {
            const made = this.volumes.get(name) ?? {
              name,
              labels,
              driver: 'local',
              mountpoint: `/v/${name}`,
              createdAt: this.now(),
            };
            this.volumes.set(name, made);
            return made;
          }),
        remove: (name: string) =>
          guarded('remove volume', () => {
            const user = [...this.containersById.values()].find((c) =>
              c.spec.mounts?.some(({ source }) => source === name),
            );
            if (user) throw refuse('conflict', `${name} is used by ${user.name}`);
            this.volumes.delete(name);
          }),
      },
      events: (opts?: { signal?: AbortSignal }) => this.events(opts?.signal),
    };
    return port as unknown as Docker;
  }
}

// The simulated engine of one host: the fake engine behind calls that take time, fail with it and lose their answers.
import { FlynnError } from '../../src/lib/api/errors.js';
import type { ContainerSpec, Docker, DockerEvent, EventOptions } from '../../src/lib/docker/index.js';
import { seededRng, type Rng } from '../../src/lib/util/rng.js';
import type { ProgramIo } from '../fakes/docker-container.js';
import { FakeDocker } from '../fakes/docker.js';
import type { Node } from './net.js';
import { Process } from './process.js';
import type { Timeline } from './timeline.js';

/** What is told of containers, before it happens (`kill`) or when it has. */
export interface DockerListener {
  started(host: Node, job: string, spec: ContainerSpec, id: string): void;
  /** `ready`: it answered checks. */
  ended(host: Node, job: string, id: string, ready: boolean): void;
  /** The agent has a running container signalled or removed by force. */
  killing(host: Node, job: string, signal: string, id: string): void;
  portClash(host: Node, job: string, why: string): void;
}

/** How the program of an image behaves. */
export interface Behaviour {
  /** ms until it answers checks. */
  readyMs: number;
  /** ms that it takes to end after SIGTERM; absent: it ignores it. */
  endMs?: number;
  /** A one-off ends by itself after this, ms. */
  lastsMs?: number;
}

/** What runs in one container. */
export interface Running {
  id: string;
  job: string;
  spec: ContainerSpec;
  ready: boolean;
}

const jobLabel = 'flynn.job';
const callMs: Record<string, number> = { create: 40, start: 180, remove: 60, kill: 15, pull: 800 };

const away = (): FlynnError =>
  new FlynnError({ code: 'unreachable', message: 'the Docker engine does not answer' });

/** The engine with its containers; both outlive the agent. */
export class SimDocker {
  /** Containers that run, by id. */
  readonly running = new Map<string, Running>();
  /** Calls take this times their usual time. */
  slowness = 1;
  readonly fake: FakeDocker;
  private readonly engine: Process;
  private readonly rng: Rng;
  private epoch = 0;
  private down = false;

  constructor(
    private readonly timeline: Timeline,
    private readonly machine: Node,
    seed: number,
    private readonly listener: DockerListener,
    images: readonly string[],
    private readonly behaviour: (image: string, rng: Rng) => Behaviour,
  ) {
    this.engine = new Process(timeline, machine, 'engine', seed);
    this.rng = seededRng(seed + 1);
    this.fake = new FakeDocker({
      clock: this.engine.clock,
      images,
      program: (spec) => (io) => this.begin(spec, io),
    });
  }

  /** dockerd dies; containers go on, and calls under way lose their answers. */
  stop(): void {
    this.down = true;
    this.epoch += 1;
    this.fake.goDown();
  }

  /** dockerd is back. */
  resume(): void {
    this.down = false;
    this.fake.comeBack();
  }

  /** The machine loses its power: every container ends, and nobody is told. */
  powerCut(): void {
    this.stop();
    for (const { id } of [...this.running.values()]) this.end(id);
    this.fake.reboot();
  }

  /** Ends a container from inside. */
  crash(id: string, code: number): void {
    this.end(id);
    if (this.fake.all.get(id)?.running) this.fake.exit(id, code);
  }

  /** Whether a check of the container at this address is answered well; without one, of one on the host's network. */
  answers(ip: string | undefined): boolean {
    for (const { id, ready } of this.running.values())
      if (ready && this.fake.all.get(id)?.info.ip === ip) return true;
    return false;
  }

  private begin(spec: ContainerSpec, io: ProgramIo): void {
    const { id } = this.fake.get(spec.name).info;
    const job = spec.labels?.[jobLabel] ?? '';
    const { readyMs, endMs, lastsMs } = this.behaviour(spec.image, this.rng);
    const exit = (code: number): void => {
      this.end(id);
      io.exit(code);
    };
    const it: Running = { id, job, spec, ready: false };
    this.running.set(id, it);
    const lives = (): boolean => this.running.get(id) === it;
    this.timeline.at(readyMs, () => lives() && (it.ready = true), this.engine);
    if (lastsMs !== undefined) this.timeline.at(lastsMs, () => lives() && exit(0), this.engine);
    io.onSignal((signal) => {
      if (signal === 'SIGTERM' && endMs !== undefined)
        this.timeline.at(endMs, () => lives() && exit(143), this.engine);
    });
    this.listener.started(this.machine, job, spec, id);
  }

  private end(id: string): void {
    const it = this.running.get(id);
    if (!it) return;
    this.running.delete(id);
    this.listener.ended(this.machine, it.job, id, it.ready);
  }

  /** The engine as one process of the host sees it. */
  client(owner: Process): Docker {
    const { fake } = this;
    const wrap = <T extends object>(room: string, calls: T): T => {
      const out: Record<string, unknown> = {};
      for (const name of Object.keys(calls)) {
        const call = calls[name as keyof T] as unknown;
        if (typeof call !== 'function') continue;
        out[name] =
          name === 'logs'
            ? call
            : (...args: unknown[]) =>
                this.call(owner, `${room}.${name}`, args, () =>
                  (call as (...all: unknown[]) => Promise<unknown>)(...args),
                );
      }
      return out as T;
    };
    return {
      containers: wrap('containers', fake.containers),
      images: wrap('images', fake.images),
      networks: wrap('networks', fake.networks),
      volumes: wrap('volumes', fake.volumes),
      events: (opts?: EventOptions) => this.events(owner, opts),
      ping: () => this.call(owner, 'ping', [], () => fake.ping()),
      version: () => this.call(owner, 'version', [], () => fake.version()),
      info: () => this.call(owner, 'info', [], () => fake.info()),
      close: () => undefined,
    };
  }

  private call<T>(owner: Process, name: string, args: unknown[], work: () => Promise<T>): Promise<T> {
    const verb = name.slice(name.indexOf('.') + 1);
    const ms = (callMs[verb] ?? 4) * this.slowness * (0.5 + this.rng.next());
    return new Promise<T>((resolve, reject) => {
      const { epoch } = this;
      const answer = (settle: () => void): void => {
        this.timeline.at(0.2, () => (this.epoch === epoch ? settle() : reject(away())), owner);
      };
      this.timeline.at(
        ms,
        () => {
          if (this.down || this.epoch !== epoch) return answer(() => reject(away()));
          this.watch(name, args);
          work().then(
            (value) => {
              this.after(name, args);
              answer(() => resolve(value));
            },
            (reason: unknown) => {
              if (name === 'containers.start' && String(reason).includes('already allocated'))
                this.listener.portClash(this.machine, this.jobOf(String(args[0])), String(reason));
              answer(() => reject(reason as Error));
            },
          );
        },
        this.engine,
      );
    });
  }

  private jobOf(nameOrId: string): string {
    try {
      return this.fake.get(nameOrId).info.labels[jobLabel] ?? '';
    } catch {
      return '';
    }
  }

  private watch(name: string, args: unknown[]): void {
    const id = String(args[0]);
    const it = this.running.get(id);
    if (!it) return;
    if (name === 'containers.kill')
      this.listener.killing(this.machine, it.job, String(args[1] ?? 'SIGKILL'), id);
    if (name === 'containers.stop') this.listener.killing(this.machine, it.job, 'stop', id);
    if (name === 'containers.remove' && (args[1] as { force?: boolean } | undefined)?.force)
      this.listener.killing(this.machine, it.job, 'remove', id);
  }

  /** A kill or a removal by force ends the program without a word of its own. */
  private after(name: string, args: unknown[]): void {
    const id = String(args[0]);
    if ((name === 'containers.kill' || name === 'containers.remove') && !this.fake.all.get(id)?.running)
      this.end(id);
  }

  private async *events(owner: Process, opts?: EventOptions): AsyncGenerator<DockerEvent, void, undefined> {
    for await (const event of this.fake.events(opts)) {
      // A dead process hears nothing more, for ever.
      if (!owner.alive) await new Promise<never>(() => undefined);
      yield event;
    }
  }
}

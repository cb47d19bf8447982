// The Docker port over a real engine: a Unix socket of this machine, or whatever a dial function reaches.
import type Dockerode from 'dockerode';
import { FlynnError } from '../api/errors.js';
import type { Clock } from '../util/clock.js';
import { makeContainers } from './containers.js';
import { labelFilter } from './convert.js';
import { dialUnix } from './dial-agent.js';
import { Engine, type EngineOptions } from './engine.js';
import { makeImages } from './images.js';
import { engineTime } from './log-lines.js';
import { ndjson } from './ndjson.js';
import type { Dial, Docker, DockerEvent, DockerInfo, DockerVersion, EventOptions } from './port.js';
import { makeNetworks, makeVolumes } from './resources.js';

/** Where Docker listens unless told otherwise. */
export const DEFAULT_SOCKET = '/var/run/docker.sock';

/** How a Docker engine is reached. DOCKER_HOST and its kin are ignored. */
export interface DockerOptions {
  /** A Unix socket of this machine. Default /var/run/docker.sock, unless `dial` is given. */
  socketPath?: string;
  /** Opens a stream to the engine's socket, e.g. `() => conn.forwardUnix('/var/run/docker.sock')`. */
  dial?: Dial;
  /** Names the engine in messages, e.g. `on node1`. Default: `at <socketPath>`. */
  where?: string;
  /** Idle connections that are kept. Default 8; 1 or 2 where each costs a session of sshd. */
  maxIdle?: number;
  clock?: Clock;
}

/** A Docker engine. Nothing is dialled before the first call. */
export const openDocker = (options: DockerOptions = {}): Docker => {
  const socketPath = options.socketPath ?? DEFAULT_SOCKET;
  const how: EngineOptions = {
    dial: options.dial ?? dialUnix(socketPath),
    where: options.where ?? (options.dial ? 'at the other end' : `at ${socketPath}`),
    maxIdle: options.maxIdle,
    clock: options.clock,
  };
  const engine = new Engine(how);
  return {
    containers: makeContainers(engine),
    images: makeImages(engine),
    networks: makeNetworks(engine),
    volumes: makeVolumes(engine),
    ping: (opts) => engine.done({ method: 'GET', path: '/_ping', what: 'answer' }, opts),
    version: async (opts) =>
      toVersion(await engine.json({ method: 'GET', path: '/version', what: 'tell its version' }, opts)),
    info: async (opts) =>
      toInfo(await engine.json({ method: 'GET', path: '/info', what: 'tell about itself' }, opts)),
    events: (opts) => readEvents(engine, opts),
    close: () => engine.close(),
  };
};

/** The engine of this machine. */
export const openLocalDocker = (socketPath = DEFAULT_SOCKET): Docker => openDocker({ socketPath });

const toVersion = (found: Dockerode.DockerVersion): DockerVersion => ({
  version: found.Version,
  apiVersion: found.ApiVersion,
  minApiVersion: found.MinAPIVersion,
  os: found.Os,
  arch: found.Arch,
});

interface EngineInfo {
  ID: string;
  Name: string;
  ServerVersion: string;
  NCPU: number;
  MemTotal: number;
  DockerRootDir: string;
  Driver: string;
  CgroupVersion?: string;
  CgroupDriver?: string;
  KernelVersion: string;
  OperatingSystem: string;
  Architecture: string;
  LiveRestoreEnabled: boolean;
  Containers: number;
  ContainersRunning: number;
  Images: number;
  Warnings?: string[] | null;
}

const toInfo = (found: EngineInfo): DockerInfo => ({
  id: found.ID,
  name: found.Name,
  serverVersion: found.ServerVersion,
  cpus: found.NCPU,
  memoryBytes: found.MemTotal,
  rootDir: found.DockerRootDir,
  storageDriver: found.Driver,
  cgroupVersion: found.CgroupVersion ?? '1',
  cgroupDriver: found.CgroupDriver ?? '',
  kernelVersion: found.KernelVersion,
  operatingSystem: found.OperatingSystem,
  architecture: found.Architecture,
  liveRestore: found.LiveRestoreEnabled,
  containers: found.Containers,
  containersRunning: found.ContainersRunning,
  images: found.Images,
  warnings: found.Warnings ?? [],
});

interface EngineEvent {
  Type: string;
  Action: string;
  Actor: { ID: string; Attributes?: Record<string, string> };
  time: number;
  timeNano: number;
}

// timeNano is beyond 2^53: JSON.parse has rounded it, to within a microsecond.
const toEvent = (found: EngineEvent): DockerEvent => ({
  type: found.Type,
  action: found.Action,
  id: found.Actor.ID,
  attributes: found.Actor.Attributes ?? {},
  timeNano: BigInt(found.timeNano).toString(),
});

async function* readEvents(
  engine: Engine,
  opts: EventOptions = {},
): AsyncGenerator<DockerEvent, void, undefined> {
  const { signal } = opts;
  const doing = { what: 'tell its events' };
  const filters = labelFilter(opts.labels, { type: opts.types, event: opts.actions });
  const since = opts.since === undefined ? undefined : engineTime(opts.since);
  try {
    const stream = await engine.stream(
      { method: 'GET', path: '/events', query: { filters, since }, ...doing },
      { signal },
    );
    for await (const event of ndjson(stream) as AsyncIterable<EngineEvent>) yield toEvent(event);
  } catch (error) {
    if (signal?.aborted) return;
    throw engine.error(error, doing, signal);
  }
  if (signal?.aborted) return;
  throw new FlynnError({
    code: 'unreachable',
    message: `the Docker engine ${engine.where} ended its stream of events`,
    hint: 'try: docker info',
  });
}

// The Docker port: what agents and bootstrappers ask of a Docker engine, in our own types.
import type { Duplex, Readable, Writable } from 'node:stream';

/** Labels of a container, image, network or volume. */
export type Labels = Record<string, string>;

/** Options every call takes: an abort signal, and a deadline in ms (default 60,000 for calls that answer at once, none for streams). */
export interface CallOptions {
  signal?: AbortSignal;
  timeoutMs?: number;
}

/** A bind mount of a host path (which must exist) or a named volume (made when it does not). */
export interface Mount {
  type: 'bind' | 'volume';
  /** Host path, or volume name. */
  source: string;
  target: string;
  readOnly?: boolean;
  /** How mounts below a bind propagate. */
  propagation?: 'private' | 'rprivate' | 'shared' | 'rshared' | 'slave' | 'rslave';
}

/** A port published on the host. */
export interface PortPublish {
  hostIp: string;
  hostPort: number;
  containerPort: number;
  proto: 'tcp' | 'udp';
}

/** When Docker itself starts a container again. */
export type RestartPolicy = 'no' | 'always' | 'unless-stopped' | 'on-failure';

/** Everything a container is made from. Absent means Docker's default. */
export interface ContainerSpec {
  name: string;
  image: string;
  cmd?: readonly string[];
  entrypoint?: readonly string[];
  env?: Record<string, string>;
  labels?: Labels;
  mounts?: readonly Mount[];
  /** `bridge`, `host`, `none`, or the name of a network. Default `bridge`. */
  network?: string;
  publish?: readonly PortPublish[];
  hostname?: string;
  memoryBytes?: number;
  /** Memory plus swap; equal to memoryBytes means no swap. */
  memorySwapBytes?: number;
  cpuShares?: number;
  nanoCpus?: number;
  pidsLimit?: number;
  restart?: RestartPolicy;
  capDrop?: readonly string[];
  capAdd?: readonly string[];
  noNewPrivileges?: boolean;
  /** Further security options, e.g. `seccomp=unconfined`. */
  securityOpt?: readonly string[];
  privileged?: boolean;
  init?: boolean;
  user?: string;
  /** Seconds between SIGTERM and SIGKILL on stop. */
  stopTimeout?: number;
  stopSignal?: string;
  logDriver?: string;
  logOpts?: Record<string, string>;
  ulimits?: readonly { name: string; soft: number; hard: number }[];
  workingDir?: string;
  /** Switches off a health check that the image brings. */
  healthcheck?: 'none';
  /** Mount point to options, e.g. `{'/tmp': 'size=64m'}`. */
  tmpfs?: Record<string, string>;
  oomScoreAdj?: number;
  /** Streams that attach will use; set before create. */
  attachStdin?: boolean;
  openStdin?: boolean;
  /** Closes stdin for good after the first attach ends. */
  stdinOnce?: boolean;
  tty?: boolean;
  /** Name to address, written to /etc/hosts. `host-gateway` is allowed as an address. */
  extraHosts?: Record<string, string>;
  dns?: readonly string[];
  dnsSearch?: readonly string[];
  readonlyRootfs?: boolean;
  sysctls?: Record<string, string>;
  pidMode?: 'host';
  cgroupParent?: string;
  shmBytes?: number;
  devices?: readonly string[];
  autoRemove?: boolean;
}

/** Docker's states of a container. */
export type ContainerState = 'created' | 'running' | 'paused' | 'restarting' | 'removing' | 'exited' | 'dead';

/** A line of `docker ps -a`. */
export interface ContainerSummary {
  id: string;
  name: string;
  image: string;
  imageId: string;
  labels: Labels;
  state: ContainerState;
  /** ms since the epoch. */
  createdAt: number;
}

/** A container in full. Times are ms since the epoch, undefined before they happened. */
export interface ContainerInfo extends ContainerSummary {
  /** The host's pid of the main process; 0 when it does not run. */
  pid: number;
  exitCode: number;
  oomKilled: boolean;
  /** Docker's own message when a start failed. */
  error: string;
  startedAt?: number;
  finishedAt?: number;
  /** Address on the default bridge (or the first network); undefined with host networking or when stopped. */
  ip?: string;
  /** Address per network name. */
  networks: Record<string, string>;
  networkMode: string;
  ports: PortPublish[];
  restartCount: number;
  restart: RestartPolicy;
  mounts: Mount[];
  env: Record<string, string>;
  cmd: string[];
  memoryBytes: number;
  tty: boolean;
}

/** Which containers a list returns; labels are `key` (present) or `key=value`, all must match. */
export interface ContainerFilter extends CallOptions {
  labels?: readonly string[];
  names?: readonly string[];
  /** Names of volumes that it mounts, any of them. */
  volumes?: readonly string[];
  /** Stopped ones too. Default true. */
  all?: boolean;
}

/** How a container ended. */
export interface WaitResult {
  exitCode: number;
  error?: string;
}

/** One line of a container's output. `ts` is the engine's RFC 3339 time with nanoseconds. */
export interface LogLine {
  stream: 'stdout' | 'stderr';
  line: string;
  ts: string;
}

/** Which lines of a container's output, and whether to wait for more. */
export interface LogOptions {
  follow?: boolean;
  /** Seconds since the epoch (may be fractional), or an RFC 3339 time. Lines at or after it. */
  since?: number | string;
  until?: number | string;
  /** The last n lines only. */
  tail?: number;
  /** Longer lines are cut into pieces of this many bytes. Default 64 KiB. */
  maxLineBytes?: number;
  signal?: AbortSignal;
}

/** What a container uses now. */
export interface ContainerStats {
  /** Memory without page cache, in bytes. */
  memoryBytes: number;
  memoryLimitBytes: number;
  /** CPU time since the start of the container, in ns. */
  cpuNanos: number;
  pids: number;
  rxBytes: number;
  txBytes: number;
}

/** What goes with a command that runs in a container. */
export interface DockerExecOptions extends CallOptions {
  env?: Record<string, string>;
  user?: string;
  workingDir?: string;
  privileged?: boolean;
  input?: string | Buffer | Readable;
  /** Bytes kept per stream. Default 4 MiB. */
  maxOutput?: number;
}

/** How a command in a container ended. */
export interface DockerExecResult {
  code: number;
  stdout: string;
  stderr: string;
}

/** Which streams an attach carries. Default: all three, no replay. */
export interface AttachOptions {
  stdin?: boolean;
  stdout?: boolean;
  stderr?: boolean;
  /** Output from before the attach first. */
  logs?: boolean;
  signal?: AbortSignal;
}

/** The streams of an attached container or of an interactive exec. With a TTY, everything arrives on stdout. */
export interface Attachment {
  /** Ending it closes the container's stdin. */
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** Resolves when the engine closed the stream. Never rejects. */
  readonly closed: Promise<void>;
  /** Sizes the TTY. Safe to call before the start; throws `conflict` when there is no TTY. */
  resize(cols: number, rows: number): Promise<void>;
  /** Lets go; the container goes on. */
  detach(): void;
}

/** What goes with an interactive command in a container. */
export interface ExecAttachOptions {
  tty?: boolean;
  stdin?: boolean;
  env?: Record<string, string>;
  user?: string;
  workingDir?: string;
  signal?: AbortSignal;
}

/** An interactive exec: its streams and its exit code. */
export interface ExecSession extends Attachment {
  /** Resolves with the exit code after the streams ended. */
  exitCode(): Promise<number>;
}

/** Something that happened in the engine. `action` is Docker's: create, start, die, oom, destroy, health_status … */
export interface DockerEvent {
  type: 'container' | 'image' | 'network' | 'volume' | 'daemon' | string;
  action: string;
  id: string;
  /** Name, image, exitCode and the labels of the object. */
  attributes: Record<string, string>;
  /** ns since the epoch as a decimal string (beyond 2^53), right to within a microsecond. */
  timeNano: string;
}

/** Which events, from when. */
export interface EventOptions {
  types?: readonly string[];
  actions?: readonly string[];
  labels?: readonly string[];
  /** Seconds since the epoch, may be fractional: events since then come first. */
  since?: number;
  signal?: AbortSignal;
}

/** An image. */
export interface ImageInfo {
  id: string;
  tags: string[];
  digests: string[];
  sizeBytes: number;
  labels: Labels;
  createdAt: number;
  architecture: string;
  os: string;
  env: Record<string, string>;
  cmd: string[];
  entrypoint: string[];
  workingDir: string;
  user: string;
  /** Container ports the image declares. */
  exposed: { port: number; proto: 'tcp' | 'udp' }[];
}

/** A line of `docker images`. */
export interface ImageSummary {
  id: string;
  tags: string[];
  digests: string[];
  sizeBytes: number;
  labels: Labels;
  createdAt: number;
}

/** One step of a pull, push, load or build. */
export interface ImageProgress {
  /** Layer id, if the message is about one. */
  id?: string;
  /** A state (`Downloading`) or, in a build, a piece of its output. */
  status: string;
  current?: number;
  total?: number;
}

/** Credentials for a registry. */
export interface RegistryAuth {
  username: string;
  password: string;
  serverAddress: string;
}

/** What goes with a pull or a push. */
export interface TransferOptions extends CallOptions {
  auth?: RegistryAuth;
  onProgress?(progress: ImageProgress): void;
}

/** What goes with a build. */
export interface BuildOptions extends CallOptions {
  tags: readonly string[];
  dockerfile?: string;
  buildArgs?: Record<string, string>;
  labels?: Labels;
  target?: string;
  noCache?: boolean;
  /** Try to pull a newer base image. Default false. */
  pull?: boolean;
  network?: string;
  memoryBytes?: number;
  cpuShares?: number;
  cgroupParent?: string;
  extraHosts?: Record<string, string>;
  /** Called with pieces of the build's output as they arrive. */
  onOutput?(text: string): void;
}

/** A network. */
export interface NetworkInfo {
  id: string;
  name: string;
  driver: string;
  labels: Labels;
  /** Subnets in CIDR notation. */
  subnets: string[];
  gateways: string[];
  /** The Linux bridge's name, if it has one of its own. */
  bridge?: string;
}

/** What a network is made from. */
export interface NetworkSpec {
  name: string;
  driver?: string;
  labels?: Labels;
  subnet?: string;
  gateway?: string;
  internal?: boolean;
  options?: Record<string, string>;
}

/** A named volume. */
export interface VolumeInfo {
  name: string;
  driver: string;
  mountpoint: string;
  labels: Labels;
  createdAt?: number;
}

/** Versions of the engine; `apiVersion` is the one it speaks at most. */
export interface DockerVersion {
  version: string;
  apiVersion: string;
  minApiVersion: string;
  os: string;
  arch: string;
}

/** The engine and its machine. */
export interface DockerInfo {
  id: string;
  name: string;
  serverVersion: string;
  cpus: number;
  memoryBytes: number;
  rootDir: string;
  storageDriver: string;
  cgroupVersion: string;
  cgroupDriver: string;
  kernelVersion: string;
  operatingSystem: string;
  architecture: string;
  liveRestore: boolean;
  containers: number;
  containersRunning: number;
  images: number;
  warnings: string[];
}

/** Containers. A missing one is `not_found`; a name in use or a wrong state is `conflict`; a missing image on create is `image_missing`. */
export interface DockerContainers {
  list(filter?: ContainerFilter): Promise<ContainerSummary[]>;
  inspect(id: string, opts?: CallOptions): Promise<ContainerInfo>;
  /** Returns the new id. */
  create(spec: ContainerSpec, opts?: CallOptions): Promise<string>;
  /** Idempotent: a running container is fine. */
  start(id: string, opts?: CallOptions): Promise<void>;
  /** SIGTERM, then SIGKILL after `timeoutSeconds` (default: the container's own). Idempotent. */
  stop(id: string, timeoutSeconds?: number, opts?: CallOptions): Promise<void>;
  /** `conflict` when it does not run. Default SIGKILL. */
  kill(id: string, signal?: string, opts?: CallOptions): Promise<void>;
  pause(id: string, opts?: CallOptions): Promise<void>;
  unpause(id: string, opts?: CallOptions): Promise<void>;
  rename(id: string, name: string, opts?: CallOptions): Promise<void>;
  /** Idempotent: removing what is not there is fine. `volumes` takes anonymous volumes along. */
  remove(id: string, how?: { force?: boolean; volumes?: boolean }, opts?: CallOptions): Promise<void>;
  /** Resolves when it stopped; at once if it does not run. `next-exit` waits for the next end, for a container not yet started. */
  wait(id: string, opts?: CallOptions & { condition?: 'not-running' | 'next-exit' }): Promise<WaitResult>;
  /** Lines in order per stream; ends when the container stopped or `signal` aborts. Breaking out closes the stream. */
  logs(id: string, opts?: LogOptions): AsyncIterable<LogLine>;
  stats(id: string, opts?: CallOptions): Promise<ContainerStats>;
  exec(id: string, argv: readonly string[], opts?: DockerExecOptions): Promise<DockerExecResult>;
  execAttach(id: string, argv: readonly string[], opts?: ExecAttachOptions): Promise<ExecSession>;
  /** Attach before start and no output is lost. */
  attach(id: string, opts?: AttachOptions): Promise<Attachment>;
  /** Unpacks a tar stream into a directory of the container. */
  putArchive(id: string, path: string, tar: Readable, opts?: CallOptions): Promise<void>;
  /** A tar stream of a path of the container. */
  getArchive(id: string, path: string, opts?: CallOptions): Promise<Readable>;
}

/** Images. A missing one is `image_missing`. Failures that the engine reports inside a stream are thrown. */
export interface DockerImages {
  inspect(ref: string, opts?: CallOptions): Promise<ImageInfo>;
  list(
    filter?: CallOptions & { labels?: readonly string[]; reference?: string; dangling?: boolean },
  ): Promise<ImageSummary[]>;
  pull(ref: string, opts?: TransferOptions): Promise<void>;
  /** Returns the digest the registry now holds (`sha256:…`). */
  push(ref: string, opts?: TransferOptions): Promise<string>;
  /** Loads a `docker save` stream; returns the loaded references or ids. */
  load(tar: Readable, opts?: CallOptions): Promise<string[]>;
  /** A tar stream of one or several images. */
  save(refs: readonly string[], opts?: CallOptions): Promise<Readable>;
  /** Makes an image from a tar of a root file system; returns its id. */
  import(tar: Readable, ref: string, opts?: CallOptions): Promise<string>;
  /** Builds a tar stream; returns the image's id. `build_failed` with the last output when a step failed. */
  build(context: Readable, opts: BuildOptions): Promise<string>;
  tag(source: string, ref: string, opts?: CallOptions): Promise<void>;
  /** Idempotent: removing what is not there is fine. `conflict` when it is in use. */
  remove(ref: string, how?: { force?: boolean }, opts?: CallOptions): Promise<void>;
  /** Removes untagged images; returns the bytes won. */
  prune(opts?: CallOptions & { labels?: readonly string[] }): Promise<number>;
}

/** Networks, as far as Flynn needs them. */
export interface DockerNetworks {
  list(filter?: CallOptions & { labels?: readonly string[] }): Promise<NetworkInfo[]>;
  inspect(name: string, opts?: CallOptions): Promise<NetworkInfo>;
  /** Returns the id. `conflict` when the name is taken. */
  create(spec: NetworkSpec, opts?: CallOptions): Promise<string>;
  connect(
    name: string,
    container: string,
    how?: { ip?: string; aliases?: readonly string[] },
    opts?: CallOptions,
  ): Promise<void>;
  disconnect(name: string, container: string, opts?: CallOptions): Promise<void>;
  /** Idempotent. */
  remove(name: string, opts?: CallOptions): Promise<void>;
}

/** Named volumes. */
export interface DockerVolumes {
  list(filter?: CallOptions & { labels?: readonly string[] }): Promise<VolumeInfo[]>;
  inspect(name: string, opts?: CallOptions): Promise<VolumeInfo>;
  /** Idempotent for an equal name and driver. */
  create(
    spec: { name: string; labels?: Labels; driver?: string; options?: Record<string, string> },
    opts?: CallOptions,
  ): Promise<VolumeInfo>;
  /** Idempotent. `conflict` when a container uses it. */
  remove(name: string, opts?: CallOptions & { force?: boolean }): Promise<void>;
}

/** A Docker engine. `unreachable` when it does not answer, on every call. */
export interface Docker {
  readonly containers: DockerContainers;
  readonly images: DockerImages;
  readonly networks: DockerNetworks;
  readonly volumes: DockerVolumes;
  ping(opts?: CallOptions): Promise<void>;
  version(opts?: CallOptions): Promise<DockerVersion>;
  info(opts?: CallOptions): Promise<DockerInfo>;
  /** Events until `signal` aborts (then it ends) or the connection is lost (then it throws `unreachable`): reconnecting is the caller's concern. */
  events(opts?: EventOptions): AsyncIterable<DockerEvent>;
  /** Lets go of idle connections. Calls after it fail with `unreachable`. */
  close(): void;
}

/** Opens a byte stream to the engine's socket, e.g. over an SSH channel. */
export type Dial = () => Promise<Duplex>;

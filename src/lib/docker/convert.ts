// Between our types and the engine's JSON, for containers. Pure.
import type Dockerode from 'dockerode';
import type {
  ContainerInfo,
  ContainerSpec,
  ContainerState,
  ContainerStats,
  ContainerSummary,
  Mount,
  PortPublish,
  RestartPolicy,
} from './port.js';

/** The engine's times, as ms since the epoch; its zero time (year 1) is undefined. */
export const engineMillis = (time: string | undefined): number | undefined => {
  const ms = time === undefined ? NaN : Date.parse(time);
  return Number.isFinite(ms) && ms > 0 ? ms : undefined;
};

/** `KEY=value` lines as a record; a key without `=` is the empty string. */
export const envRecord = (env: readonly string[] | null | undefined): Record<string, string> =>
  Object.fromEntries(
    (env ?? []).map((line) => {
      const at = line.indexOf('=');
      return at < 0 ? [line, ''] : [line.slice(0, at), line.slice(at + 1)];
    }),
  );

/** A record as `KEY=value` lines. */
export const envLines = (env: Record<string, string> = {}): string[] =>
  Object.entries(env).map(([key, value]) => `${key}=${value}`);

/** Reads `80/tcp`. */
export const readPort = (text: string): { port: number; proto: 'tcp' | 'udp' } => {
  const [port, proto] = text.split('/');
  return { port: Number(port), proto: proto === 'udp' ? 'udp' : 'tcp' };
};

const orNone = <T>(list: readonly T[] | undefined): T[] | undefined => (list ? [...list] : undefined);

const bindings = (
  publish: readonly PortPublish[],
): Record<string, { HostIp: string; HostPort: string }[]> => {
  const found: Record<string, { HostIp: string; HostPort: string }[]> = {};
  for (const { containerPort, proto, hostIp, hostPort } of publish) {
    (found[`${containerPort}/${proto}`] ??= []).push({ HostIp: hostIp, HostPort: String(hostPort) });
  }
  return found;
};

const engineMount = (mount: Mount): object => ({
  Type: mount.type,
  Source: mount.source,
  Target: mount.target,
  ReadOnly: mount.readOnly ?? false,
  ...(mount.propagation ? { BindOptions: { Propagation: mount.propagation } } : {}),
});

const hostConfig = (spec: ContainerSpec): object => ({
  NetworkMode: spec.network ?? 'bridge',
  PortBindings: bindings(spec.publish ?? []),
  Mounts: (spec.mounts ?? []).map(engineMount),
  Memory: spec.memoryBytes,
  MemorySwap: spec.memorySwapBytes,
  CpuShares: spec.cpuShares,
  NanoCpus: spec.nanoCpus,
  PidsLimit: spec.pidsLimit,
  RestartPolicy: { Name: spec.restart ?? 'no' },
  CapDrop: orNone(spec.capDrop),
  CapAdd: orNone(spec.capAdd),
  SecurityOpt: [...(spec.noNewPrivileges ? ['no-new-privileges'] : []), ...(spec.securityOpt ?? [])],
  Privileged: spec.privileged ?? false,
  Init: spec.init,
  LogConfig: spec.logDriver ? { Type: spec.logDriver, Config: spec.logOpts ?? {} } : undefined,
  Ulimits: spec.ulimits?.map(({ name, soft, hard }) => ({ Name: name, Soft: soft, Hard: hard })),
  Tmpfs: spec.tmpfs,
  OomScoreAdj: spec.oomScoreAdj,
  ExtraHosts: Object.entries(spec.extraHosts ?? {}).map(([name, address]) => `${name}:${address}`),
  Dns: orNone(spec.dns),
  DnsSearch: orNone(spec.dnsSearch),
  ReadonlyRootfs: spec.readonlyRootfs ?? false,
  Sysctls: spec.sysctls,
  PidMode: spec.pidMode,
  CgroupParent: spec.cgroupParent,
  ShmSize: spec.shmBytes,
  Devices: spec.devices?.map((path) => ({
    PathOnHost: path,
    PathInContainer: path,
    CgroupPermissions: 'rwm',
  })),
  AutoRemove: spec.autoRemove ?? false,
});

/** The body of a create request. */
export const createBody = (spec: ContainerSpec): object => ({
  Image: spec.image,
  Cmd: orNone(spec.cmd),
  Entrypoint: orNone(spec.entrypoint),
  Env: envLines(spec.env),
  Labels: spec.labels ?? {},
  Hostname: spec.hostname,
  User: spec.user,
  WorkingDir: spec.workingDir,
  Tty: spec.tty ?? false,
  AttachStdin: spec.attachStdin ?? false,
  AttachStdout: true,
  AttachStderr: true,
  OpenStdin: spec.openStdin ?? false,
  StdinOnce: spec.stdinOnce ?? false,
  StopSignal: spec.stopSignal,
  StopTimeout: spec.stopTimeout,
  Healthcheck: spec.healthcheck === 'none' ? { Test: ['NONE'] } : undefined,
  ExposedPorts: Object.fromEntries((spec.publish ?? []).map((p) => [`${p.containerPort}/${p.proto}`, {}])),
  HostConfig: hostConfig(spec),
});

const STATES = new Set<string>(['created', 'running', 'paused', 'restarting', 'removing', 'exited', 'dead']);
const state = (text: string): ContainerState => (STATES.has(text) ? (text as ContainerState) : 'dead');

const restart = (name: string | undefined): RestartPolicy =>
  name === 'always' || name === 'unless-stopped' || name === 'on-failure' ? name : 'no';

/** A line of the engine's list. */
export const toSummary = (found: Dockerode.ContainerInfo): ContainerSummary => ({
  id: found.Id,
  name: (found.Names[0] ?? '').replace(/^\//, ''),
  image: found.Image,
  imageId: found.ImageID,
  labels: found.Labels ?? {},
  state: state(found.State),
  createdAt: found.Created * 1000,
});

const ports = (
  map: Record<string, { HostIp?: string; HostPort?: string }[] | null> | undefined,
): PortPublish[] =>
  Object.entries(map ?? {}).flatMap(([inside, outside]) => {
    const { port, proto } = readPort(inside);
    return (outside ?? []).map(({ HostIp, HostPort }) => ({
      hostIp: HostIp ?? '',
      hostPort: Number(HostPort),
      containerPort: port,
      proto,
    }));
  });

const mounts = (found: Dockerode.ContainerInspectInfo): Mount[] =>
  (found.Mounts ?? []).flatMap((mount) =>
    mount.Type === 'bind' || mount.Type === 'volume'
      ? [
          {
            type: mount.Type,
            source: mount.Type === 'volume' ? (mount.Name ?? mount.Source) : mount.Source,
            target: mount.Destination,
            readOnly: !mount.RW,
          },
        ]
      : [],
  );

/** A container in full. */
export const toInfo = (found: Dockerode.ContainerInspectInfo): ContainerInfo => {
  const networks = Object.fromEntries(
    Object.entries(found.NetworkSettings.Networks ?? {})
      .map(([name, network]) => [name, network?.IPAddress ?? ''] as const)
      .filter(([, ip]) => ip !== ''),
  );
  const bound = ports(found.NetworkSettings.Ports);
  return {
    id: found.Id,
    name: found.Name.replace(/^\//, ''),
    image: found.Config.Image,
    imageId: found.Image,
    labels: found.Config.Labels ?? {},
    state: state(found.State.Status),
    createdAt: engineMillis(found.Created) ?? 0,
    pid: found.State.Pid,
    exitCode: found.State.ExitCode,
    oomKilled: found.State.OOMKilled,
    error: found.State.Error,
    startedAt: engineMillis(found.State.StartedAt),
    finishedAt: engineMillis(found.State.FinishedAt),
    ip: networks['bridge'] ?? Object.values(networks)[0],
    networks,
    networkMode: found.HostConfig.NetworkMode ?? 'bridge',
    // A stopped container has no bindings any more: then the wished ones are told.
    ports: bound.length > 0 ? bound : ports(found.HostConfig.PortBindings as Parameters<typeof ports>[0]),
    restartCount: found.RestartCount,
    restart: restart(found.HostConfig.RestartPolicy?.Name),
    mounts: mounts(found),
    env: envRecord(found.Config.Env),
    cmd: found.Config.Cmd ?? [],
    memoryBytes: found.HostConfig.Memory ?? 0,
    tty: found.Config.Tty,
  };
};

/** Usage figures. Page cache that can be given back does not count as memory. */
export const toStats = (found: Dockerode.ContainerStats): ContainerStats => {
  const memory = found.memory_stats ?? {};
  const detail = (memory.stats ?? {}) as unknown as Record<string, number | undefined>;
  const cache = detail['inactive_file'] ?? detail['total_inactive_file'] ?? 0;
  const networks = Object.values(found.networks ?? {});
  return {
    memoryBytes: Math.max(0, (memory.usage ?? 0) - cache),
    memoryLimitBytes: memory.limit ?? 0,
    cpuNanos: found.cpu_stats?.cpu_usage?.total_usage ?? 0,
    pids: found.pids_stats?.current ?? 0,
    rxBytes: networks.reduce((sum, network) => sum + network.rx_bytes, 0),
    txBytes: networks.reduce((sum, network) => sum + network.tx_bytes, 0),
  };
};

/** Labels as the engine's filter wants them; undefined when there are none. */
export const labelFilter = (
  labels: readonly string[] | undefined,
  more: Record<string, readonly string[] | undefined> = {},
): Record<string, readonly string[]> | undefined => {
  const all = Object.entries({ ...more, label: labels }).filter(
    (entry): entry is [string, readonly string[]] => (entry[1]?.length ?? 0) > 0,
  );
  return all.length > 0 ? Object.fromEntries(all) : undefined;
};

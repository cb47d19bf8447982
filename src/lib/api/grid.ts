// The grid's own records: hosts and their books, instances in discovery, consumers, omni jobs, cluster settings.
import { z } from 'zod';
import { HostName } from './names.js';

/** What a host is, under `hosts/H/info`. Written by bootstrap, refreshed by its agent. */
export const HostInfo = z.object({
  name: HostName,
  /** Address the other hosts reach it at. */
  address: z.string(),
  /** Address operators and the public reach it at. */
  publicAddress: z.string(),
  roles: z.array(z.enum(['control', 'etcd'])).default([]),
  arch: z.enum(['amd64', 'arm64']),
  /** Base64 of the raw X25519 public key that release keys are wrapped to. */
  wrapKey: z.string(),
  cpuMillis: z.number().int(),
  memoryBytes: z.number().int(),
  joinedAt: z.number(),
});
export type HostInfo = z.infer<typeof HostInfo>;

/** Name of a host's tag. */
export const TagName = z
  .string()
  .regex(
    /^[a-z][a-z0-9._-]{0,62}$/,
    'a tag is 1 to 63 lower-case letters, digits, dots, _ and -, and starts with a letter',
  );
/** Value of a host's tag. */
export const TagValue = z
  .string()
  .regex(/^[A-Za-z0-9._:-]{0,63}$/, 'a tag has a value of at most 63 letters, digits, dots, colons, _ and -');

/** Factors on a host's capacity, 1 to 16. Memory beyond 1 means that a host may run out of it. */
export const Overcommit = z.object({ m: z.number().min(1).max(16), c: z.number().min(1).max(16) });
export type Overcommit = z.infer<typeof Overcommit>;

/**
 * What is booked on a host, under `hosts/H/book`. Written by Sampi's transaction function only;
 * its etcd mod revision is the guard of every change.
 */
export const HostBook = z.object({
  /** Capacity after the system reserve: memory MiB, cpu millicores. */
  capacity: z.object({ m: z.number().int(), c: z.number().int() }),
  used: z.object({ m: z.number().int(), c: z.number().int() }),
  /** Host ports that are taken, ascending. */
  ports: z.array(z.number().int()),
  /** Recently freed job ports with the time (ms) they were freed: not given out again within an hour. */
  freed: z.array(z.tuple([z.number().int(), z.number()])).default([]),
  /** Next candidate of the job port range (least recently used first). */
  nextPort: z.number().int().default(20000),
  cordoned: z.boolean().default(false),
  /** Why the host's agent lets nothing more onto its disk; absent: there is room. */
  disk: z.string().max(200).optional(),
  tags: z.record(z.string(), z.string()).default({}),
  /** Number of claims on the host. */
  jobs: z.number().int().default(0),
  /** The host's declaration that it may be booked beyond its capacity; absent: it may not. */
  overcommit: Overcommit.optional(),
});
export type HostBook = z.infer<typeof HostBook>;

/** What may be booked on a host in all: its capacity, times the overcommit that it declares. MiB and millicores. */
export function bookable({ capacity, overcommit }: Pick<HostBook, 'capacity' | 'overcommit'>): {
  m: number;
  c: number;
} {
  if (!overcommit) return capacity;
  return { m: Math.floor(capacity.m * overcommit.m), c: Math.floor(capacity.c * overcommit.c) };
}

/** First and last host port handed out to jobs. */
export const jobPorts = { first: 20000, last: 29999, quietMs: 3_600_000 } as const;

/** The agent's sign of life, under `hosts/H/lease` (TTL 10 s): bookkeeping only, its loss alone changes no router. */
export const HostLease = z.object({ boot: z.string(), since: z.number() });
export type HostLease = z.infer<typeof HostLease>;

/** A healthy instance of a service, under `instances/H/SERVICE/JOB`; persistent, removed by the agent or a fenced leader. */
export const Instance = z.object({
  address: z.string(),
  port: z.number().int(),
  since: z.number(),
  meta: z.record(z.string(), z.string()).default({}),
});
export type Instance = z.infer<typeof Instance>;

/** A consumer of services (a router), under `consumers/SERVICE/ID` (leased); SERVICE `*` stands for all of them. */
export const Consumer = z.object({
  host: HostName,
  /** Every instance record up to this etcd revision is applied. */
  applied: z.number().int(),
  /** Withdrawn instances that still have open requests: job id → number. */
  draining: z.record(z.string(), z.number()).default({}),
  /** Hosts that it hears nothing of, with how long (ms) each had been silent when this was written. */
  suspects: z.record(HostName, z.number().nonnegative()).default({}),
});
export type Consumer = z.infer<typeof Consumer>;

/** A job that every host (or every control host) claims for itself, under `omni/NAME`. */
export const OmniJob = z.object({
  name: z.string(),
  on: z.enum(['all', 'control']),
  /** Template hash that hosts should run; a host upgrades when its turn comes (`targets`). */
  template: z.string(),
  /** Order of first start: lower first. */
  order: z.number().int().default(100),
});
export type OmniJob = z.infer<typeof OmniJob>;

/** The cluster's settings, under `cluster/config`. Nothing secret. */
export const ClusterConfig = z.object({
  id: z.string(),
  name: z.string(),
  domain: z.string(),
  createdAt: z.number(),
  httpPort: z.number().int().default(80),
  httpsPort: z.number().int().default(443),
  gatewayPort: z.number().int().default(2222),
  /** `SHA256:…` of the host key that all gateway copies share. */
  gatewayFingerprint: z.string(),
  /** Names of the images that appliances run from, by appliance. */
  images: z.record(z.string(), z.string()),
});
export type ClusterConfig = z.infer<typeof ClusterConfig>;

/** Fixed ports of the appliances on the host network. */
export const ports = {
  etcdClient: 2379,
  etcdPeer: 2380,
  agent: 1113,
  agentHealth: 1114,
  routerMonitor: 1115,
  sampi: 1116,
  controller: 1117,
  registry: 1118,
  registryLocal: 5555,
} as const;

/** Ports that never listen on an address of the network: those of a host's own programs and jobs. */
export const localPorts = {
  /** Discovery for jobs, on the address of their bridge. */
  discovery: 1119,
  /** Names below `.flynn`, for the resolver of the host's jobs, on loopback. */
  names: 1120,
} as const;

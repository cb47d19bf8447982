// Jobs of Layer 0: what to run (template), where it is booked (claim), and how it does (status).
import { z } from 'zod';
import { HostName, JobId, ServiceName } from './names.js';

const MiB = 1024 * 1024;

/** How an agent finds out that an instance is healthy. Times in ms; defaults are RULES.md's figures. */
export const HealthCheck = z
  .object({
    /** `exec` runs `command` in the container: exit code 0 is healthy. */
    type: z.enum(['tcp', 'http', 'exec']),
    /** Program and arguments of an `exec` check. */
    command: z.array(z.string().max(4096)).min(1).max(64).optional(),
    /** Text that the answer of an `http` check must contain in its first 64 KiB. */
    body: z.string().min(1).max(1024).optional(),
    /** Name of the port that is checked; the first one when absent. */
    port: z.string().optional(),
    path: z.string().startsWith('/').default('/'),
    /** Status that counts as healthy; absent: any 2xx or 3xx. */
    status: z.number().int().min(100).max(599).optional(),
    intervalMs: z.number().int().min(50).default(2000),
    startIntervalMs: z.number().int().min(50).default(100),
    timeoutMs: z.number().int().min(50).default(2000),
    /** Consecutive answers, good or bad, that change the verdict. */
    threshold: z.number().int().min(1).max(100).default(2),
  })
  .refine((check) => (check.type === 'exec') === (check.command !== undefined), {
    message: 'an exec check names its command, and no other check does',
    path: ['command'],
  });
export type HealthCheck = z.infer<typeof HealthCheck>;

/** A port of a job. On the bridge network it is published at a host port written in the claim, or at `fixed`. */
export const PortSpec = z.object({
  name: z.string().regex(/^[a-z][a-z0-9-]{0,29}$/),
  /** Port inside the container (the same as outside on the host network). */
  container: z.number().int().min(1).max(65535),
  proto: z.enum(['tcp', 'udp']).default('tcp'),
  /** Host port that must be used: an exclusive claim on the host. */
  fixed: z.number().int().min(1).max(65535).optional(),
});
export type PortSpec = z.infer<typeof PortSpec>;

/** A directory of the host or a named volume, seen inside the job. */
export const MountSpec = z.object({
  type: z.enum(['bind', 'volume']),
  source: z.string().min(1),
  target: z.string().startsWith('/'),
  readOnly: z.boolean().default(false),
});

/** What a job takes of its host. Booked by Sampi and never overcommitted. */
export const Resources = z.object({
  /** Reserved and enforced memory, bytes. */
  memory: z
    .number()
    .int()
    .min(4 * MiB)
    .max(4 * 1024 * 1024 * MiB)
    .default(512 * MiB),
  /** Reserved cpu, thousandths of a core. */
  cpu: z.number().int().min(0).max(1_000_000).default(100),
});
export type Resources = z.infer<typeof Resources>;

/** The kinds of job (RULES, "Three classes of work"). */
export const JobKind = z.enum(['service', 'oneoff', 'omni', 'singleton']);
export type JobKind = z.infer<typeof JobKind>;

/** What a host's tags must be like for a job to be placed there. */
export const Constraint = z
  .object({
    tag: z.string().min(1).max(63),
    /** `eq` and `ne` take one value, `in` any number, `exists` none. A host without the tag satisfies `ne` alone. */
    op: z.enum(['eq', 'ne', 'in', 'exists']),
    values: z.array(z.string().max(255)).max(32).default([]),
  })
  .refine(
    ({ op, values }) => (op === 'in' ? values.length > 0 : values.length === (op === 'exists' ? 0 : 1)),
    {
      message: 'eq and ne take one value, in takes at least one, exists takes none',
      path: ['values'],
    },
  );
export type Constraint = z.infer<typeof Constraint>;

/** When a job whose process ended is started again; absent: one-off jobs never, all others always. */
export const RestartPolicy = z.object({ policy: z.enum(['always', 'on-failure', 'never']) });
export type RestartPolicy = z.infer<typeof RestartPolicy>;

/**
 * A job's specification. It lives once under `templates/HASH`; claims name the hash.
 * Layer 0 reads nothing from `meta`: it belongs to whoever schedules.
 */
export const JobTemplate = z.object({
  kind: JobKind,
  image: z.string().min(1),
  entrypoint: z.array(z.string()).optional(),
  args: z.array(z.string()).optional(),
  /** Plain environment. Anything secret goes into `sealedEnv`. */
  env: z.record(z.string(), z.string()).default({}),
  /** Environment under the release's key: base64 of AES-256-GCM over a JSON record (api/../util/seal). */
  sealedEnv: z.object({ keyId: z.string(), data: z.string() }).optional(),
  network: z.enum(['bridge', 'host']).default('bridge'),
  ports: z.array(PortSpec).max(16).default([]),
  mounts: z.array(MountSpec).max(32).default([]),
  resources: Resources.default({ memory: 512 * MiB, cpu: 100 }),
  /** Memory limit in bytes when it differs from the reservation; appliances may have none (0). */
  memoryLimit: z.number().int().min(0).optional(),
  /** Cpu that it may use at most, thousandths of a core, apart from what is reserved; absent: what is free. */
  cpuLimit: z.number().int().min(10).max(1_000_000).optional(),
  cpuShares: z.number().int().min(2).max(262144).optional(),
  pidsLimit: z.number().int().min(1).default(1024),
  /** Open files at most (RLIMIT_NOFILE); absent: the engine's default. */
  openFiles: z.number().int().min(16).max(1_048_576).optional(),
  user: z.string().optional(),
  workingDir: z.string().optional(),
  capAdd: z.array(z.string()).default([]),
  /** Capabilities taken from those that it would have. */
  capDrop: z.array(z.string()).max(64).optional(),
  /** Registered in discovery under this name while healthy. */
  service: z
    .object({
      name: ServiceName,
      /** Name of the port that is registered; the first one when absent. */
      port: z.string().optional(),
    })
    .optional(),
  health: HealthCheck.optional(),
  /** Time between SIGTERM and SIGKILL, ms. */
  stopTimeoutMs: z.number().int().min(0).max(3_600_000).default(30_000),
  /** A system job starts before user jobs and may not be starved by them. */
  priority: z.enum(['system', 'user']).default('user'),
  /** One-off jobs wait for their attach before the start, so that the first byte is not lost. */
  attach: z.boolean().default(false),
  tty: z.boolean().default(false),
  restart: RestartPolicy.optional(),
  /** Hosts that it may be placed on: all must hold. */
  constraints: z.array(Constraint).max(16).optional(),
  /** Of a `singleton`: what there may be one of in the grid; absent: its claim's owner. */
  singleton: z.object({ name: z.string().min(1).max(80) }).optional(),
  meta: z.record(z.string(), z.string()).default({}),
  /** Whether it is given a token for discovery (FLYNN_DISCOVERY, FLYNN_TOKEN); absent: yes, on the bridge network. */
  discovery: z.boolean().optional(),
  /** Whether it is given `/.flynn/sdutil`, read-only, with the Node that runs it: for images without Node. */
  sdutil: z.boolean().optional(),
});
export type JobTemplate = z.infer<typeof JobTemplate>;
export type JobTemplateInput = z.input<typeof JobTemplate>;

/**
 * A booked job, stored under `claims/HOST/JOB` in 300 bytes or less; short keys for that reason.
 * Written by Sampi's transaction function only; deleted (with the credit to the book) by the host's agent only.
 */
export const Claim = z.object({
  /** Template hash. */
  t: z.string(),
  /** Owner: the scheduler's own name for the group, such as `app/hello/3/web` or `omni/router`. */
  o: z.string().max(80),
  /** Reserved memory, MiB (rounded up). */
  m: z.number().int().min(0),
  /** Reserved cpu, millicores. */
  c: z.number().int().min(0),
  /** Host ports in the order of the template's ports. */
  p: z.array(z.number().int()),
  /** `run`, `stop`, or `lost` (its host is away or was cut off: still booked). */
  w: z.enum(['run', 'stop', 'lost']),
  /** Id of the transaction that made it: resolves a lost answer. */
  x: z.string(),
  /** The release's key, wrapped to the host's X25519 key; base64. */
  k: z.string().optional(),
});
export type Claim = z.infer<typeof Claim>;

/**
 * A singleton job that runs or waits for its turn, under `singletons/HOST/JOB`; leased. Of those of one name the key with
 * the lowest create revision has the turn, and that revision is its epoch.
 */
export const Singleton = z.object({ name: z.string() });
export type Singleton = z.infer<typeof Singleton>;

/** Where a job is in its life, as its agent sees it. */
export const JobState = z.enum([
  'pending', // claimed, nothing done yet
  'pulling', // its image is on the way
  'starting', // the container runs, the first check has not passed
  'up', // healthy and registered
  'unhealthy', // runs, the check fails, not registered
  'crashed', // ended; a restart is due at `restartAt`
  'stopping', // being drained and stopped
  'done', // a one-off that ended with 0
  'failed', // a one-off that ended otherwise, or a start that cannot succeed
]);
export type JobState = z.infer<typeof JobState>;

/** What the agent reports under `status/HOST/JOB`. Never a guard of anybody. */
export const JobStatus = z.object({
  state: JobState,
  /** Owner and template as in the claim, so that a reader needs no join to name the job. */
  owner: z.string(),
  template: z.string(),
  /** Counts starts of a container for this job, first one included. */
  starts: z.number().int().default(0),
  exitCode: z.number().int().nullable().default(null),
  /** Why it is in this state, for people: `killed: out of memory at 512 MiB`. */
  reason: z.string().optional(),
  /** The last lines of a container that ended badly (at most 20). */
  tail: z.array(z.string()).max(20).optional(),
  containerId: z.string().optional(),
  /** `address:port` pairs by port name, as published. */
  addresses: z.record(z.string(), z.string()).default({}),
  /** ms since the epoch, by the agent's clock: for people, never for decisions. */
  since: z.number(),
  startedAt: z.number().optional(),
  restartAt: z.number().optional(),
  /** etcd revision at which the instance record was written; consumers that applied it serve the job. */
  registeredRevision: z.number().optional(),
});
export type JobStatus = z.infer<typeof JobStatus>;

/** A job joined for readers: claim, status and the names in its id. */
export const JobView = z.object({
  id: JobId,
  host: HostName,
  claim: Claim,
  status: JobStatus.optional(),
});
export type JobView = z.infer<typeof JobView>;

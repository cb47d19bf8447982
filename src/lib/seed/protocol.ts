// What bootstrap tells the one-shot `seed` appliance on its standard input, and what that answers, line by line.
import { z } from 'zod';
import { SshKey } from '../api/app.js';
import { ErrorBodySchema } from './error-body.js';
import { ClusterConfig, HostInfo, OmniJob } from '../api/grid.js';
import { JobTemplate } from '../api/job.js';

/** How the seed reaches etcd: as `root`, whose certificate never lies on a disk of the host. PEM. */
const StoreAccess = z.object({
  endpoints: z.array(z.string()).min(1),
  identity: z.object({ ca: z.string(), cert: z.string(), key: z.string() }),
});

/** The first records of a host. */
const SeedHost = z.object({
  info: HostInfo,
  capacity: z.object({ m: z.number().int(), c: z.number().int() }),
});
export type SeedHost = z.infer<typeof SeedHost>;
export type SeedHostInput = z.input<typeof SeedHost>;

/** The first records of a grid. */
export const SeedGrid = z.object({
  cluster: ClusterConfig,
  hosts: z.array(SeedHost),
  omnis: z.array(OmniJob.omit({ template: true }).extend({ template: JobTemplate })),
  sshKeys: z.array(SshKey),
});
export type SeedGrid = z.infer<typeof SeedGrid>;
export type SeedGridInput = z.input<typeof SeedGrid>;

/** A port of a host of the cluster. */
const Door = z.object({ host: z.string(), address: z.string(), port: z.number().int() });
export type Door = z.infer<typeof Door>;

/**
 * One request, one line of JSON. `join` adds hosts to the cluster of that id. `wait` ends when every omni job is up on
 * its hosts, or on those named in `hosts`, or after `timeoutMs`. `reach` ends when every door took a connection from the
 * host it runs on, or after `timeoutMs`; it needs no store.
 */
export const SeedRequest = z.discriminatedUnion('do', [
  z.object({ do: z.literal('seed'), store: StoreAccess, grid: SeedGrid }),
  z.object({ do: z.literal('join'), store: StoreAccess, cluster: z.string(), hosts: z.array(SeedHost) }),
  z.object({
    do: z.literal('wait'),
    store: StoreAccess,
    timeoutMs: z.number().int(),
    hosts: z.array(z.string()).optional(),
  }),
  z.object({ do: z.literal('reach'), doors: z.array(Door), timeoutMs: z.number().int() }),
]);
export type SeedRequest = z.infer<typeof SeedRequest>;
export type SeedRequestInput = z.input<typeof SeedRequest>;

/** Something that is not as it should be yet. */
export const Pending = z.object({
  host: z.string(),
  /** Name of the omni job; `agent` when the host's agent gave no sign of life. */
  job: z.string(),
  /** `absent`, `claimed`, or the state its agent reports. */
  state: z.string(),
  reason: z.string().optional(),
  tail: z.array(z.string()).optional(),
});
export type Pending = z.infer<typeof Pending>;

/** One line of the answer. The last one is `done` or `error`; lines that are none of these are logs. */
export const SeedLine = z.discriminatedUnion('seed', [
  z.object({
    seed: z.literal('pending'),
    up: z.number().int(),
    of: z.number().int(),
    pending: z.array(Pending),
  }),
  z.object({ seed: z.literal('done'), changed: z.number().int(), pending: z.array(Pending) }),
  z.object({ seed: z.literal('error'), error: ErrorBodySchema }),
]);
export type SeedLine = z.infer<typeof SeedLine>;

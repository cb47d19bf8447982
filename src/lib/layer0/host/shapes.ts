// What the routes of the agent's API take and answer.
import { z } from 'zod';
import { ports } from '../../api/grid.js';
import { EnvKey } from '../../api/names.js';
import { JobTemplate, JobView } from '../../api/job.js';
import { VolumeRecord } from '../../api/volume.js';

/** `GET /v1/facts`. */
export const HostFacts = z.object({
  host: z.string(),
  address: z.string(),
  claimsFrom: z.enum(['none', 'disk', 'store']),
  /** The store was restored or emptied: nothing is stopped. */
  adoptMode: z.boolean(),
  docker: z.enum(['ok', 'unreachable']),
  /** ms since the store last confirmed the claims; null before the first list. */
  storeAgeMs: z.number().nullable(),
  jobs: z.number().int(),
  running: z.number().int(),
  /** Containers that run without a claim: reported, never stopped. */
  unclaimed: z.array(z.object({ job: z.string(), container: z.string() })),
  /** Actions that fail at present. */
  failing: z.array(z.object({ action: z.string(), failures: z.number().int(), error: z.string() })),
  /** `ok`, or what is wrong with the firewall; `none` where the agent keeps none. */
  firewall: z.string(),
});
export type HostFacts = z.infer<typeof HostFacts>;

/** `GET /healthz`: `ok` when no dependency is broken, otherwise what is wrong with which. */
export const AgentHealth = z.object({
  ok: z.boolean(),
  docker: z.string(),
  store: z.string(),
  firewall: z.string(),
});
export type AgentHealth = z.infer<typeof AgentHealth>;

/** Body of `PUT /v1/jobs/:id`: what to run. Resources and ports are the template's. */
export const PutJob = z.object({
  template: JobTemplate,
  /** Name of the group it belongs to, as its scheduler calls it. */
  owner: z
    .string()
    .min(1)
    .max(80)
    .regex(/^[A-Za-z0-9][\w.@-]*(\/[A-Za-z0-9][\w.@-]*)*$/, 'an owner is words joined by slashes')
    .refine((owner) => !owner.startsWith('omni/'), 'omni jobs are claimed by the agents themselves'),
  /** The key of `sealedEnv`, wrapped to this host; base64. */
  wrappedKey: z.string().max(200).optional(),
});
export type PutJob = z.infer<typeof PutJob>;

/** A job with its template, where that is known. */
export const JobDetail = JobView.extend({ template: JobTemplate.optional() });
export type JobDetail = z.infer<typeof JobDetail>;

/** Body of `POST /v1/jobs/:id/signal`. */
export const SignalRequest = z.object({
  signal: z.enum(['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGKILL', 'SIGTERM', 'SIGUSR1', 'SIGUSR2', 'SIGWINCH']),
});

/** Which lines of a job's output. */
export const LogQuery = z.object({
  follow: z.enum(['0', '1']).default('0'),
  lines: z.coerce.number().int().min(0).max(100_000).optional(),
  /** RFC 3339, or seconds since 1970. */
  since: z.string().max(40).optional(),
});

/** One line of a job's output. */
export const JobLogLine = z.object({
  stream: z.enum(['stdout', 'stderr']),
  line: z.string(),
  /** RFC 3339 with nanoseconds. */
  ts: z.string(),
});

/** A command to run in a job: `argv` and `env` (`KEY=value`) may be repeated. */
export const ExecQuery = z.object({
  argv: z.array(z.string().max(8192)).min(1).max(256),
  env: z
    .array(z.string().max(8192))
    .max(64)
    .default([])
    .refine(
      (list) => list.every((one) => EnvKey.safeParse(one.split('=', 1)[0]).success && one.includes('=')),
      {
        message: 'an env is KEY=value',
      },
    ),
  tty: z.enum(['0', '1']).default('0'),
  user: z.string().max(64).optional(),
  workdir: z.string().startsWith('/').max(4096).optional(),
});
export type ExecQuery = z.infer<typeof ExecQuery>;

/** Body of `PUT /v1/volumes/:name`. */
export const PutVolume = z.object({
  /** Whose jobs may mount it; empty: everybody's. */
  owner: z.string().max(80).default(''),
  sizeLimit: z.number().int().min(1).optional(),
});
export type PutVolume = z.input<typeof PutVolume>;

/** A volume and the jobs that are claimed with it. */
export const VolumeView = VolumeRecord.extend({
  usedBy: z.array(z.string()),
  /** Its record is in the store, its data is not on this host any more. */
  missing: z.boolean().optional(),
});
export type VolumeView = z.infer<typeof VolumeView>;

/** Body of `POST /v1/images/pull`. */
export const PullRequest = z.object({ image: z.string().min(1).max(500) });

const target = new RegExp(
  `^127\\.0\\.0\\.1:${ports.registryLocal}/flynn/[a-z0-9]+(?:[._/-][a-z0-9]+)*(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?$`,
);

/** Body of `POST /v1/images/push`. */
export const PushRequest = z.object({
  /** An image that is on the host. */
  image: z.string().min(1).max(500),
  /** Name in the registry, `127.0.0.1:5555/flynn/NAME[:TAG]`. */
  as: z.string().max(500).regex(target, `must be 127.0.0.1:${ports.registryLocal}/flynn/NAME`),
});

/** Answer of `POST /v1/images/push`. */
export const PushAnswer = z.object({ digest: z.string() });
export type PushAnswer = z.infer<typeof PushAnswer>;

/** Whether an image is on the host. */
export const ImagePresence = z.object({ image: z.string(), present: z.boolean(), id: z.string().optional() });

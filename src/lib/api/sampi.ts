// Sampi's API: one consistent view of the grid, and transactions that never break a resource constraint.
import { z } from 'zod';
import { Claim, Resources } from './job.js';
import { HostBook, HostInfo, TagName, TagValue } from './grid.js';
import { HostName, JobId } from './names.js';

/** A guard of somebody else's (a leader's election key) that rides in the outer transaction. */
export const Guard = z.object({ key: z.string().min(1).max(256), createRevision: z.number().int().min(0) });
export type Guard = z.infer<typeof Guard>;

/** A job that a scheduler wants booked on a host. The id is made before the call: a repeated call changes nothing. */
export const ClaimRequest = z.object({
  job: JobId,
  template: z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, 'a template is named by its hash'),
  owner: z.string().min(1).max(80),
  resources: Resources,
  /** How many host ports to hand out from the job range. */
  ports: z.number().int().min(0).max(16).default(0),
  /** Host ports that it must have; they come before the handed-out ones in the claim. */
  fixedPorts: z
    .array(z.number().int().min(1).max(65535))
    .max(64)
    .refine((ports) => new Set(ports).size === ports.length, 'a port is named twice')
    .default([]),
  /** The release's key, wrapped to the host. */
  wrappedKey: z.string().max(512).optional(),
});
export type ClaimRequest = z.infer<typeof ClaimRequest>;
export type ClaimRequestInput = z.input<typeof ClaimRequest>;

/** What a transaction does to one host: new claims, and changed intentions for claims that exist. */
export const HostChange = z.object({
  claims: z.array(ClaimRequest).default([]),
  want: z.array(z.object({ job: JobId, want: z.enum(['run', 'stop', 'lost']) })).default([]),
});
export type HostChange = z.infer<typeof HostChange>;

export const TransactionRequest = z.object({
  /** ULID made by the caller; the same id again finds what it did the first time. */
  id: z.string().min(1).max(40),
  mode: z.enum(['incremental', 'all-or-nothing']).default('incremental'),
  guards: z.array(Guard).max(4).default([]),
  hosts: z.record(HostName, HostChange),
});
export type TransactionRequest = z.infer<typeof TransactionRequest>;
export type TransactionInput = z.input<typeof TransactionRequest>;

/** Why a host refused: which constraint, by how much (MiB, millicores, ports), and the job that did not fit. */
export const Rejection = z.object({
  code: z.enum(['conflict', 'no_capacity', 'not_found', 'cordoned', 'exists']),
  message: z.string(),
  constraint: z.enum(['memory', 'cpu', 'port', 'host', 'cordon', 'disk', 'job', 'template']).optional(),
  short: z.number().optional(),
  job: z.string().optional(),
});
export type Rejection = z.infer<typeof Rejection>;

export const HostOutcome = z.object({
  ok: z.boolean(),
  /** Jobs that are booked now, with what the claim says. */
  claims: z.record(z.string(), Claim).default({}),
  rejection: Rejection.optional(),
  /** The book it was judged against, as it is after the transaction. */
  book: HostBook.optional(),
});
export type HostOutcome = z.infer<typeof HostOutcome>;

export const TransactionAnswer = z.object({
  id: z.string(),
  /** A guard did not hold: nothing was done, the caller is no leader any more. */
  fenced: z.boolean().default(false),
  revision: z.number().int(),
  hosts: z.record(z.string(), HostOutcome),
});
export type TransactionAnswer = z.infer<typeof TransactionAnswer>;

/** One host as the view shows it. */
export const HostView = z.object({
  info: HostInfo,
  book: HostBook,
  /** The agent's session is alive. */
  alive: z.boolean(),
});
export type HostView = z.infer<typeof HostView>;

/** A consistent snapshot of hosts at one etcd revision. */
export const GridView = z.object({ revision: z.number().int(), hosts: z.record(z.string(), HostView) });
export type GridView = z.infer<typeof GridView>;

/** Which claims to list. A page after the first is read at the revision of the first. */
export const ClaimsQuery = z.object({
  /** Only claims of this host. */
  host: HostName.optional(),
  /** Only claims whose owner is this, or begins with it and a slash. */
  owner: z.string().min(1).max(80).optional(),
  /** Claims per page at most. */
  limit: z.coerce.number().int().min(1).max(1000).default(1000),
  /** `next` of the page before. */
  page: z.string().max(400).optional(),
});
export type ClaimsQuery = z.infer<typeof ClaimsQuery>;

/** One page of claims, in the order of their keys. */
export const ClaimsPage = z.object({
  /** The etcd revision that all pages are of. */
  revision: z.number().int(),
  claims: z.array(z.object({ job: JobId, host: HostName, claim: Claim })),
  /** There is more: ask with `page` set to this. A page may be short, or empty, and have a next one. */
  next: z.string().optional(),
});
export type ClaimsPage = z.infer<typeof ClaimsPage>;

export const SetCordon = z.object({ cordoned: z.boolean() });

/** Tags to set and to take away; the others stay. */
export const SetTags = z.object({
  set: z.record(TagName, TagValue).default({}),
  remove: z.array(TagName).max(64).default([]),
});
export type SetTags = z.input<typeof SetTags>;

/** A host's book after a change; `changed` is false when it was so already. */
export const BookAnswer = z.object({ changed: z.boolean(), book: HostBook });
export type BookAnswer = z.infer<typeof BookAnswer>;

/** What a stream of the view tells: hosts always; claims too when asked for all, or for those of a host or an owner. */
export const ViewStreamQuery = z.object({
  claims: z.enum(['none', 'all']).default('none'),
  host: HostName.optional(),
  owner: z.string().min(1).max(80).optional(),
});
export type ViewStreamQuery = z.infer<typeof ViewStreamQuery>;

/** One line of the stream: what there is, then `current`, then what changes. */
export const ViewEvent = z.discriminatedUnion('type', [
  z.object({ type: z.literal('host'), name: HostName, host: HostView }),
  z.object({ type: z.literal('host-gone'), name: HostName }),
  z.object({ type: z.literal('claim'), job: JobId, host: HostName, claim: Claim }),
  z.object({ type: z.literal('claim-gone'), job: JobId, host: HostName }),
  /** What came before is the whole, as of this revision. */
  z.object({ type: z.literal('current'), revision: z.number().int() }),
]);
export type ViewEvent = z.infer<typeof ViewEvent>;

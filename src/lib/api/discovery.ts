// Discovery over HTTP: services with their instances, changes as a stream, registrations and elections of programs.
import { z } from 'zod';
import { HostName, ServiceName } from './names.js';

/** One instance of a service. */
export const ServiceInstance = z.object({
  /** Id of its job; `JOB.PORT` or `host.PORT` for what a program has registered by itself. */
  id: z.string(),
  host: HostName,
  address: z.string(),
  port: z.number().int().min(1).max(65535),
  /** ms since the epoch, by the clock of its host: for people. */
  since: z.number(),
  meta: z.record(z.string(), z.string()),
  /** Revision at which it was registered: the lowest is the oldest. */
  epoch: z.number().int(),
});
export type ServiceInstance = z.infer<typeof ServiceInstance>;

/** `GET /v1/services`. */
export const ServiceList = z.object({
  services: z.array(z.object({ name: ServiceName, instances: z.number().int() })),
});
export type ServiceList = z.infer<typeof ServiceList>;

/** `GET /v1/services/NAME`: the oldest instance first. */
export const ServiceView = z.object({
  name: ServiceName,
  /** Whom `leader.NAME` leads to: the winner of the election of that name, without one the oldest instance. */
  leader: ServiceInstance.nullable(),
  instances: z.array(ServiceInstance),
});
export type ServiceView = z.infer<typeof ServiceView>;

/** A line of `GET /v1/services/NAME/watch`: first what is there, then `current`, then changes as they come. */
export const ServiceEvent = z.discriminatedUnion('type', [
  z.object({ type: z.literal('up'), instance: ServiceInstance }),
  z.object({ type: z.literal('down'), id: z.string() }),
  z.object({ type: z.literal('leader'), instance: ServiceInstance.nullable() }),
  z.object({ type: z.literal('current') }),
]);
export type ServiceEvent = z.infer<typeof ServiceEvent>;

/** Body of `PUT /v1/services/NAME/registration`; to be repeated every few seconds. */
export const RegisterRequest = z.object({
  /** The port that the program listens on: of a job its container's port, of a program on a host the host's. */
  port: z.number().int().min(1).max(65535),
  meta: z
    .record(z.string().max(60), z.string().max(200))
    .refine((meta) => Object.keys(meta).length <= 16, 'at most 16 entries')
    .default({}),
});
export type RegisterRequest = z.infer<typeof RegisterRequest>;

/** Where others find what was registered. */
export const Registration = z.object({
  service: ServiceName,
  id: z.string(),
  address: z.string(),
  port: z.number().int(),
  /** It is gone after so many ms without a repetition. */
  ttlMs: z.number().int(),
});
export type Registration = z.infer<typeof Registration>;

/** Body of `PUT /v1/elections/NAME`; to be repeated every few seconds by whoever stands. */
export const StandRequest = z.object({
  /** The port that the candidate listens on, when `leader.NAME` is to lead to it. */
  port: z.number().int().min(1).max(65535).optional(),
});

/** An election as it stands. */
export const Election = z.object({
  name: ServiceName,
  /** Who leads: `JOB` or `host`; null when nobody stands. */
  leader: z.string().nullable(),
  /** Number of the leader's term: grows from leader to leader. Whatever is written for it carries this number. */
  epoch: z.number().int().nullable(),
  /** Whether the caller leads. It may take itself for the leader until `ttlMs` after it *sent* the question. */
  elected: z.boolean(),
  ttlMs: z.number().int(),
});
export type Election = z.infer<typeof Election>;

// What lies in the store about services, read as it is without trust: instances and candidates. Pure.
import { z } from 'zod';
import { Instance } from '../../api/grid.js';
import type { ServiceInstance } from '../../api/discovery.js';
import { keys, partsAfter } from '../../api/keys.js';
import { HostName, ServiceName } from '../../api/names.js';

/** An instance with the service that it is one of. */
export interface Registered extends Omit<ServiceInstance, 'epoch'> {
  service: string;
}

/** Who stands for the leadership of a service, under `elections/service/NAME/ID`; leased. */
export const Candidate = z.object({
  id: z.string(),
  host: HostName,
  address: z.string().optional(),
  port: z.number().int().min(1).max(65535).optional(),
  since: z.number(),
});
export type Candidate = z.infer<typeof Candidate>;

/** Prefix of the elections that programs stand for. */
export const { serviceElections } = keys;

/** Key of a candidate. */
export const candidateKey = (service: string, id: string): string => `${serviceElections}${service}/${id}`;

/** Ids of instances: of jobs, and of what has none; they become names of servers in proxies. */
const instanceId = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$/;

/** The instance of a record, undefined when key and value are not one. Throws when the value is not JSON. */
export const parseInstance = (key: string, value: string): Registered | undefined => {
  const [host = '', service = '', id = '', ...rest] = partsAfter(keys.instances, key);
  const known = HostName.safeParse(host).success && ServiceName.safeParse(service).success;
  const instance = Instance.safeParse(JSON.parse(value));
  if (!known || rest.length > 0 || !instanceId.test(id) || !instance.success) return undefined;
  const { address, port, since, meta } = instance.data;
  return port < 1 || port > 65535 ? undefined : { service, id, host, address, port, since, meta };
};

/** The candidate of a record with its service, undefined when key and value are none. */
export const parseCandidate = (
  key: string,
  value: string,
): { service: string; candidate: Candidate } | undefined => {
  const [service = '', ...rest] = partsAfter(serviceElections, key);
  const candidate = Candidate.safeParse(JSON.parse(value));
  if (!ServiceName.safeParse(service).success || rest.length !== 1 || !candidate.success) return undefined;
  return { service, candidate: candidate.data };
};

/** Id of what a job, or a host (no job), has registered at a port. Never a job's id: those have no dot. */
export const registrationId = (job: string | undefined, port: number): string => `${job ?? 'host'}.${port}`;

/** Whether a program has registered it by itself: it hangs on a lease then, and no agent withdraws it by its plan. */
export const isSelfRegistered = (id: string): boolean => id.includes('.');

// The names a person may choose, validated at the edge once and for all.
import { z } from 'zod';

/** Names that would shadow an appliance, a DNS label of the grid or a word of the command line. */
export const reservedNames = [
  'api',
  'controller',
  'discovery',
  'etcd',
  'flynn',
  'gateway',
  'git',
  'host',
  'leader',
  'localhost',
  'registry',
  'router',
  'sampi',
  'slugbuilder',
  'slugrunner',
  'www-flynn',
] as const;

const label = /^[a-z][a-z0-9]*(-[a-z0-9]+)*$/;

/** An app's name: a DNS label of 1–30 characters, because it becomes `APP.DOMAIN`. */
export const AppName = z
  .string()
  .min(1, 'an app name has at least one character')
  .max(30, 'an app name has at most 30 characters')
  .regex(label, 'an app name is lower-case letters, digits and single hyphens, and starts with a letter')
  .refine((name) => !(reservedNames as readonly string[]).includes(name), 'that name is reserved');

/** A host's name in the cluster: a DNS label of 1–30 characters; it prefixes the ids of the host's jobs. */
export const HostName = z
  .string()
  .max(30, 'a host name has at most 30 characters')
  .regex(/^[a-z0-9]+(-[a-z0-9]+)*$/, 'a host name is lower-case letters, digits and single hyphens');

/** A process type of an app, such as `web`. */
export const ProcessType = z
  .string()
  .max(30, 'a process type has at most 30 characters')
  .regex(/^[a-z][a-z0-9_-]*$/, 'a process type is lower-case letters, digits, _ and -');

/** A name in discovery. */
export const ServiceName = z
  .string()
  .max(63, 'a service name has at most 63 characters')
  .regex(
    /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/,
    'a service name is lower-case letters, digits, dots and hyphens',
  );

/** A cluster's name on the operator's computer. */
export const ClusterName = z
  .string()
  .max(30, 'a cluster name has at most 30 characters')
  .regex(/^[a-z0-9]+(-[a-z0-9]+)*$/, 'a cluster name is lower-case letters, digits and single hyphens');

/** A DNS domain of two or more labels, or `localhost` below it; lower case. */
export const Domain = z
  .string()
  .max(253, 'a domain has at most 253 characters')
  .regex(
    /^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/,
    'a domain is lower-case labels joined by dots',
  );

/** Name of an environment variable. */
export const EnvKey = z
  .string()
  .max(128, 'an environment variable has a name of at most 128 characters')
  .regex(
    /^[A-Za-z_][A-Za-z0-9_]*$/,
    'an environment variable is letters, digits and _, and starts with no digit',
  );

/** Id of a job: its host's name, a hyphen, and a ULID in lower case. */
export const JobId = z
  .string()
  .regex(/^[a-z0-9]+(-[a-z0-9]+)*-[0-9a-hjkmnp-tv-z]{26}$/, 'a job id is HOST-ULID');

/** The host that a job id names. */
export function hostOfJob(jobId: string): string {
  return jobId.slice(0, -27);
}

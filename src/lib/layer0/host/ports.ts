// Where a job listens: container ports, host ports, and the address that others reach it at.
import type { Instance } from '../../api/grid.js';
import type { Claim, HealthCheck, JobTemplate, PortSpec } from '../../api/job.js';

/** A port of a job with its place on the host. */
export interface PlacedPort extends PortSpec {
  /** Port on the host; undefined when the claim has none for it. */
  hostPort: number | undefined;
}

/**
 * The template's ports with their host ports. Fixed ports are their own; on the host network the container's port is
 * the host's; the others get the claim's remaining ports in order, wherever the fixed ones stand in it.
 */
export const placePorts = (template: JobTemplate, claim: Pick<Claim, 'p'>): PlacedPort[] => {
  const certain = template.ports.map(
    (p) => p.fixed ?? (template.network === 'host' ? p.container : undefined),
  );
  const given = claim.p.filter((port) => !certain.includes(port));
  return template.ports.map((spec, i) => ({ ...spec, hostPort: certain[i] ?? given.shift() }));
};

/** What a claim of the template asks for: host ports that it must have, and how many of the job range. */
export const claimablePorts = (
  template: Pick<JobTemplate, 'ports' | 'network'>,
): { fixedPorts: number[]; ports: number } => {
  const certain = template.ports.map(
    (p) => p.fixed ?? (template.network === 'host' ? p.container : undefined),
  );
  const fixedPorts = certain.filter((port) => port !== undefined);
  return { fixedPorts, ports: certain.length - fixedPorts.length };
};

/** The port with that name, the first one without a name. */
const portNamed = (ports: PlacedPort[], name: string | undefined): PlacedPort | undefined =>
  name === undefined ? ports[0] : ports.find((p) => p.name === name);

/** The port that the job's service is registered at. */
export const servicePort = (template: JobTemplate, claim: Pick<Claim, 'p'>): PlacedPort | undefined =>
  portNamed(placePorts(template, claim), template.service?.port);

/** `address:port` of every published port, by name. */
export const publishedAddresses = (
  template: JobTemplate,
  claim: Pick<Claim, 'p'>,
  address: string,
): Record<string, string> =>
  Object.fromEntries(
    placePorts(template, claim).flatMap((p) =>
      p.hostPort === undefined ? [] : [[p.name, `${address}:${p.hostPort}`]],
    ),
  );

/** The instance record of a job, undefined when it offers no service or has no port for it. */
export const instanceOf = (
  template: JobTemplate,
  claim: Pick<Claim, 'p'>,
  address: string,
): Pick<Instance, 'address' | 'port' | 'meta'> | undefined => {
  const port = template.service && servicePort(template, claim)?.hostPort;
  return port === undefined ? undefined : { address, port, meta: template.meta };
};

/** What the grid adds to a job's environment. */
export const flynnEnv = (job: string, host: string, template: JobTemplate): Record<string, string> => {
  const port = template.ports.find((p) => p.name === template.service?.port) ?? template.ports[0];
  const env: Record<string, string> = { FLYNN_JOB_ID: job, FLYNN_HOST: host };
  if (port) env.PORT = String(port.container);
  return env;
};

/** How a job's health is found out: by a check at an address, or by its running for that many ms. */
export type HealthPlan =
  | {
      type: 'probe';
      check: HealthCheck;
      address: string;
      port: number;
      /** Good answers in a row until it is up, bad ones until it is down. */
      upAfter: number;
      downAfter: number;
    }
  /** A command in the container. */
  | { type: 'exec'; check: HealthCheck; command: readonly string[]; upAfter: number; downAfter: number }
  | { type: 'running'; ms: number };

const defaults = { path: '/', intervalMs: 2000, startIntervalMs: 100, timeoutMs: 2000, threshold: 2 };
/** Without a port there is nothing to ask: a job that still runs after this is taken for healthy. */
const runningMs = 1_000;

/**
 * The health plan of a running job. A container on the bridge is asked at its own address: docker-proxy accepts on
 * the host with nothing behind it. Undefined when a bridge address is needed and not known.
 */
export const healthPlan = (
  template: JobTemplate,
  hostAddress: string,
  ip: string | undefined,
): HealthPlan | undefined => {
  const { health } = template;
  if (health?.type === 'exec') {
    const { threshold, command = [] } = health;
    return { type: 'exec', check: health, command, upAfter: threshold, downAfter: threshold };
  }
  const port =
    template.ports.find((p) => p.name === template.health?.port && p.proto === 'tcp') ??
    template.ports.find((p) => p.proto === 'tcp');
  if (!port) return { type: 'running', ms: runningMs };
  const onHost = template.network === 'host';
  const address = onHost ? hostAddress : ip;
  if (!address) return undefined;
  const check: HealthCheck = template.health ?? { type: 'tcp', ...defaults };
  return {
    type: 'probe',
    check,
    address,
    port: onHost ? (port.fixed ?? port.container) : port.container,
    // Without a check of its own a job is up as soon as its port accepts.
    upAfter: template.health ? check.threshold : 1,
    downAfter: check.threshold,
  };
};

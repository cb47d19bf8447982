// The appliances that every host, or every control host, runs as jobs of Layer 0. Pure.
import { ports, type OmniJob } from '../api/grid.js';
import type { JobTemplateInput } from '../api/job.js';
import { hostPaths } from '../appliance/config.js';
import { applianceMemory } from './roles.js';

const MiB = 1024 * 1024;

/**
 * Time between checks of an appliance, ms: a connection to its TLS or SSH port costs it an aborted handshake, and its
 * callers find the next copy by themselves.
 */
const applianceCheckMs = 5_000;

/** An omni job with the template that its record will name. */
export interface OmniPlan extends Pick<OmniJob, 'name' | 'on' | 'order'> {
  template: JobTemplateInput;
}

/** Public ports of a cluster. */
export interface PublicPorts {
  httpPort: number;
  httpsPort: number;
  gatewayPort: number;
}

/** Image of an appliance: its own, else the one that all share. Throws when the manifest has neither. */
export function imageOf(images: Readonly<Record<string, string>>, appliance: string): string {
  const image = images[appliance] ?? images.host;
  if (image === undefined) throw new Error(`the image manifest names no image for ${appliance}`);
  return image;
}

/** The omni jobs of a cluster, or of one of Layer 0 alone, in the order of their first start. */
export function omniJobs(
  images: Readonly<Record<string, string>>,
  publicPorts: PublicPorts,
  layer0 = false,
): OmniPlan[] {
  const port = (name: string, number: number) => ({ name, container: number, fixed: number });
  const job = (
    name: keyof typeof applianceMemory,
    on: OmniJob['on'],
    order: number,
    own: Partial<JobTemplateInput>,
  ): OmniPlan => ({
    name,
    on,
    order,
    template: {
      kind: 'omni',
      image: imageOf(images, name),
      // The image's entrypoint starts whichever appliance its argument names.
      args: [name],
      network: 'host',
      resources: { memory: applianceMemory[name] * MiB, cpu: 50 },
      memoryLimit: 0,
      priority: 'system',
      cpuShares: 1024,
      ...own,
      mounts: [
        ...(name === 'dns'
          ? []
          : [
              bind(`${hostPaths.config}/common`, true),
              bind(`${hostPaths.config}/${on === 'control' ? 'control' : name}`, true),
            ]),
        ...(own.mounts ?? []),
      ],
    },
  });
  const grid = [
    // First: whatever starts after it resolves names by it. Its agent tells it the rest by a file.
    job('dns', 'all', 5, {
      cpuShares: 4096,
      mounts: [bind(`${hostPaths.data}/dns`, true)],
    }),
    job('sampi', 'control', 10, {
      ports: [port('api', ports.sampi)],
      health: { type: 'tcp', port: 'api', intervalMs: applianceCheckMs },
    }),
  ];
  if (layer0) return grid;
  return [
    ...grid,
    job('controller', 'control', 20, {
      ports: [port('api', ports.controller)],
      health: { type: 'tcp', port: 'api', intervalMs: applianceCheckMs },
    }),
    job('gateway', 'control', 30, {
      ports: [port('ssh', publicPorts.gatewayPort)],
      health: { type: 'tcp', port: 'ssh', intervalMs: applianceCheckMs },
      // A cache of repositories: whichever copy takes a push does without the others'.
      mounts: [bind(`${hostPaths.data}/gateway`, false)],
    }),
    // Its entry script finds the host's address itself: the template is the same on every host.
    job('registry', 'control', 35, {
      ports: [port('api', ports.registry)],
      health: { type: 'tcp', port: 'api', intervalMs: applianceCheckMs },
      mounts: [bind(`${hostPaths.data}/registry`, false)],
    }),
    job('router', 'all', 40, {
      ports: [
        port('monitor', ports.routerMonitor),
        port('http', publicPorts.httpPort),
        port('https', publicPorts.httpsPort),
      ],
      health: { type: 'http', port: 'monitor', path: '/healthz' },
      cpuShares: 4096,
      capAdd: ['NET_BIND_SERVICE'],
      mounts: [bind(`${hostPaths.data}/router`, false)],
    }),
  ];
}

function bind(path: string, readOnly: boolean) {
  return { type: 'bind' as const, source: path, target: path, readOnly };
}

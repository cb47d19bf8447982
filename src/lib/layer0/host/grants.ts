// What the grid gives a container beside its spec: its token for discovery, the host's resolver, the tool's directory.
import type { JobTemplate } from '../../api/job.js';
import type { Mount } from '../../docker/port.js';

/** What a container is given. */
export interface JobGrants {
  env: Record<string, string>;
  mounts: Mount[];
  /** Addresses of resolvers; empty: Docker's own choice. */
  dns: string[];
}

/** Hands out what a job asks for. Throws when something that it cannot do without is not there. */
export type Grant = (job: string, template: JobTemplate) => Promise<JobGrants>;

/** What a job without any grants is given. */
export const noGrants: JobGrants = { env: {}, mounts: [], dns: [] };

/** Whether a job may use discovery: jobs on the bridge may unless their spec says no, others have to ask for it. */
export const wantsDiscovery = (template: Pick<JobTemplate, 'discovery' | 'network' | 'kind'>): boolean =>
  template.discovery ?? (template.network === 'bridge' && template.kind !== 'omni');

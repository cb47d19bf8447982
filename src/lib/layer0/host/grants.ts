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

/** Where the parts come from. */
export interface GrantSources {
  /** Variables by which the job finds discovery. */
  discovery(job: string, template: JobTemplate): Promise<Record<string, string>>;
  /** Directory of sdutil on this host. */
  tool(): Promise<string>;
  /** Resolvers for jobs on the bridge. */
  resolvers(): Promise<string[]>;
}

/** Where a job sees sdutil. */
export const toolMount = '/.flynn';

/** What a job without any grants is given. */
export const noGrants: JobGrants = { env: {}, mounts: [], dns: [] };

/** Whether a job may use discovery: jobs on the bridge may unless their spec says no, others have to ask for it. */
export const wantsDiscovery = (
  template: Pick<JobTemplate, 'discovery' | 'sdutil' | 'network' | 'kind'>,
): boolean =>
  template.discovery ?? template.sdutil ?? (template.network === 'bridge' && template.kind !== 'omni');

/** Grants of a host's jobs. */
export const granting =
  ({ discovery, tool, resolvers }: GrantSources): Grant =>
  async (job, template) => ({
    env: await discovery(job, template),
    mounts: template.sdutil
      ? [{ type: 'bind', source: await tool(), target: toolMount, readOnly: true }]
      : [],
    // Docker writes its own choice into containers of the host network: the host's.
    dns: template.network === 'bridge' ? await resolvers() : [],
  });

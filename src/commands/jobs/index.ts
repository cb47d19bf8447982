// flynn jobs: the jobs of the grid, whoever scheduled them.
import { Flags } from '@oclif/core';
import { GridCommand } from '../../lib/access/grid-command.js';
import type { GatheredJobs } from '../../lib/operator/jobs/gather.js';
import { jobTable } from '../../lib/ui/job-table.js';

export default class Jobs extends GridCommand<GatheredJobs> {
  static override description = 'list the jobs of the grid, whoever scheduled them';
  static override aliases = ['jobs:list'];
  static override hiddenAliases = ['job', 'job:list'];
  static override examples = [
    '<%= config.bin %> jobs:list',
    '<%= config.bin %> jobs:list --host a',
    '<%= config.bin %> jobs:list --owner app/hello',
  ];
  static override flags = {
    host: Flags.string({ description: 'only those on this host' }),
    owner: Flags.string({ description: 'only those of this owner, such as app/hello or omni' }),
  };

  async run(): Promise<GatheredJobs> {
    const { flags } = await this.parse(Jobs);
    const { checkOptional, words } = await import('../../lib/operator/jobs/words.js');
    const host = checkOptional(words.host, flags.host);
    const owner = checkOptional(words.owner, flags.owner);
    const { gatherJobs } = await import('../../lib/operator/jobs/gather.js');
    const { grid, info } = await this.access(flags);
    return gatherJobs(grid, info, { host, owner }, this.signal);
  }

  protected override render({ jobs, problems }: GatheredJobs): void {
    for (const line of jobTable(jobs, this.terminal, Date.now())) this.print(line);
    if (jobs.length === 0) this.report.step('there are no jobs');
    for (const problem of problems) this.report.warn(problem);
  }
}

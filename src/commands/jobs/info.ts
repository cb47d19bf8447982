// flynn jobs:info: one job in full, from its template to its last words.
import { Args } from '@oclif/core';
import { GridCommand } from '../../lib/access/grid-command.js';
import type { JobDetail } from '../../lib/operator/jobs/detail.js';
import { stateTone } from '../../lib/ui/job-table.js';
import { ago, pairs } from '../../lib/ui/table.js';

export default class JobsInfo extends GridCommand<JobDetail> {
  static override description = 'show a job: what it runs, where, how it does and why';
  static override hiddenAliases = ['job:info'];
  static override examples = ['<%= config.bin %> jobs:info a-01jd8m3w5v9hkq2n4r6t8x0y1z'];
  static override args = { job: Args.string({ description: 'id of the job', required: true }) };

  async run(): Promise<JobDetail> {
    const { args, flags } = await this.parse(JobsInfo);
    const { checkWord, words } = await import('../../lib/operator/jobs/words.js');
    const id = checkWord(words.job, args.job);
    const { jobDetail } = await import('../../lib/operator/jobs/detail.js');
    const { grid } = await this.access(flags);
    return jobDetail(grid, id, this.signal);
  }

  protected override render({ job, template, claim, addresses, tail }: JobDetail): void {
    const now = Date.now();
    const ports = Object.entries(addresses).map(([name, at]) => `${name} at ${at}`);
    const volumes = template?.mounts.map(
      ({ source, target, readOnly }) => `${source}:${target}${readOnly ? ':ro' : ''}`,
    );
    const lines = pairs([
      ['job', job.id],
      ['state', stateTone(this.terminal, job.state)],
      ['since', job.since === 0 ? undefined : `${ago(job.since, now)} ago`],
      ['why', job.reason],
      ['exit code', job.exitCode ?? undefined],
      ['starts', job.starts],
      ['host', job.host],
      ['owner', job.owner],
      ['kind', template?.kind],
      ['image', template?.image],
      ['command', [...(template?.entrypoint ?? []), ...(template?.args ?? [])].join(' ') || undefined],
      ['memory', `${claim.m} MiB`],
      ['cpu', `${claim.c} millicores`],
      ['service', template?.service?.name],
      ['ports', ports.join(', ') || undefined],
      ['mounts', volumes?.join(', ') || undefined],
    ]);
    for (const line of lines) this.print(line);
    if (tail.length > 0) this.print('last lines');
    for (const line of tail) this.print(`    ${line}`);
  }
}

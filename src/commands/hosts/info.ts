// flynn hosts:info: one host, how its agent does, and its jobs.
import { Args } from '@oclif/core';
import { GridCommand } from '../../lib/access/grid-command.js';
import type { HostDetail } from '../../lib/operator/hosts/detail.js';
import { jobTable } from '../../lib/ui/job-table.js';
import { ago, pairs } from '../../lib/ui/table.js';

export default class HostsInfo extends GridCommand<HostDetail> {
  static override description = 'show a host: what it offers, how its agent does, and its jobs';
  static override hiddenAliases = ['host:info'];
  static override examples = ['<%= config.bin %> hosts:info a'];
  static override args = { host: Args.string({ description: 'name of the host', required: true }) };

  async run(): Promise<HostDetail> {
    const { args, flags } = await this.parse(HostsInfo);
    const { checkWord, words } = await import('../../lib/operator/jobs/words.js');
    const name = checkWord(words.host, args.host);
    const { hostDetail } = await import('../../lib/operator/hosts/detail.js');
    const { grid, info } = await this.access(flags);
    return hostDetail(grid, info, name, this.signal);
  }

  protected override render({ host, agent, jobs, problems }: HostDetail): void {
    const tags = Object.entries(host.tags).map(([tag, value]) => `${tag}=${value}`);
    const failing = agent?.failing.map(({ action, error }) => `${action}: ${error}`) ?? [];
    const lines = pairs([
      ['host', host.name],
      ['state', host.state],
      ['address', host.address],
      ['public', host.publicAddress],
      ['roles', host.roles.join(', ') || 'worker'],
      ['processor', host.arch],
      ['joined', `${ago(host.joinedAt, Date.now())} ago`],
      ['memory', `${host.used.m} of ${host.capacity.m} MiB booked`],
      ['cpu', `${host.used.c} of ${host.capacity.c} millicores booked`],
      ['tags', tags.join(' ') || undefined],
      ['docker', agent?.docker],
      ['claims', agent && `${agent.jobs}, as the ${agent.claimsFrom} tells; ${agent.running} containers run`],
      ['firewall', agent?.firewall],
      ['unclaimed', agent?.unclaimed.map(({ job }) => job).join(', ') || undefined],
      ['failing', failing.join('; ') || undefined],
    ]);
    for (const line of lines) this.print(line);
    if (jobs.length > 0) this.print();
    for (const line of jobTable(jobs, this.terminal, Date.now())) this.print(line);
    for (const problem of problems) this.report.warn(problem);
  }
}

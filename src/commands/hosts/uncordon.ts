// flynn hosts:uncordon: place jobs on a host again.
import { Args } from '@oclif/core';
import { GridCommand } from '../../lib/access/grid-command.js';

export default class HostsUncordon extends GridCommand<{
  host: string;
  cordoned: boolean;
  changed: boolean;
}> {
  static override description = 'place jobs on a host again';
  static override hiddenAliases = ['host:uncordon'];
  static override examples = ['<%= config.bin %> hosts:uncordon a'];
  static override args = { host: Args.string({ description: 'name of the host', required: true }) };

  async run(): Promise<{ host: string; cordoned: boolean; changed: boolean }> {
    const { args, flags } = await this.parse(HostsUncordon);
    const { checkWord, words } = await import('../../lib/operator/jobs/words.js');
    const host = checkWord(words.host, args.host);
    const { grid } = await this.access(flags);
    return { host, cordoned: false, changed: await grid.cordon(host, false, { signal: this.signal }) };
  }

  protected override render({ host, changed }: { host: string; changed: boolean }): void {
    this.report.done(changed ? `${host} takes jobs again` : `${host} was not cordoned`);
  }
}

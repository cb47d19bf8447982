// flynn hosts:cordon: place nothing more on a host; what runs there goes on.
import { Args } from '@oclif/core';
import { GridCommand } from '../../lib/access/grid-command.js';

export default class HostsCordon extends GridCommand<{ host: string; cordoned: boolean; changed: boolean }> {
  static override description = 'place nothing more on a host; what runs there goes on';
  static override hiddenAliases = ['host:cordon'];
  static override examples = ['<%= config.bin %> hosts:cordon a'];
  static override args = { host: Args.string({ description: 'name of the host', required: true }) };

  async run(): Promise<{ host: string; cordoned: boolean; changed: boolean }> {
    const { args, flags } = await this.parse(HostsCordon);
    const { checkWord, words } = await import('../../lib/operator/jobs/words.js');
    const host = checkWord(words.host, args.host);
    const { grid } = await this.access(flags);
    return { host, cordoned: true, changed: await grid.cordon(host, true, { signal: this.signal }) };
  }

  protected override render({ host, changed }: { host: string; changed: boolean }): void {
    this.report.done(
      changed ? `${host} is cordoned: nothing more is placed on it` : `${host} was cordoned already`,
    );
  }
}

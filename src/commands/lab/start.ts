// flynn lab start: power on again.
import { Args, Flags } from '@oclif/core';
import { FlynnCommand } from '../../lib/ui/command.js';
import type { HostChange } from '../../lib/lab/index.js';

export default class LabStart extends FlynnCommand<HostChange> {
  static override description = 'switch a host on again';
  static override examples = ['<%= config.bin %> lab start b'];
  static override args = { host: Args.string({ description: 'host of the lab', required: true }) };
  static override flags = { name: Flags.string({ description: 'which lab', default: 'default' }) };

  async run(): Promise<HostChange> {
    const { args, flags } = await this.parse(LabStart);
    const { startHost } = await import('../../lib/lab/index.js');
    return startHost(args.host, { name: flags.name, signal: this.signal });
  }

  protected override render(change: HostChange): void {
    this.print(`host ${change.host} is ${change.state}`);
  }
}

// flynn lab unpause: thaws a host.
import { Args, Flags } from '@oclif/core';
import { FlynnCommand } from '../../lib/ui/command.js';
import type { HostChange } from '../../lib/lab/index.js';

export default class LabUnpause extends FlynnCommand<HostChange> {
  static override description = 'thaw a frozen host';
  static override examples = ['<%= config.bin %> lab unpause b'];
  static override args = { host: Args.string({ description: 'host of the lab', required: true }) };
  static override flags = { name: Flags.string({ description: 'which lab', default: 'default' }) };

  async run(): Promise<HostChange> {
    const { args, flags } = await this.parse(LabUnpause);
    const { unpauseHost } = await import('../../lib/lab/index.js');
    return unpauseHost(args.host, { name: flags.name, signal: this.signal });
  }

  protected override render(change: HostChange): void {
    this.print(`host ${change.host} is ${change.state}`);
  }
}

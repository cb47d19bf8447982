// flynn lab pause: freezes a host and its jobs.
import { Args, Flags } from '@oclif/core';
import { FlynnCommand } from '../../lib/ui/command.js';
import type { HostChange } from '../../lib/lab/index.js';

export default class LabPause extends FlynnCommand<HostChange> {
  static override description = 'freeze a host with everything on it';
  static override examples = ['<%= config.bin %> lab pause b'];
  static override args = { host: Args.string({ description: 'host of the lab', required: true }) };
  static override flags = { name: Flags.string({ description: 'which lab', default: 'default' }) };

  async run(): Promise<HostChange> {
    const { args, flags } = await this.parse(LabPause);
    const { pauseHost } = await import('../../lib/lab/index.js');
    return pauseHost(args.host, { name: flags.name, signal: this.signal });
  }

  protected override render(change: HostChange): void {
    this.print(`host ${change.host} is ${change.state}`);
  }
}

// flynn lab kill: a power cut.
import { Args, Flags } from '@oclif/core';
import { FlynnCommand } from '../../lib/ui/command.js';
import type { HostChange } from '../../lib/lab/index.js';

export default class LabKill extends FlynnCommand<HostChange> {
  static override description = "cut a host's power";
  static override examples = ['<%= config.bin %> lab kill b'];
  static override args = { host: Args.string({ description: 'host of the lab', required: true }) };
  static override flags = { name: Flags.string({ description: 'which lab', default: 'default' }) };

  async run(): Promise<HostChange> {
    const { args, flags } = await this.parse(LabKill);
    const { killHost } = await import('../../lib/lab/index.js');
    return killHost(args.host, { name: flags.name, signal: this.signal });
  }

  protected override render(change: HostChange): void {
    this.print(`host ${change.host} is ${change.state}`);
  }
}

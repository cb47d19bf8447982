// flynn lab partition: two hosts that no longer reach each other.
import { Args, Flags } from '@oclif/core';
import { FlynnCommand } from '../../lib/ui/command.js';

export default class LabPartition extends FlynnCommand<{ cut: [string, string] }> {
  static override description = 'cut two hosts off from each other';
  static override examples = ['<%= config.bin %> lab partition a b'];
  static override args = {
    one: Args.string({ description: 'host of the lab', required: true }),
    other: Args.string({ description: 'another host of it', required: true }),
  };
  static override flags = { name: Flags.string({ description: 'which lab', default: 'default' }) };

  async run(): Promise<{ cut: [string, string] }> {
    const { args, flags } = await this.parse(LabPartition);
    const { partition } = await import('../../lib/lab/index.js');
    return partition(args.one, args.other, { name: flags.name, signal: this.signal });
  }

  protected override render({ cut }: { cut: [string, string] }): void {
    this.print(`${cut[0]} and ${cut[1]} are cut off from each other`);
  }
}

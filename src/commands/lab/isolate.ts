// flynn lab isolate: one host that nobody reaches.
import { Args, Flags } from '@oclif/core';
import { FlynnCommand } from '../../lib/ui/command.js';

export default class LabIsolate extends FlynnCommand<{ isolated: string }> {
  static override description = 'cut a host off from the other hosts and from this machine';
  static override examples = ['<%= config.bin %> lab isolate c'];
  static override args = { host: Args.string({ description: 'host of the lab', required: true }) };
  static override flags = { name: Flags.string({ description: 'which lab', default: 'default' }) };

  async run(): Promise<{ isolated: string }> {
    const { args, flags } = await this.parse(LabIsolate);
    const { isolate } = await import('../../lib/lab/index.js');
    return isolate(args.host, { name: flags.name, signal: this.signal });
  }

  protected override render({ isolated }: { isolated: string }): void {
    this.print(`${isolated} is cut off`);
  }
}

// flynn lab heal: ends every cut.
import { Flags } from '@oclif/core';
import { FlynnCommand } from '../../lib/ui/command.js';

export default class LabHeal extends FlynnCommand<{ healed: string[] }> {
  static override description = 'end every cut between the hosts';
  static override examples = ['<%= config.bin %> lab heal'];
  static override flags = { name: Flags.string({ description: 'which lab', default: 'default' }) };

  async run(): Promise<{ healed: string[] }> {
    const { flags } = await this.parse(LabHeal);
    const { heal } = await import('../../lib/lab/index.js');
    return heal({ name: flags.name, signal: this.signal });
  }

  protected override render({ healed }: { healed: string[] }): void {
    this.print(`healed: ${healed.join(', ')}`);
  }
}

// flynn lab status: which hosts a lab has and what state they are in.
import { Flags } from '@oclif/core';
import { FlynnCommand } from '../../lib/ui/command.js';
import type { LabStatus as Status } from '../../lib/lab/index.js';

export default class LabStatus extends FlynnCommand<Status> {
  static override description = 'show a lab: its hosts, their state and what is cut';
  static override examples = ['<%= config.bin %> lab status'];
  static override flags = { name: Flags.string({ description: 'which lab', default: 'default' }) };

  async run(): Promise<Status> {
    const { flags } = await this.parse(LabStatus);
    const { labStatus } = await import('../../lib/lab/index.js');
    return labStatus({ name: flags.name, signal: this.signal });
  }

  protected override render(lab: Status): void {
    if (!lab.up) this.print(`lab ${lab.name} is not up`);
    for (const host of lab.hosts) {
      const cuts = host.cuts.length > 0 ? `  cut off from ${host.cuts.join(', ')}` : '';
      this.print(
        `${host.name}  ${host.state.padEnd(7)}  ${host.address}  ${host.ssh.host}:${host.ssh.port}${cuts}`,
      );
    }
  }
}

// flynn lab up: several plain Debian hosts on this machine.
import { Flags } from '@oclif/core';
import { FlynnCommand } from '../../lib/ui/command.js';
import type { Lab } from '../../lib/lab/index.js';

export default class LabUp extends FlynnCommand<Lab> {
  static override description = 'bring a lab up: containers that look like plain hosts, with sshd and Docker';
  static override examples = ['<%= config.bin %> lab up', '<%= config.bin %> lab up --hosts 5 --name big'];
  static override flags = {
    name: Flags.string({ description: 'which lab', default: 'default' }),
    hosts: Flags.integer({ description: 'how many hosts', default: 3, min: 1, max: 20 }),
    bare: Flags.boolean({ description: 'hosts without Docker' }),
    'sudo-user': Flags.boolean({ description: 'log in as a user with sudo instead of root' }),
    'no-forwarding': Flags.boolean({ description: 'sshd refuses to forward' }),
  };

  async run(): Promise<Lab> {
    const { flags } = await this.parse(LabUp);
    const { labUp, linesTo } = await import('../../lib/lab/index.js');
    return labUp(
      {
        name: flags.name,
        hosts: flags.hosts,
        bare: flags.bare,
        sudoUser: flags['sudo-user'],
        noForwarding: flags['no-forwarding'],
        signal: this.signal,
      },
      linesTo(this.report),
    );
  }

  protected override render(lab: Lab): void {
    for (const host of lab.hosts) {
      this.print(
        `${host.name}  ssh -F ${lab.dir}/ssh_config ${host.name}  ${host.local ?? host.http}  inside ${host.address}`,
      );
    }
    this.print(`. ${lab.dir}/env`);
  }
}

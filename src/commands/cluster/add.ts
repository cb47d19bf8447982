// flynn cluster add: a cluster that was made elsewhere becomes known here.
import { Args, Flags } from '@oclif/core';
import type { ClusterAccess } from '../../lib/operator/context.js';
import { FlynnCommand } from '../../lib/ui/command.js';

export default class ClusterAdd extends FlynnCommand<ClusterAccess> {
  static override description = 'make a cluster known on this computer, by the string that bootstrap printed';
  static override examples = [
    `<%= config.bin %> cluster add 'flynn://203.0.113.7:2222/production?key=SHA256%3A…'`,
  ];
  static override args = { string: Args.string({ description: 'FLYNN_CLUSTER string', required: true }) };
  static override flags = {
    name: Flags.string({ description: 'another name for it here' }),
    identity: Flags.string({ char: 'i', description: 'private key file to use it with' }),
    default: Flags.boolean({ description: 'make it the default' }),
    force: Flags.boolean({ description: 'replace a cluster of the same name' }),
  };

  async run(): Promise<ClusterAccess> {
    const { args, flags } = await this.parse(ClusterAdd);
    const { flynnHome } = await import('../../lib/operator/local-files.js');
    const { addCluster } = await import('../../lib/operator/context.js');
    return addCluster(flynnHome(this.terminal.env), {
      string: args.string,
      ...(flags.name ? { name: flags.name } : {}),
      ...(flags.identity ? { identity: flags.identity } : {}),
      makeDefault: flags.default,
      replace: flags.force,
    });
  }

  protected override render({ name, gateways }: ClusterAccess): void {
    this.report.done(`${name} is known now, at ${gateways.join(', ')}`);
  }
}

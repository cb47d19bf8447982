// flynn cluster remove: forgets a cluster on this computer; its hosts are untouched.
import { Args } from '@oclif/core';
import { FlynnCommand } from '../../lib/ui/command.js';

export default class ClusterRemove extends FlynnCommand<{ name: string; removed: boolean }> {
  static override description = 'forget a cluster on this computer; its hosts are untouched';
  static override examples = ['<%= config.bin %> cluster remove staging'];
  static override args = { name: Args.string({ description: 'name of the cluster', required: true }) };

  async run(): Promise<{ name: string; removed: boolean }> {
    const { args } = await this.parse(ClusterRemove);
    const { flynnHome } = await import('../../lib/operator/local-files.js');
    const { forgetCluster } = await import('../../lib/operator/context.js');
    return { name: args.name, removed: await forgetCluster(flynnHome(this.terminal.env), args.name) };
  }

  protected override render({ name }: { name: string }): void {
    this.report.done(`this computer has forgotten ${name}; its hosts are untouched`);
  }
}

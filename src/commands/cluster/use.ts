// flynn cluster use: which cluster commands talk to when none is named.
import { Args } from '@oclif/core';
import { FlynnCommand } from '../../lib/ui/command.js';

export default class ClusterUse extends FlynnCommand<{ name: string }> {
  static override description = 'make a cluster the default';
  static override hiddenAliases = ['cluster:default'];
  static override examples = ['<%= config.bin %> cluster use production'];
  static override args = { name: Args.string({ description: 'name of the cluster', required: true }) };

  async run(): Promise<{ name: string }> {
    const { args } = await this.parse(ClusterUse);
    const { flynnHome } = await import('../../lib/operator/local-files.js');
    const { useCluster } = await import('../../lib/operator/context.js');
    const { name } = await useCluster(flynnHome(this.terminal.env), args.name);
    return { name };
  }

  protected override render({ name }: { name: string }): void {
    this.report.done(`${name} is the default`);
  }
}

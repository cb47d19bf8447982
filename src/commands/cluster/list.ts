// flynn cluster list: the clusters this computer knows.
import { FlynnCommand } from '../../lib/ui/command.js';
import { colorsFor } from '../../lib/ui/colors.js';
import { table } from '../../lib/ui/table.js';

interface Listed {
  name: string;
  default: boolean;
  domain?: string;
  gateways: string[];
  hosts: string[];
}

export default class ClusterList extends FlynnCommand<{ clusters: Listed[] }> {
  static override description = 'list the clusters this computer knows';
  static override hiddenAliases = ['cluster', 'clusters'];
  static override examples = ['<%= config.bin %> cluster list'];

  async run(): Promise<{ clusters: Listed[] }> {
    await this.parse(ClusterList);
    const { flynnHome } = await import('../../lib/operator/local-files.js');
    const { loadClusters } = await import('../../lib/operator/context.js');
    const file = await loadClusters(flynnHome(this.terminal.env));
    return {
      clusters: Object.values(file.clusters).map(({ name, domain, gateways, hosts }) => ({
        name,
        default: name === file.default,
        ...(domain ? { domain } : {}),
        gateways,
        hosts: hosts.map((host) => host.name),
      })),
    };
  }

  protected override render({ clusters }: { clusters: Listed[] }): void {
    if (clusters.length === 0)
      this.report.step('this computer knows no cluster: flynn cluster bootstrap root@HOST');
    const bold = colorsFor(this.terminal, 'stdout').green;
    const lines = table(clusters, [
      { title: 'name', value: (c) => (c.default ? `${c.name} ${bold('(default)')}` : c.name) },
      { title: 'domain', value: (c) => c.domain },
      { title: 'gateways', value: (c) => c.gateways.join(',') },
      { title: 'hosts', value: (c) => c.hosts.join(',') },
    ]);
    for (const line of lines) this.print(line);
  }
}

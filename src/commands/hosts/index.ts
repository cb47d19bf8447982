// flynn hosts: the hosts of the grid, and what is booked on them.
import { GridCommand } from '../../lib/access/grid-command.js';
import type { HostRow } from '../../lib/operator/hosts/rows.js';
import { colorsFor } from '../../lib/ui/colors.js';
import { table } from '../../lib/ui/table.js';

export default class Hosts extends GridCommand<{ hosts: HostRow[] }> {
  static override description = 'list the hosts of the grid, and what is booked on them';
  static override aliases = ['hosts:list'];
  static override hiddenAliases = ['host', 'host:list'];
  static override examples = ['<%= config.bin %> hosts', '<%= config.bin %> hosts --json'];

  async run(): Promise<{ hosts: HostRow[] }> {
    const { flags } = await this.parse(Hosts);
    const { hostRows } = await import('../../lib/operator/hosts/rows.js');
    const { grid } = await this.access(flags);
    return { hosts: hostRows(await grid.view({ signal: this.signal })) };
  }

  protected override render({ hosts }: { hosts: HostRow[] }): void {
    const paint = colorsFor(this.terminal, 'stdout');
    const tone = (state: HostRow['state']): string =>
      state === 'up' ? paint.green(state) : state === 'away' ? paint.red(state) : paint.yellow(state);
    const lines = table(hosts, [
      { title: 'host', value: (host) => host.name },
      { title: 'state', value: (host) => tone(host.state) },
      { title: 'address', value: (host) => host.address },
      { title: 'roles', value: (host) => host.roles.join(',') || '-' },
      { title: 'jobs', value: (host) => host.jobs, right: true },
      { title: 'memory', value: (host) => `${host.used.m}/${host.capacity.m} MiB`, right: true },
      { title: 'cpu', value: (host) => `${host.used.c}/${host.capacity.c} m`, right: true },
      {
        title: 'tags',
        value: (host) =>
          Object.entries(host.tags)
            .map(([tag, value]) => `${tag}=${value}`)
            .join(' '),
      },
    ]);
    for (const line of lines) this.print(line);
  }
}

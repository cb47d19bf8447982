// flynn services: what is registered in discovery, and where it answers.
import { Args } from '@oclif/core';
import { GridCommand } from '../../lib/access/grid-command.js';
import type { ServiceList, ServiceView } from '../../lib/api/discovery.js';
import { ago, table } from '../../lib/ui/table.js';

export default class Services extends GridCommand<ServiceList | ServiceView> {
  static override description = 'list the services in discovery, or the instances of one';
  static override aliases = ['services:list'];
  static override hiddenAliases = ['service', 'services:info', 'service:info'];
  static override examples = ['<%= config.bin %> services', '<%= config.bin %> services db'];
  static override args = { service: Args.string({ description: 'name of a service' }) };

  async run(): Promise<ServiceList | ServiceView> {
    const { args, flags } = await this.parse(Services);
    const { checkOptional, words } = await import('../../lib/operator/jobs/words.js');
    const name = checkOptional(words.service, args.service);
    const { serviceOf } = await import('../../lib/operator/services.js');
    const { grid, info } = await this.access(flags);
    const { signal } = this;
    return name === undefined
      ? grid.services(info.host, { signal })
      : serviceOf(grid, info.host, name, signal);
  }

  protected override render(found: ServiceList | ServiceView): void {
    if ('services' in found) {
      const lines = table(found.services, [
        { title: 'service', value: ({ name }) => name },
        { title: 'instances', value: ({ instances }) => instances, right: true },
      ]);
      for (const line of lines) this.print(line);
      if (lines.length === 0) this.report.step('nothing is registered');
      return;
    }
    const now = Date.now();
    const lines = table(found.instances, [
      { title: 'instance', value: ({ id }) => id },
      { title: 'host', value: ({ host }) => host },
      { title: 'address', value: ({ address, port }) => `${address}:${port}` },
      { title: 'since', value: ({ since }) => ago(since, now), right: true },
      { title: 'leader', value: ({ id }) => (id === found.leader?.id ? '*' : '') },
    ]);
    for (const line of lines) this.print(line);
  }
}

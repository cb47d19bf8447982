// flynn routes: which domain leads to which app.
import { Flags } from '@oclif/core';
import { AppCommand } from '../../lib/access/command.js';
import type { Route } from '../../lib/api/app.js';
import { table } from '../../lib/ui/table.js';

export default class Routes extends AppCommand<{ routes: Route[] }> {
  static override description = 'list the routes of an app';
  static override hiddenAliases = ['route'];
  static override examples = ['<%= config.bin %> routes -a hello', '<%= config.bin %> routes --all'];
  static override flags = { all: Flags.boolean({ description: 'of all apps', exclusive: ['app'] }) };

  async run(): Promise<{ routes: Route[] }> {
    const { flags } = await this.parse(Routes);
    const app = flags.all ? undefined : await this.appName(flags);
    const controller = await this.controller(flags);
    return { routes: await controller.routes(app) };
  }

  protected override render({ routes }: { routes: Route[] }): void {
    const lines = table(routes, [
      { title: 'domain', value: (route) => route.domain },
      { title: 'app', value: (route) => route.app },
      { title: 'service', value: (route) => route.service },
      { title: 'made', value: (route) => (route.auto ? 'with the app' : 'by hand') },
    ]);
    for (const line of lines) this.print(line);
    if (lines.length === 0) this.report.step('no routes: flynn routes:add http DOMAIN');
  }
}

// flynn routes:add: a domain leads to an app from now on.
import { Args, Flags } from '@oclif/core';
import { AppCommand } from '../../lib/access/command.js';
import type { Route } from '../../lib/api/app.js';

export default class RoutesAdd extends AppCommand<Route> {
  static override description = 'lead a domain to an app';
  static override hiddenAliases = ['route:add'];
  static override examples = ['<%= config.bin %> routes:add http www.example.com -a hello'];
  static override args = {
    kind: Args.string({ description: 'kind of route', required: true, options: ['http'] }),
    domain: Args.string({ description: 'domain', required: true }),
  };
  static override flags = {
    process: Flags.string({ description: 'process type that answers', default: 'web' }),
  };

  async run(): Promise<Route> {
    const { args, flags } = await this.parse(RoutesAdd);
    const [{ Domain, ProcessType }, { check }] = await Promise.all([
      import('../../lib/api/names.js'),
      import('../../lib/access/check.js'),
    ]);
    const domain = check(
      Domain,
      args.domain.toLowerCase(),
      'domain',
      'flynn routes:add http www.example.com',
    );
    const process = check(
      ProcessType,
      flags.process,
      'process type',
      'flynn scale   (shows the types there are)',
    );
    const { app, controller } = await this.target(flags);
    return controller.addRoute(app, { domain, process });
  }

  protected override render({ domain, app }: Route): void {
    this.print(`${domain} leads to ${app}`);
  }
}

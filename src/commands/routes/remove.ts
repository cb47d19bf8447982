// flynn routes:remove: a domain leads nowhere from now on.
import { Args } from '@oclif/core';
import { AppCommand } from '../../lib/access/command.js';

interface Result {
  app: string;
  domain: string;
}

export default class RoutesRemove extends AppCommand<Result> {
  static override description = 'take a domain from an app';
  static override hiddenAliases = ['route:remove'];
  static override examples = ['<%= config.bin %> routes:remove www.example.com -a hello'];
  static override args = { domain: Args.string({ description: 'domain', required: true }) };

  async run(): Promise<Result> {
    const { args, flags } = await this.parse(RoutesRemove);
    const [{ Domain }, { check }] = await Promise.all([
      import('../../lib/api/names.js'),
      import('../../lib/access/check.js'),
    ]);
    const domain = check(Domain, args.domain.toLowerCase(), 'domain', 'flynn routes   (lists them)');
    const { app, controller } = await this.target(flags);
    await controller.removeRoute(app, domain);
    return { app, domain };
  }

  protected override render({ domain, app }: Result): void {
    this.print(`${domain} leads to ${app} no more`);
  }
}

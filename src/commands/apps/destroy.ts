// flynn apps:destroy: removes an app with its jobs, releases and routes.
import { Args, Flags } from '@oclif/core';
import { AppCommand } from '../../lib/access/command.js';
import { confirmOrStop } from '../../lib/ui/prompt.js';

interface Result {
  app: string;
  /** Domains that led to it. */
  routes: string[];
  releases: number;
  jobs: number;
}

export default class AppsDestroy extends AppCommand<Result> {
  static override description = 'remove an app with its jobs, releases and routes';
  static override hiddenAliases = ['delete', 'destroy', 'apps:delete'];
  static override examples = ['<%= config.bin %> apps:destroy -a hello --yes'];
  static override args = { app: Args.string({ description: 'name of the app (as with -a)' }) };
  static override flags = {
    yes: Flags.boolean({ char: 'y', description: 'do not ask' }),
    remote: Flags.string({ description: 'git remote to remove if it leads to the app', default: 'flynn' }),
  };

  async run(): Promise<Result> {
    const { args, flags } = await this.parse(AppsDestroy);
    const { app, controller } = await this.target({ ...flags, ...(args.app ? { app: args.app } : {}) });
    const [state, routes, { releases }] = await Promise.all([
      controller.app(app),
      controller.routes(app),
      controller.releases(app),
    ]);
    const result = {
      app,
      routes: routes.map((route) => route.domain),
      releases: releases.length,
      jobs: state.jobs.length,
    };
    await confirmOrStop(
      { terminal: this.terminal, yes: flags.yes },
      `remove ${app} with ${result.jobs} jobs, ${result.releases} releases and ${result.routes.length} routes?`,
    );
    await controller.destroyApp(app);
    const { dropRemote } = await import('../../lib/access/app.js');
    await dropRemote(this.terminal.cwd, flags.remote, app);
    return result;
  }

  protected override render({ app, jobs, releases, routes }: Result): void {
    this.print(`removed ${app}: ${jobs} jobs, ${releases} releases, routes ${routes.join(' ') || 'none'}`);
  }
}

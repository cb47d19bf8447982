// flynn apps:info: one app at a glance.
import { AppCommand } from '../../lib/access/command.js';
import type { AppState, Route } from '../../lib/api/app.js';
import { ago, pairs } from '../../lib/ui/table.js';

type Result = AppState & { routes: Route[] };

export default class AppsInfo extends AppCommand<Result> {
  static override description = 'show an app: release, processes, routes';
  static override hiddenAliases = ['info'];
  static override examples = ['<%= config.bin %> apps:info -a hello'];

  async run(): Promise<Result> {
    const { flags } = await this.parse(AppsInfo);
    const { app, controller } = await this.target(flags);
    const [state, routes] = await Promise.all([controller.app(app), controller.routes(app)]);
    return { ...state, routes };
  }

  protected override render({ app, formation, jobs, converged, deployment, problem, routes }: Result): void {
    const serving = jobs.filter((job) => job.state === 'serving').length;
    const processes = Object.entries(formation).map(([type, count]) => `${type}=${count}`);
    const lines = pairs([
      ['name', app.name],
      ['release', app.release === undefined ? 'none yet' : `v${app.release}`],
      ['processes', processes.join(' ') || 'none'],
      ['serving', `${serving} of ${jobs.length} jobs${converged ? '' : ', changing'}`],
      ['deployment', deployment && `to v${deployment.to}: ${deployment.state}`],
      ['problem', problem],
      ['strategy', app.strategy],
      ['routes', routes.map((route) => route.domain).join(' ') || 'none'],
      ['created', `${ago(app.createdAt, Date.now())} ago`],
    ]);
    for (const line of lines) this.print(line);
  }
}

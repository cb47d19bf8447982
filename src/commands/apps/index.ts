// flynn apps: which apps there are.
import { ControllerCommand } from '../../lib/access/command.js';
import type { App } from '../../lib/api/app.js';
import { ago, table } from '../../lib/ui/table.js';

export default class Apps extends ControllerCommand<{ apps: App[] }> {
  static override description = 'list the apps of the cluster';
  static override examples = ['<%= config.bin %> apps'];

  async run() {
    const { flags } = await this.parse(Apps);
    const controller = await this.controller(flags);
    return { apps: await controller.apps() };
  }

  protected override render({ apps }: { apps: App[] }): void {
    const lines = table(apps, [
      { title: 'app', value: (app) => app.name },
      { title: 'release', value: (app) => (app.release === undefined ? '-' : `v${app.release}`) },
      { title: 'created', value: (app) => `${ago(app.createdAt, Date.now())} ago` },
    ]);
    if (lines.length === 0) this.report.step('no apps yet: flynn apps:create NAME');
    for (const line of lines) this.print(line);
  }
}

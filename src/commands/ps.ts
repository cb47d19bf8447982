// flynn ps: an app's jobs, where they run and how they do.
import { AppCommand } from '../lib/access/command.js';
import type { AppState } from '../lib/api/app.js';
import { colorsFor } from '../lib/ui/colors.js';
import { ago, table } from '../lib/ui/table.js';

export default class Ps extends AppCommand<AppState> {
  static override description = 'list the jobs of an app';
  static override examples = ['<%= config.bin %> ps -a hello'];

  async run(): Promise<AppState> {
    const { flags } = await this.parse(Ps);
    const { app, controller } = await this.target(flags);
    return controller.app(app);
  }

  protected override render({ jobs, problem }: AppState): void {
    const paint = colorsFor(this.terminal, 'stdout');
    const tone = (state: string): string => {
      if (state === 'serving' || state === 'up') return paint.green(state);
      return ['crashed', 'failed', 'unhealthy', 'lost'].includes(state)
        ? paint.red(state)
        : paint.yellow(state);
    };
    const now = Date.now();
    const lines = table(jobs, [
      { title: 'job', value: (job) => job.name },
      { title: 'state', value: (job) => tone(job.state) },
      { title: 'since', value: (job) => (job.since === 0 ? '-' : ago(job.since, now)), right: true },
      { title: 'release', value: (job) => `v${job.release}` },
      { title: 'host', value: (job) => job.host },
      { title: 'starts', value: (job) => job.starts, right: true },
      { title: 'id', value: (job) => job.id },
      { title: 'why', value: (job) => job.reason },
    ]);
    for (const line of lines) this.print(line);
    if (lines.length === 0) this.report.step('nothing runs');
    if (problem) this.report.warn(problem);
  }
}

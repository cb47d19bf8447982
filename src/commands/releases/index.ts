// flynn releases: what ran and what runs.
import { AppCommand } from '../../lib/access/command.js';
import type { OpenRelease } from '../../lib/access/controller.js';
import { ago, table } from '../../lib/ui/table.js';

interface Result {
  app: string;
  current?: number;
  releases: OpenRelease[];
}

export default class Releases extends AppCommand<Result> {
  static override description = 'list the releases of an app, the newest first';
  static override hiddenAliases = ['release'];
  static override examples = ['<%= config.bin %> releases -a hello'];

  async run(): Promise<Result> {
    const { flags } = await this.parse(Releases);
    const { app, controller } = await this.target(flags);
    const { releases, current } = await controller.releases(app);
    return { app, ...(current === undefined ? {} : { current }), releases };
  }

  protected override render({ app, current, releases }: Result): void {
    const now = Date.now();
    const rows = [...releases].sort((a, b) => b.version - a.version);
    const lines = table(rows, [
      { title: 'release', value: ({ version }) => `v${version}${version === current ? ' *' : ''}` },
      { title: 'made', value: (release) => `${ago(release.createdAt, now)} ago` },
      { title: 'by', value: (release) => release.by },
      { title: 'image', value: (release) => release.image },
      { title: 'why', value: (release) => release.why },
    ]);
    for (const line of lines) this.print(line);
    if (lines.length === 0)
      this.report.step(`${app} has no release yet: flynn deploy --image IMAGE -a ${app}`);
  }
}

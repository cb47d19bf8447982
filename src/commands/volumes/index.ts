// flynn volumes: the data that outlives jobs, and where it is.
import { Flags } from '@oclif/core';
import { GridCommand } from '../../lib/access/grid-command.js';
import type { FoundVolumes } from '../../lib/operator/volumes/find.js';
import { ago, table } from '../../lib/ui/table.js';

export default class Volumes extends GridCommand<FoundVolumes> {
  static override description = 'list the volumes of the grid: where they are, whose, and what uses them';
  static override aliases = ['volumes:list'];
  static override hiddenAliases = ['volume', 'volume:list'];
  static override examples = ['<%= config.bin %> volumes', '<%= config.bin %> volumes --host a'];
  static override flags = { host: Flags.string({ description: 'only those on this host' }) };

  async run(): Promise<FoundVolumes> {
    const { flags } = await this.parse(Volumes);
    const { checkOptional, words } = await import('../../lib/operator/jobs/words.js');
    const host = checkOptional(words.host, flags.host);
    const { listVolumes } = await import('../../lib/operator/volumes/find.js');
    const { grid, info } = await this.access(flags);
    return listVolumes(grid, info, host, this.signal);
  }

  protected override render({ volumes, problems }: FoundVolumes): void {
    const now = Date.now();
    const lines = table(volumes, [
      { title: 'volume', value: (volume) => volume.name },
      { title: 'host', value: (volume) => volume.host },
      { title: 'owner', value: (volume) => volume.owner || '-' },
      { title: 'age', value: (volume) => ago(volume.createdAt, now), right: true },
      {
        title: 'used by',
        value: (volume) => (volume.missing ? 'ITS DATA IS GONE' : volume.usedBy.join(' ')),
      },
    ]);
    for (const line of lines) this.print(line);
    if (lines.length === 0) this.report.step('there are no volumes');
    for (const problem of problems) this.report.warn(problem);
  }
}

// flynn volumes:info: one volume.
import { Args, Flags } from '@oclif/core';
import { GridCommand } from '../../lib/access/grid-command.js';
import type { VolumeView } from '../../lib/layer0/host/shapes.js';
import { ago, pairs } from '../../lib/ui/table.js';

export default class VolumesInfo extends GridCommand<VolumeView> {
  static override description = 'show a volume';
  static override hiddenAliases = ['volume:info'];
  static override examples = ['<%= config.bin %> volumes:info data'];
  static override args = { volume: Args.string({ description: 'name of the volume', required: true }) };
  static override flags = {
    host: Flags.string({ description: 'host that it is on, where several have one' }),
  };

  async run(): Promise<VolumeView> {
    const { args, flags } = await this.parse(VolumesInfo);
    const { checkOptional, checkWord, words } = await import('../../lib/operator/jobs/words.js');
    const wanted = {
      name: checkWord(words.volume, args.volume),
      host: checkOptional(words.host, flags.host),
    };
    const { findVolume } = await import('../../lib/operator/volumes/find.js');
    const { grid, info } = await this.access(flags);
    return findVolume(grid, info, wanted, this.signal);
  }

  protected override render({ name, host, owner, createdAt, usedBy, missing }: VolumeView): void {
    const lines = pairs([
      ['volume', name],
      ['host', host],
      ['owner', owner || 'all'],
      ['created', `${ago(createdAt, Date.now())} ago`],
      ['used by', usedBy.join(', ') || 'nobody'],
      ['data', missing ? 'GONE from its host' : undefined],
    ]);
    for (const line of lines) this.print(line);
  }
}

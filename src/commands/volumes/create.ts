// flynn volumes:create: an empty volume on a host.
import { Args, Flags } from '@oclif/core';
import { GridCommand } from '../../lib/access/grid-command.js';
import type { VolumeView } from '../../lib/layer0/host/shapes.js';

export default class VolumesCreate extends GridCommand<VolumeView> {
  static override description = 'make an empty volume on a host; one that is there already is left as it is';
  static override hiddenAliases = ['volume:create'];
  static override examples = [
    '<%= config.bin %> volumes:create data --host a',
    '<%= config.bin %> volumes:create data --host a --owner app/hello',
  ];
  static override args = { volume: Args.string({ description: 'name of the volume', required: true }) };
  static override flags = {
    host: Flags.string({ description: 'host that it is on', required: true }),
    owner: Flags.string({ description: 'whose jobs may mount it, such as app/hello (default: all)' }),
  };

  async run(): Promise<VolumeView> {
    const { args, flags } = await this.parse(VolumesCreate);
    const { checkOptional, checkWord, words } = await import('../../lib/operator/jobs/words.js');
    const name = checkWord(words.volume, args.volume);
    const host = checkWord(words.host, flags.host);
    const owner = checkOptional(words.owner, flags.owner);
    const { grid } = await this.access(flags);
    return grid.putVolume(host, name, owner ? { owner } : {}, { signal: this.signal });
  }

  protected override render({ name, host }: VolumeView): void {
    this.report.done(`volume ${name} is on ${host}`);
  }
}

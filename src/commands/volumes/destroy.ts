// flynn volumes:destroy: a volume and its data, for good.
import { Args, Flags } from '@oclif/core';
import { GridCommand } from '../../lib/access/grid-command.js';
import { yesFlag } from '../../lib/ui/host-flags.js';

interface Destroyed {
  volume: string;
  host: string;
}

export default class VolumesDestroy extends GridCommand<Destroyed> {
  static override description = 'destroy a volume and its data; refused while a job uses it';
  static override hiddenAliases = ['volume:destroy', 'volumes:remove', 'volume:remove'];
  static override examples = [
    '<%= config.bin %> volumes:destroy data',
    '<%= config.bin %> volumes:destroy data --host a -y',
  ];
  static override args = { volume: Args.string({ description: 'name of the volume', required: true }) };
  static override flags = {
    host: Flags.string({ description: 'host that it is on, where several have one' }),
    ...yesFlag,
  };

  async run(): Promise<Destroyed> {
    const { args, flags } = await this.parse(VolumesDestroy);
    const { checkOptional, checkWord, words } = await import('../../lib/operator/jobs/words.js');
    const wanted = {
      name: checkWord(words.volume, args.volume),
      host: checkOptional(words.host, flags.host),
    };
    const { findVolume } = await import('../../lib/operator/volumes/find.js');
    const { confirmOrStop } = await import('../../lib/ui/prompt.js');
    const { grid, info } = await this.access(flags);
    const { signal } = this;
    const { name, host } = await findVolume(grid, info, wanted, signal);
    const asker = { terminal: this.terminal, signal, yes: flags.yes };
    await confirmOrStop(asker, `Destroy the volume ${name} on ${host} and all that is in it?`);
    await grid.deleteVolume(host, name, { signal });
    return { volume: name, host };
  }

  protected override render({ volume, host }: Destroyed): void {
    this.report.done(`volume ${volume} is gone from ${host}`);
  }
}

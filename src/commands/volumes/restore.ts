// flynn volumes:restore: a volume made from a snapshot.
import { Args, Flags } from '@oclif/core';
import { GridCommand } from '../../lib/access/grid-command.js';
import { FlynnError } from '../../lib/api/errors.js';
import type { VolumeView } from '../../lib/layer0/host/shapes.js';

export default class VolumesRestore extends GridCommand<VolumeView> {
  static override description = 'make a volume from a snapshot; refused when one of that name is there';
  static override hiddenAliases = ['volume:restore'];
  static override examples = [
    '<%= config.bin %> volumes:restore data --host b --input data.tar',
    '<%= config.bin %> volumes:restore data --host b < data.tar',
  ];
  static override args = { volume: Args.string({ description: 'name of the volume', required: true }) };
  static override flags = {
    host: Flags.string({ description: 'host that it is made on', required: true }),
    owner: Flags.string({ description: 'whose jobs may mount it, such as app/hello (default: all)' }),
    input: Flags.string({ description: 'tar file that is read (default: stdin)' }),
  };

  async run(): Promise<VolumeView> {
    const { args, flags } = await this.parse(VolumesRestore);
    const { checkOptional, checkWord, words } = await import('../../lib/operator/jobs/words.js');
    const name = checkWord(words.volume, args.volume);
    const host = checkWord(words.host, flags.host);
    const owner = checkOptional(words.owner, flags.owner) ?? '';
    const { tarFrom } = await import('../../lib/operator/volumes/snapshot.js');
    const { stdin, tty, cwd } = this.terminal;
    if (flags.input === undefined && tty.stdin) {
      throw new FlynnError({
        code: 'usage',
        message: 'no snapshot was named',
        hint: `flynn volumes:restore ${name} --host ${host} --input FILE`,
      });
    }
    const tar = flags.input === undefined ? stdin : await tarFrom(flags.input, cwd);
    const { grid } = await this.access(flags);
    return grid.restore(host, name, { owner }, tar, { signal: this.signal });
  }

  protected override render({ name, host }: VolumeView): void {
    this.report.done(`volume ${name} is on ${host}, as it was in the snapshot`);
  }
}

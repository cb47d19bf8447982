// flynn volumes:snapshot: the content of a volume as a tar.
import { Args, Flags } from '@oclif/core';
import { GridCommand } from '../../lib/access/grid-command.js';

interface Snapshot {
  volume: string;
  host: string;
  /** File that it was written to. */
  file: string;
  bytes: number;
}

export default class VolumesSnapshot extends GridCommand<Snapshot | void> {
  static override description = 'write the content of a volume, as it is now, to a tar file or to stdout';
  static override hiddenAliases = ['volume:snapshot'];
  static override examples = [
    '<%= config.bin %> volumes:snapshot data --output data.tar',
    '<%= config.bin %> volumes:snapshot data > data.tar',
  ];
  static override args = { volume: Args.string({ description: 'name of the volume', required: true }) };
  static override flags = {
    host: Flags.string({ description: 'host that it is on, where several have one' }),
    output: Flags.string({ char: 'o', description: 'file that is written (default: stdout)' }),
  };

  async run(): Promise<Snapshot | void> {
    const { args, flags } = await this.parse(VolumesSnapshot);
    const { checkOptional, checkWord, words } = await import('../../lib/operator/jobs/words.js');
    const wanted = {
      name: checkWord(words.volume, args.volume),
      host: checkOptional(words.host, flags.host),
    };
    const { snapshotTo, checkTarget } = await import('../../lib/operator/volumes/snapshot.js');
    const { stdout, tty, cwd } = this.terminal;
    checkTarget(flags.output, { tty: tty.stdout, json: this.jsonEnabled() });
    const { findVolume } = await import('../../lib/operator/volumes/find.js');
    const { grid, info } = await this.access(flags);
    const { name, host } = await findVolume(grid, info, wanted, this.signal);
    const tar = await grid.snapshot(host, name, { signal: this.signal });
    const written = await snapshotTo(tar, flags.output, { stdout, cwd }, this.signal);
    if (flags.output !== undefined) return { volume: name, host, ...written, file: flags.output };
  }

  protected override render(snapshot: Snapshot | void): void {
    if (snapshot)
      this.report.done(
        `${snapshot.volume} of ${snapshot.host} is in ${snapshot.file}: ${snapshot.bytes} bytes`,
      );
  }
}

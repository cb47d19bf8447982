// flynn jobs:logs: what a job wrote, over all its containers.
import { Args, Flags } from '@oclif/core';
import { GridCommand } from '../../lib/access/grid-command.js';
import { FlynnError } from '../../lib/api/errors.js';

export default class JobsLogs extends GridCommand {
  static override description = 'show what a job wrote, from its first container to its last';
  static override hiddenAliases = ['jobs:log', 'job:log', 'job:logs'];
  static override examples = [
    '<%= config.bin %> jobs:logs a-01jd8m3w5v9hkq2n4r6t8x0y1z',
    '<%= config.bin %> jobs:logs a-01jd8m3w5v9hkq2n4r6t8x0y1z -f -n 20',
  ];
  static override args = { job: Args.string({ description: 'id of the job', required: true }) };
  static override flags = {
    follow: Flags.boolean({ char: 'f', description: 'go on with new lines until Ctrl-C' }),
    lines: Flags.integer({
      char: 'n',
      description: 'lines of the past (default: all that are kept)',
      min: 0,
      max: 100_000,
    }),
    since: Flags.string({ description: 'only lines from this time on: RFC 3339, or seconds since 1970' }),
  };

  async run(): Promise<void> {
    const { args, flags } = await this.parse(JobsLogs);
    const { checkWord, parseSince, words } = await import('../../lib/operator/jobs/words.js');
    const id = checkWord(words.job, args.job);
    const since = flags.since === undefined ? undefined : parseSince(flags.since);
    const { grid } = await this.access(flags);
    const { signal } = this;
    const { stdout, stderr } = this.terminal;
    try {
      for await (const line of grid.logs(
        id,
        { follow: flags.follow, lines: flags.lines, since },
        { signal },
      )) {
        if (this.jsonEnabled()) this.printJson(line);
        else (line.stream === 'stderr' ? stderr : stdout).write(`${line.line}\n`);
      }
    } catch (error) {
      // Ctrl-C is how one stops following: then everything that was asked for has been shown.
      if (!flags.follow || !signal.aborted) throw error;
      return;
    }
    if (flags.follow && !signal.aborted) await this.endOf(id, flags);
  }

  /** The lines of a job end when it is over; before that they were cut short. */
  private async endOf(id: string, flags: Parameters<GridCommand['access']>[0]): Promise<void> {
    const { grid } = await this.access(flags);
    const { isOver } = await import('../../lib/operator/jobs/stop.js');
    if (await isOver(grid, id, this.signal)) return;
    throw new FlynnError({
      code: 'unreachable',
      message: `the log of ${id} was cut short by its host`,
      hint: `flynn jobs:logs -f ${id}`,
    });
  }
}

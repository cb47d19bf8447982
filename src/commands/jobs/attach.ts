// flynn jobs:attach: the streams of a job: one that waits for it is started, of one that runs the output is shown.
import { Args } from '@oclif/core';
import { GridCommand } from '../../lib/access/grid-command.js';
import { systemInteractive, type Interactive } from '../../lib/ui/interactive.js';

export default class JobsAttach extends GridCommand {
  static override description =
    'show what a job writes from now on, until it ends or Ctrl-C; a one-off that waits is started and takes our input';
  static override hiddenAliases = ['job:attach'];
  static override examples = ['<%= config.bin %> jobs:attach a-01jd8m3w5v9hkq2n4r6t8x0y1z'];
  static override args = { job: Args.string({ description: 'id of the job', required: true }) };

  /** The terminal to hand over; tests put their own here before the run. */
  interactive: Interactive = systemInteractive();

  async run(): Promise<void> {
    const { args, flags } = await this.parse(JobsAttach);
    const { checkWord, words } = await import('../../lib/operator/jobs/words.js');
    const id = checkWord(words.job, args.job);
    const { grid } = await this.access(flags);
    const { attachOf, observe } = await import('../../lib/operator/jobs/attach.js');
    const { signal } = this;
    const { stdin, stdout, stderr, tty: attached } = this.terminal;
    const { waits, tty } = await attachOf(grid, id, signal);
    if (!waits) {
      const end = await observe(() => grid.attach(id, { signal }), { stdout, stderr }, signal);
      if (end?.reason) this.report.warn(end.reason);
      if (end) this.endWith(end.code);
      return;
    }
    const [{ runAttached }, { systemClock }] = await Promise.all([
      import('../../lib/access/run.js'),
      import('../../lib/util/clock.js'),
    ]);
    const { code, reason } = await runAttached({
      what: id,
      open: (opening) => grid.attach(id, { signal: opening }),
      streams: { stdin, stdout, stderr },
      interactive: this.interactive,
      tty,
      raw: tty && attached.stdin,
      clock: systemClock,
    });
    if (reason) this.report.warn(reason);
    this.endWith(code);
  }
}

// flynn run: a command run once with the current release, its streams and exit code ours.
import { Flags } from '@oclif/core';
import { AppCommand } from '../lib/access/command.js';
import { systemInteractive, type Interactive } from '../lib/ui/interactive.js';

export default class Run extends AppCommand {
  static override description = 'run a command once with the current release; its exit code is ours';
  static override strict = false;
  static override usage = 'run [-a <value>] [-e <value>...] [--tty | --no-tty] COMMAND...';
  static override examples = [
    '<%= config.bin %> run -a hello sh',
    '<%= config.bin %> run ls -la /',
    '<%= config.bin %> run -e LEVEL=debug node task.js < input.csv > result.csv',
  ];
  static override flags = {
    env: Flags.string({
      char: 'e',
      description: 'KEY=VALUE for this run alone; may be repeated',
      multiple: true,
      multipleNonGreedy: true,
    }),
    tty: Flags.boolean({
      description: 'give the command a terminal (default: when stdin and stdout are one)',
      allowNo: true,
    }),
  };

  /** The terminal to hand over; tests put their own here before the run. */
  interactive: Interactive = systemInteractive();

  async run(): Promise<void> {
    const { own, words } = this.split();
    const { flags, raw } = await this.parse(Run, own);
    const command = [...raw.filter(({ type }) => type === 'arg').map(({ input }) => input), ...words];
    const { runAttached, runRequest } = await import('../lib/access/run-request.js');
    const { stdin, stdout, stderr, tty: attached, env } = this.terminal;
    const tty = flags.tty ?? (attached.stdin && attached.stdout);
    const request = await runRequest({
      words: command,
      env: flags.env ?? [],
      tty,
      size: this.interactive.size(),
      term: env.TERM,
    });
    const { app, controller } = await this.target(flags);
    const { systemClock } = await import('../lib/util/clock.js');
    const { code, reason } = await runAttached({
      what: `${command[0]} of ${app}`,
      open: (signal) => controller.run(app, request, { signal }),
      streams: { stdin, stdout, stderr },
      interactive: this.interactive,
      tty,
      raw: tty && attached.stdin,
      clock: systemClock,
      onSlow: () => this.report.step(`waiting for ${app} to start it`),
    });
    if (reason) this.report.warn(reason);
    this.endWith(code);
  }

  /**
   * Our words and the command's: ours end at `--`, which the command line puts there when the person has not. Not
   * oclif's, which brings words that occur twice out of their order.
   */
  private split(): { own: string[]; words: string[] } {
    const at = this.argv.indexOf('--');
    return at < 0
      ? { own: this.argv, words: [] }
      : { own: this.argv.slice(0, at), words: this.argv.slice(at + 1) };
  }
}

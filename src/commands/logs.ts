// flynn logs: what an app's jobs wrote.
import { Flags } from '@oclif/core';
import { AppCommand } from '../lib/access/command.js';
import { FlynnError } from '../lib/api/errors.js';
import { colorsFor } from '../lib/ui/colors.js';

export default class Logs extends AppCommand {
  static override description = "show an app's log";
  static override hiddenAliases = ['log'];
  static override examples = ['<%= config.bin %> logs -f -a hello', '<%= config.bin %> logs -n 20 -t web'];
  static override flags = {
    follow: Flags.boolean({ char: 'f', description: 'go on with new lines until Ctrl-C' }),
    lines: Flags.integer({ char: 'n', description: 'lines of the past', min: 0, max: 10_000, default: 100 }),
    type: Flags.string({ char: 't', description: 'only this process type' }),
  };

  async run(): Promise<void> {
    const { flags } = await this.parse(Logs);
    const [{ ProcessType }, { check }] = await Promise.all([
      import('../lib/api/names.js'),
      import('../lib/access/check.js'),
    ]);
    const type =
      flags.type === undefined
        ? undefined
        : check(ProcessType, flags.type, 'process type', 'flynn logs -t web');
    const { app, controller } = await this.target(flags);
    const paint = colorsFor(this.terminal, 'stdout');
    const { signal } = this;
    try {
      for await (const line of controller.logs(app, {
        follow: flags.follow,
        lines: flags.lines,
        type,
        signal,
      })) {
        if (this.jsonEnabled()) this.printJson(line);
        else {
          const from = `${line.at} ${line.name}${line.stream === 'stderr' ? ' stderr' : ''}`;
          this.print(`${paint.dim(`${from}:`)} ${line.line}`);
        }
      }
    } catch (error) {
      // Ctrl-C is how one stops following: then everything that was asked for has been shown.
      if (!flags.follow || !signal.aborted) throw error;
      return;
    }
    if (flags.follow && !signal.aborted) throw cutShort(app);
  }
}

function cutShort(app: string): FlynnError {
  return new FlynnError({
    code: 'unreachable',
    message: `the log of ${app} was cut short by the cluster`,
    hint: `flynn logs -f -a ${app}`,
  });
}

// flynn scale: how many of each process type run; waits until they serve.
import { AppCommand, waitFlags } from '../lib/access/command.js';
import { FlynnError } from '../lib/api/errors.js';
import { describeScale } from '../lib/ui/progress.js';

interface Result {
  app: string;
  before: Record<string, number>;
  formation: Record<string, number>;
  changed: boolean;
  /** Time until it served, ms; absent when nothing was waited for. */
  ms?: number;
}

export default class Scale extends AppCommand<Result> {
  static override description = 'set how many of each process type run; without arguments, show it';
  static override strict = false;
  static override usage = 'scale [TYPE=N...] [-a <value>] [--no-wait] [--timeout <value>]';
  static override examples = ['<%= config.bin %> scale', '<%= config.bin %> scale web=3 worker=2'];
  static override flags = waitFlags;

  async run(): Promise<Result> {
    const { argv, flags } = await this.parse(Scale);
    const [{ parseCounts }, { waitForFormation }, { systemClock }] = await Promise.all([
      import('../lib/access/input.js'),
      import('../lib/access/wait.js'),
      import('../lib/util/clock.js'),
    ]);
    const processes = parseCounts(argv as string[]);
    const { app, controller } = await this.target(flags);
    const from = await controller.app(app);
    if (Object.keys(processes).length === 0) {
      const { formation } = from;
      return { app, before: formation, formation, changed: false };
    }
    const { before, after, changed } = await controller.scale(app, { processes }).catch((error: unknown) => {
      throw withHint(error, app);
    });
    const result = { app, before, formation: after, changed };
    // An equal scale may still be on its way: say so, and wait for what was asked.
    this.report.step(
      changed
        ? `scaling ${describeScale(before, after)}`
        : `${app} is scaled like that already: nothing to do`,
    );
    if (flags['no-wait']) return result;
    const { ms } = await waitForFormation(after, {
      controller,
      app,
      from,
      report: this.report,
      clock: systemClock,
      signal: this.signal,
      timeoutMs: flags.timeout * 1000,
    });
    return { ...result, ms: Math.round(ms) };
  }

  protected override render({ formation }: Result): void {
    const types = Object.entries(formation).sort();
    for (const [type, count] of types) this.print(`${type}=${count}`);
    if (types.length === 0) this.report.step('nothing is deployed yet, so there is nothing to scale');
  }
}

function withHint(error: unknown, app: string): unknown {
  if (!(error instanceof FlynnError) || error.code !== 'invalid' || error.hint) return error;
  return new FlynnError({
    ...error.toBody(),
    hint: `flynn scale -a ${app}   (shows the types there are)`,
    cause: error,
  });
}

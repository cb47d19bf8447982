// flynn jobs:run: a job placed on the grid, without an app: attached to it, or left to itself.
import { Flags } from '@oclif/core';
import { waitFlags } from '../../lib/access/command.js';
import { GridCommand } from '../../lib/access/grid-command.js';
import type { StartedJob } from '../../lib/operator/jobs/start.js';
import { systemInteractive, type Interactive } from '../../lib/ui/interactive.js';

const many = { multiple: true, multipleNonGreedy: true } as const;

export default class JobsRun extends GridCommand<StartedJob | void> {
  static override description =
    'run an image as a job of the grid; a one-off is attached to, and its exit code is ours';
  static override hiddenAliases = ['job:run'];
  static override strict = false;
  static override usage = 'jobs run [flags] IMAGE [COMMAND...]';
  static override examples = [
    '<%= config.bin %> jobs:run debian:12 uname -a',
    '<%= config.bin %> jobs:run -e LEVEL=debug --memory 256 --host a worker:3 node task.js < input.csv',
    '<%= config.bin %> jobs:run --service db --port 5432 --volume data:/var/lib/postgresql/data postgres:16',
    '<%= config.bin %> jobs:run -d --constraint zone=north batch:7',
  ];
  static override flags = {
    name: Flags.string({ description: "name of the group it belongs to (default: the image's)" }),
    kind: Flags.string({
      description: 'service: started again when it ends; oneoff: runs once (default: by the other flags)',
      options: ['oneoff', 'service'],
    }),
    service: Flags.string({ description: 'register it in discovery under this name while it is healthy' }),
    port: Flags.string({ description: 'port that it listens on: [NAME=]PORT[:HOST-PORT]', ...many }),
    env: Flags.string({ char: 'e', description: 'KEY=VALUE; sealed to its host', ...many }),
    memory: Flags.string({ description: 'memory that is booked and its limit: MiB, or 2G (default: 512)' }),
    cpu: Flags.integer({
      description: 'cpu that is booked, millicores (default: 100)',
      min: 0,
      max: 1_000_000,
    }),
    volume: Flags.string({ description: 'volume that it mounts: NAME:/PATH[:ro]', ...many }),
    host: Flags.string({ description: 'only on this host' }),
    constraint: Flags.string({
      description: 'only on hosts with such a tag: TAG=VALUE, TAG!=VALUE, TAG',
      ...many,
    }),
    restart: Flags.string({
      description: 'when it is started again after its end',
      options: ['always', 'on-failure', 'never'],
    }),
    user: Flags.string({ description: "user that it runs as (default: the image's)" }),
    workdir: Flags.string({ description: "directory that it runs in (default: the image's)" }),
    detach: Flags.boolean({ char: 'd', description: 'print its id and leave it to itself' }),
    tty: Flags.boolean({
      description: 'give it a terminal (default: when stdin and stdout are one)',
      allowNo: true,
    }),
    ...waitFlags,
  };

  /** The terminal to hand over; tests put their own here before the run. */
  interactive: Interactive = systemInteractive();

  async run(): Promise<StartedJob | void> {
    const { own, words } = this.split();
    const { flags, raw } = await this.parse(JobsRun, own);
    const typed = [...raw.filter(({ type }) => type === 'arg').map(({ input }) => input), ...words];
    const { kindOf, wantedJob } = await import('../../lib/operator/jobs/spec.js');
    const { checkOptional, words: known } = await import('../../lib/operator/jobs/words.js');
    const host = checkOptional(known.host, flags.host);
    checkOptional(known.service, flags.service);
    const attach = !flags.detach && kindOf(flags) === 'oneoff';
    const { tty: attached, env } = this.terminal;
    const tty = attach && (flags.tty ?? (attached.stdin && attached.stdout));
    const wanted = wantedJob({ words: typed, flags, attach, tty, term: env.TERM });
    const { placeJob } = await import('../../lib/operator/jobs/place.js');
    const [{ systemClock: clock }, { cryptoRng: rng }] = await Promise.all([
      import('../../lib/util/clock.js'),
      import('../../lib/util/rng.js'),
    ]);
    const { grid } = await this.access(flags);
    const ports = { grid, clock, rng };
    const placed = await placeJob(ports, wanted, host, this.signal);
    if (attach) return this.attach(ports, placed, tty);
    const { startedJob } = await import('../../lib/operator/jobs/start.js');
    const wait = !flags['no-wait'] && !flags.detach;
    return startedJob(ports, placed, wait ? flags.timeout * 1000 : 0, this.signal);
  }

  protected override render(started: StartedJob | void): void {
    if (started) this.print(started.job);
  }

  /** Its streams are ours; when it ended, however, nothing of it stays booked. */
  private async attach(
    ports: import('../../lib/operator/jobs/place.js').PlacePorts & {
      grid: import('../../lib/operator/door/grid.js').GridClient;
    },
    { id, host }: { id: string; host: string },
    tty: boolean,
  ): Promise<void> {
    const { runAttached } = await import('../../lib/access/run.js');
    const { endJob } = await import('../../lib/operator/jobs/start.js');
    const { stdin, stdout, stderr, tty: attached } = this.terminal;
    try {
      const { code, reason } = await runAttached({
        what: id,
        open: (signal) => ports.grid.attach(id, { signal }),
        streams: { stdin, stdout, stderr },
        interactive: this.interactive,
        tty,
        raw: tty && attached.stdin,
        clock: ports.clock,
        onSlow: () => this.report.step(`waiting for ${host} to start ${id}`),
      });
      if (reason) this.report.warn(reason);
      this.endWith(code);
    } finally {
      await endJob(ports, id).catch((error: unknown) =>
        this.report.warn(`${id} is still booked: ${String(error instanceof Error ? error.message : error)}`),
      );
    }
  }

  /** Our words and the job's: ours end at `--`, which the command line puts there when the person has not. */
  private split(): { own: string[]; words: string[] } {
    const at = this.argv.indexOf('--');
    return at < 0
      ? { own: this.argv, words: [] }
      : { own: this.argv.slice(0, at), words: this.argv.slice(at + 1) };
  }
}

// flynn why: why a job is where it is, why it finds no place, why it was started again.
import { Args } from '@oclif/core';
import { AppCommand } from '../lib/access/command.js';
import type { Why as Answer } from '../lib/api/why.js';
import { table } from '../lib/ui/table.js';

export default class Why extends AppCommand<Answer> {
  static override description = 'say why a job is where it is, or nowhere, or was started again';
  static override examples = [
    '<%= config.bin %> why web.1 -a hello',
    '<%= config.bin %> why web -a hello',
    '<%= config.bin %> why HOST-ULID',
  ];
  static override args = {
    job: Args.string({ required: true, description: 'job id, name in `flynn ps` (web.1), or process type' }),
  };

  async run(): Promise<Answer> {
    const { args, flags } = await this.parse(Why);
    const { JobId } = await import('../lib/api/names.js');
    // An id says it all; a name needs its app.
    const app = JobId.safeParse(args.job).success ? undefined : await this.appName(flags);
    return (await this.controller(flags)).why(args.job, app);
  }

  protected override render({ sentences, hosts }: Answer): void {
    for (const sentence of sentences) this.print(sentence);
    if (hosts.length === 0) return;
    this.print('');
    const lines = table(hosts, [
      { title: 'host', value: ({ host }) => host },
      { title: 'fits', value: ({ fits }) => (fits ? 'yes' : 'no') },
      { title: 'because it', value: ({ reasons }) => reasons.join(', ') },
    ]);
    for (const line of lines) this.print(line);
  }
}

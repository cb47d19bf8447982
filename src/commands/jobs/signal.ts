// flynn jobs:signal: a signal to the process of a job.
import { Args } from '@oclif/core';
import { GridCommand } from '../../lib/access/grid-command.js';

interface Sent {
  job: string;
  signal: string;
}

export default class JobsSignal extends GridCommand<Sent> {
  static override description = 'send a signal to the process of a job';
  static override hiddenAliases = ['job:signal', 'jobs:kill'];
  static override examples = ['<%= config.bin %> jobs:signal a-01jd8m3w5v9hkq2n4r6t8x0y1z HUP'];
  static override args = {
    job: Args.string({ description: 'id of the job', required: true }),
    signal: Args.string({ description: 'name of the signal, such as HUP', default: 'TERM' }),
  };

  async run(): Promise<Sent> {
    const { args, flags } = await this.parse(JobsSignal);
    const { checkWord, parseSignal, words } = await import('../../lib/operator/jobs/words.js');
    const job = checkWord(words.job, args.job);
    const signal = parseSignal(args.signal);
    const { grid } = await this.access(flags);
    await grid.signal(job, signal, { signal: this.signal });
    return { job, signal };
  }

  protected override render({ job, signal }: Sent): void {
    this.report.done(`${job} was sent ${signal}`);
  }
}

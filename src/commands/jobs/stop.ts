// flynn jobs:stop: jobs end in order, and their claims go with their containers.
import { Args } from '@oclif/core';
import { waitFlags } from '../../lib/access/command.js';
import { GridCommand } from '../../lib/access/grid-command.js';

interface Stopped {
  jobs: { job: string; state: 'stopped' | 'stopping' }[];
}

export default class JobsStop extends GridCommand<Stopped> {
  static override description =
    'stop jobs for good: deregistered, drained, ended, and what they had is free again';
  static override hiddenAliases = ['job:stop'];
  static override examples = [
    '<%= config.bin %> jobs:stop a-01jd8m3w5v9hkq2n4r6t8x0y1z',
    '<%= config.bin %> jobs:stop a-01jd8m3w5v9hkq2n4r6t8x0y1z b-01jd8m3w5v9hkq2n4r6t8x0y20 --no-wait',
  ];
  static override strict = false;
  static override args = { jobs: Args.string({ description: 'ids of the jobs', required: true }) };
  static override flags = { ...waitFlags };

  async run(): Promise<Stopped> {
    const { argv, flags } = await this.parse(JobsStop);
    const { checkWord, words } = await import('../../lib/operator/jobs/words.js');
    const jobs = [...new Set(argv.map((word) => checkWord(words.job, String(word))))];
    const { stopJobs, waitUntilGone } = await import('../../lib/operator/jobs/stop.js');
    const [{ systemClock }, { cryptoRng }] = await Promise.all([
      import('../../lib/util/clock.js'),
      import('../../lib/util/rng.js'),
    ]);
    const { grid } = await this.access(flags);
    const { signal } = this;
    await stopJobs({ grid, clock: systemClock, rng: cryptoRng }, jobs, signal);
    if (flags['no-wait']) return { jobs: jobs.map((job) => ({ job, state: 'stopping' })) };
    this.report.step(`waiting until ${jobs.length === 1 ? jobs[0] : `${jobs.length} jobs`} ended`);
    await waitUntilGone({ grid, clock: systemClock }, jobs, flags.timeout * 1000, signal);
    return { jobs: jobs.map((job) => ({ job, state: 'stopped' })) };
  }

  protected override render({ jobs }: Stopped): void {
    for (const { job, state } of jobs) {
      this.report.done(state === 'stopped' ? `${job} is stopped` : `${job} is to be stopped`);
    }
  }
}

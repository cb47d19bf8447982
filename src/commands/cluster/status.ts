// flynn cluster status: the grid as a picture, and what does not work.
import { Flags } from '@oclif/core';
import { ControllerCommand } from '../../lib/access/command.js';
import type { GridStatus } from '../../lib/api/app.js';
import { isFlynnError } from '../../lib/api/errors.js';
import { colorsFor } from '../../lib/ui/colors.js';
import { gridPicture, type Tone } from '../../lib/ui/grid.js';

/** Time between two looks under --watch, ms. */
const watchMs = 1_000;

export default class ClusterStatus extends ControllerCommand<GridStatus | void> {
  static override description = 'show the grid: hosts, appliances, instances, and what is broken';
  static override hiddenAliases = ['status'];
  static override examples = ['<%= config.bin %> cluster status', '<%= config.bin %> cluster status --watch'];
  static override flags = { watch: Flags.boolean({ description: 'look again every second until Ctrl-C' }) };

  async run(): Promise<GridStatus | void> {
    const { flags } = await this.parse(ClusterStatus);
    const controller = await this.controller(flags);
    if (!flags.watch) {
      const status = await controller.status();
      // Reachable, and not able to change anything: scripts learn it from the code.
      if (!status.etcd.healthy) this.endWith(7);
      return status;
    }
    const { systemClock } = await import('../../lib/util/clock.js');
    const { signal } = this;
    while (!signal.aborted) {
      try {
        this.show(await controller.status({ signal }));
      } catch (error) {
        if (signal.aborted) return;
        if (!isFlynnError(error, 'unreachable') && !isFlynnError(error, 'timeout')) throw error;
        this.report.warn(error.message);
      }
      await systemClock.sleep(watchMs, signal).catch(() => undefined);
    }
  }

  protected override render(status: GridStatus | void): void {
    if (status) for (const line of this.lines(status)) this.print(line);
  }

  private show(status: GridStatus): void {
    if (this.jsonEnabled()) return this.printJson(status);
    // Home and clear to the end: a full clear would flicker.
    const lines = this.lines(status);
    if (this.terminal.tty.stdout) this.print(`\u001b[H\u001b[J${lines.join('\n')}`);
    else this.print(lines.join('\n'));
  }

  private lines(status: GridStatus): string[] {
    const color = colorsFor(this.terminal, 'stdout');
    const paint = (text: string, tone: Tone): string =>
      ({ good: color.green, busy: color.yellow, broken: color.red, dim: color.dim })[tone](text);
    const { etcd, hosts } = status;
    const away = hosts.filter((host) => !host.alive).map((host) => host.name);
    const health = etcd.healthy ? 'healthy' : paint('NO QUORUM', 'broken');
    return [
      `cluster ${status.cluster}  ${status.domain}  ${hosts.length} hosts  etcd ${etcd.members} members, ${health}` +
        `  leader ${status.leader ?? paint('none', 'broken')}`,
      ...(away.length > 0 ? [paint(`away: ${away.join(', ')}`, 'broken')] : []),
      ...(etcd.alarms.length > 0 ? [paint(`etcd alarms: ${etcd.alarms.join(', ')}`, 'broken')] : []),
      '',
      ...gridPicture(status, { columns: this.terminal.columns, paint }),
      ...reasons(status).map((reason) => paint(reason, 'broken')),
    ];
  }
}

function reasons(status: GridStatus): string[] {
  return status.hosts.flatMap((host) =>
    host.jobs
      .filter((job) => job.reason !== undefined && !['up', 'serving', 'stopping', 'done'].includes(job.state))
      .map((job) => `${host.name} ${job.name} is ${job.state}: ${job.reason}`),
  );
}

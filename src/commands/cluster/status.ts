// flynn cluster status: the grid as a picture, and what does not work.
import { Flags } from '@oclif/core';
import { ControllerCommand } from '../../lib/access/command.js';
import type { GridAccess } from '../../lib/access/open-grid.js';
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

  private door: GridAccess | undefined;

  async run(): Promise<GridStatus | void> {
    const { flags } = await this.parse(ClusterStatus);
    if (!flags.watch) {
      const status = await this.look(flags);
      // Reachable, and not able to change anything: scripts learn it from the code.
      if (!status.etcd.healthy) this.endWith(7);
      return status;
    }
    const { systemClock } = await import('../../lib/util/clock.js');
    const { signal } = this;
    while (!signal.aborted) {
      try {
        this.show(await this.look(flags, signal));
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

  /** The status as the controller tells it; where there is none, as the hosts do. */
  private async look(flags: { cluster?: string }, signal: AbortSignal = this.signal): Promise<GridStatus> {
    const { context, controller } = await this.access(flags.cluster);
    if (context.gateways.length > 0) return controller.status({ signal });
    const { layer0Status } = await import('../../lib/operator/door/status.js');
    this.door ??= await this.openDoor(flags.cluster);
    try {
      return await layer0Status(this.door.grid, context.name, signal);
    } catch (error) {
      // The next look, if there is one, is through another host's door.
      this.door = undefined;
      throw error;
    }
  }

  private async openDoor(cluster: string | undefined): Promise<GridAccess> {
    const { openGrid } = await import('../../lib/access/open-grid.js');
    const { env } = this.terminal;
    const door = await openGrid({ env, signal: this.signal, ...(cluster ? { cluster } : {}) });
    this.defer(() => door.close());
    return door;
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
      `cluster ${status.cluster}  ${status.layer0 ? 'Layer 0 alone' : status.domain}  ${hosts.length} hosts` +
        `  etcd ${etcd.members} members, ${health}` +
        (status.layer0 ? '' : `  leader ${status.leader ?? paint('none', 'broken')}`),
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

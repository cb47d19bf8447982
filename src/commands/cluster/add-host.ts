// flynn cluster add-host: plain hosts become part of a cluster that is up.
import { Args } from '@oclif/core';
import type { AddHostResult } from '../../lib/operator/add-host.js';
import { FlynnCommand } from '../../lib/ui/command.js';
import { imagesFlag, memberFlags } from '../../lib/ui/host-flags.js';

export default class ClusterAddHost extends FlynnCommand<AddHostResult> {
  static override description =
    'add hosts to a cluster, for apps to run on; run again, it goes on where it stopped';
  static override aliases = ['hosts:add'];
  static override examples = [
    '<%= config.bin %> cluster add-host root@203.0.113.10',
    '<%= config.bin %> cluster add-host d=root@203.0.113.10 e=root@203.0.113.11 -c production',
    '<%= config.bin %> cluster add-host d --dry-run',
  ];
  static override strict = false;
  static override args = {
    hosts: Args.string({ description: '[name=]user@host[:port] or names from ssh_config', required: true }),
  };
  static override flags = {
    ...memberFlags,
    ...imagesFlag('the one of bootstrap, else they are fetched from the cluster'),
  };

  async run(): Promise<AddHostResult> {
    const { argv, flags } = await this.parse(ClusterAddHost);
    const { runAddHost } = await import('../../lib/operator/add-host-command.js');
    const { confirm, confirmOrStop } = await import('../../lib/ui/prompt.js');
    const { canAsk } = await import('../../lib/ui/terminal.js');
    const asker = { terminal: this.terminal, signal: this.signal, yes: flags.yes };
    return runAddHost({
      hosts: argv.map(String),
      flags,
      env: this.terminal.env,
      signal: this.signal,
      say: (kind, text) => this.report[kind](text),
      confirm: (lines, question) => {
        if (!flags.yes) for (const line of lines) this.report.step(line);
        return confirmOrStop(asker, question);
      },
      // An unknown host is never trusted because of --yes: that is what --host-key is for.
      trust: async (question) => canAsk(this.terminal) && confirm({ ...asker, yes: false }, question),
    });
  }

  protected override render({ cluster, hosts, operations, results }: AddHostResult): void {
    if (!results) {
      for (const { host, title, id, detail } of operations) {
        this.print(`${host ? `${host}: ` : ''}${title}  [${id}]`);
        for (const line of detail) this.print(`    ${line}`);
      }
      return;
    }
    const names = hosts.join(', ');
    if (results.some((result) => result.changed)) this.report.done(`${names} joined ${cluster.name}`);
    else
      this.report.done(
        `${names} ${hosts.length === 1 ? 'is' : 'are'} part of ${cluster.name}: nothing to do`,
      );
  }
}

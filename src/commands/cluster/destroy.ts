// flynn cluster destroy: a cluster leaves its hosts.
import { Args } from '@oclif/core';
import type { DestroyResult } from '../../lib/operator/destroy.js';
import { FlynnCommand } from '../../lib/ui/command.js';
import { reachFlags, yesFlag } from '../../lib/ui/host-flags.js';

export default class ClusterDestroy extends FlynnCommand<DestroyResult> {
  static override description =
    "remove a cluster's containers, configuration and data from its hosts; Docker stays";
  static override examples = [
    '<%= config.bin %> cluster destroy staging',
    '<%= config.bin %> cluster destroy staging root@203.0.113.7 --yes',
  ];
  static override strict = false;
  static override args = {
    name: Args.string({ description: 'name of the cluster', required: true }),
    hosts: Args.string({ description: 'its hosts, when this computer has no record of it' }),
  };
  static override flags = { ...reachFlags, ...yesFlag };

  async run(): Promise<DestroyResult> {
    const { argv, flags } = await this.parse(ClusterDestroy);
    const [name = '', ...hosts] = argv.map(String);
    const { runDestroy } = await import('../../lib/operator/destroy-command.js');
    const { confirmOrStop } = await import('../../lib/ui/prompt.js');
    const asker = { terminal: this.terminal, signal: this.signal, yes: flags.yes };
    return runDestroy({
      name,
      hosts,
      flags,
      env: this.terminal.env,
      signal: this.signal,
      say: (kind, text) => this.report[kind](text),
      confirm: (question) => confirmOrStop(asker, question),
    });
  }

  protected override render({ name, hosts }: DestroyResult): void {
    this.report.done(`${name} is gone from ${hosts.map((host) => host.host).join(', ')}`);
  }
}

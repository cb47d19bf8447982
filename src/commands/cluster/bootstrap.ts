// flynn cluster bootstrap: plain hosts become a cluster.
import { Args, Flags } from '@oclif/core';
import type { BootstrapResult } from '../../lib/operator/bootstrap.js';
import { FlynnCommand } from '../../lib/ui/command.js';
import { imagesFlag, memberFlags } from '../../lib/ui/host-flags.js';

export default class ClusterBootstrap extends FlynnCommand<BootstrapResult> {
  static override description =
    'put a grid on hosts that are reached over SSH; run again, it goes on where it stopped';
  static override examples = [
    '<%= config.bin %> cluster bootstrap root@203.0.113.7',
    '<%= config.bin %> cluster bootstrap a=root@203.0.113.7 b=root@203.0.113.8 c=root@203.0.113.9 --domain apps.example.com',
    '<%= config.bin %> cluster bootstrap a b c --layer0',
    '<%= config.bin %> cluster bootstrap a b c --dry-run',
    '<%= config.bin %> cluster bootstrap a b c --ca-cert /usr/local/share/ca-certificates/proxy.crt',
  ];
  static override strict = false;
  static override args = {
    hosts: Args.string({ description: '[name=]user@host[:port] or names from ssh_config', required: true }),
  };
  static override flags = {
    ...memberFlags,
    ...imagesFlag('they are built on the first host'),
    name: Flags.string({ description: 'name of the cluster on this computer', default: 'default' }),
    domain: Flags.string({ description: 'apps answer at APP.DOMAIN (default: PUBLIC-IP.sslip.io)' }),
    'http-port': Flags.integer({
      description: 'port the routers serve HTTP on',
      default: 80,
      min: 1,
      max: 65535,
    }),
    layer0: Flags.boolean({
      default: false,
      description:
        'the grid alone: hosts, jobs, volumes, discovery; no controller, gateway, router, registry',
    }),
    capacity: Flags.string({
      description: 'what each host offers: MEMORY_MIB,CPU_MILLIS (default: what it has)',
    }),
  };

  async run(): Promise<BootstrapResult> {
    const { argv, flags } = await this.parse(ClusterBootstrap);
    const { runBootstrap } = await import('../../lib/operator/bootstrap-command.js');
    const { confirm, confirmOrStop } = await import('../../lib/ui/prompt.js');
    const { canAsk } = await import('../../lib/ui/terminal.js');
    const asker = { terminal: this.terminal, signal: this.signal, yes: flags.yes };
    return runBootstrap({
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

  protected override render(result: BootstrapResult): void {
    if (!result.results) {
      for (const { host, title, id, detail } of result.operations) {
        this.print(`${host ? `${host}: ` : ''}${title}  [${id}]`);
        for (const line of detail) this.print(`    ${line}`);
      }
      return;
    }
    const { name, domain } = result.cluster;
    if (result.string === undefined) {
      this.report.done(`the grid ${name} is up, with Layer 0 alone`);
      this.report.step('next:');
      for (const line of ['flynn hosts', 'flynn jobs:run debian:12 uname -a'])
        this.report.step(`    ${line}`);
      return;
    }
    this.print(`export FLYNN_CLUSTER='${result.string}'`);
    this.report.done(`the cluster ${name} is up; apps answer at APP.${domain}`);
    this.report.step('next:');
    for (const line of [
      'flynn cluster status',
      'flynn apps:create hello',
      'flynn deploy -a hello --image IMAGE',
    ]) {
      this.report.step(`    ${line}`);
    }
  }
}

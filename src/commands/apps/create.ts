// flynn apps:create: a new app, its route, and a git remote that leads to it.
import { Args, Flags } from '@oclif/core';
import { ControllerCommand } from '../../lib/access/command.js';

interface Result {
  app: string;
  created: boolean;
  /** Where it answers once it is deployed. */
  domain: string;
  /** What became of the git remote. */
  remote: 'added' | 'same' | 'taken' | 'none';
  /** What became of the program that git takes for ssh here. */
  sshCommand: 'set' | 'same' | 'kept' | 'none';
}

export default class AppsCreate extends ControllerCommand<Result> {
  static override description = 'create an app';
  static override hiddenAliases = ['create'];
  static override examples = [
    '<%= config.bin %> apps:create hello',
    '<%= config.bin %> apps:create hello --if-missing',
  ];
  static override args = {
    name: Args.string({ description: 'name of the app (default: one is made up)' }),
  };
  static override flags = {
    'if-missing': Flags.boolean({ description: 'an app that exists is fine' }),
    remote: Flags.string({ description: 'name of the git remote to set', default: 'flynn' }),
    'no-remote': Flags.boolean({ description: 'set no git remote' }),
  };

  async run(): Promise<Result> {
    const { args, flags } = await this.parse(AppsCreate);
    const [{ AppName }, { check }, { setRemote }, { formatGateway, parseGateway }, git] = await Promise.all([
      import('../../lib/api/names.js'),
      import('../../lib/access/check.js'),
      import('../../lib/access/app.js'),
      import('../../lib/access/context.js'),
      import('../../lib/access/git-command.js'),
    ]);
    const name =
      args.name === undefined ? undefined : check(AppName, args.name, 'app', 'flynn apps:create my-app');
    const { controller, context } = await this.access(flags.cluster);
    const { app, created, domain } = await controller.createApp({ name, ifMissing: flags['if-missing'] });
    const gateway = context.gateways[0];
    const remote =
      gateway === undefined || flags['no-remote']
        ? 'none'
        : await setRemote(
            this.terminal.cwd,
            flags.remote,
            `ssh://${git.remoteUser}@${formatGateway(parseGateway(gateway))}/${app.name}.git`,
          );
    if (remote === 'taken') {
      this.report.warn(
        `the git remote ${flags.remote} leads elsewhere and was left alone: choose another with --remote`,
      );
    }
    const sshCommand =
      remote === 'added' || remote === 'same'
        ? await this.setSshCommand(context.name, flags.cluster)
        : 'none';
    if (sshCommand === 'kept') {
      this.report.warn(
        'core.sshCommand of git is set to something else and was left alone: git push goes through that, to one gateway',
      );
    }
    return { app: app.name, created, domain, remote, sshCommand };
  }

  /** Has git in this work tree come to the cluster through us. */
  private async setSshCommand(name: string, flag: string | undefined): Promise<Result['sshCommand']> {
    const [{ setSshCommand, sshCommand }, { packageRoot }, { join, resolve }] = await Promise.all([
      import('../../lib/access/git-config.js'),
      import('../../lib/util/package-root.js'),
      import('node:path'),
    ]);
    const { env, cwd } = this.terminal;
    const said = flag || env.FLYNN_CLUSTER;
    const command = sshCommand({
      node: process.execPath,
      script: join(packageRoot(), 'bin', 'run.js'),
      // A cluster that is only known by its string is named by it: no list holds its name.
      cluster: said?.includes('://') ? said : name,
      ...(env.FLYNN_HOME ? { home: resolve(cwd, env.FLYNN_HOME) } : {}),
    });
    return setSshCommand(cwd, command);
  }

  protected override render({ app, created, domain, remote, sshCommand }: Result): void {
    this.print(created ? `created ${app}` : `${app} exists already`);
    this.print(`  answers at http://${domain} once it is deployed`);
    if (remote === 'added') this.print('  git remote added: git push flynn main deploys');
    if (sshCommand === 'set')
      this.print('  core.sshCommand set for this work tree: git finds a live gateway by itself');
  }
}

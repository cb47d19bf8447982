// flynn keys:add: lets a public key in.
import { Args, Flags } from '@oclif/core';
import { ControllerCommand } from '../../lib/access/command.js';
import type { Role, SshKey } from '../../lib/api/app.js';

export default class KeysAdd extends ControllerCommand<SshKey> {
  static override description = 'let a public key use the cluster';
  static override hiddenAliases = ['key:add'];
  static override examples = [
    '<%= config.bin %> keys:add',
    '<%= config.bin %> keys:add ci.pub --role deploy -a hello --name ci',
  ];
  static override args = {
    file: Args.string({ description: 'public key file, or - (default: the one in ~/.ssh)' }),
  };
  static override flags = {
    name: Flags.string({ description: "whose key it is (default: the key's comment)" }),
    role: Flags.string({
      description: 'what it may do',
      options: ['admin', 'developer', 'deploy'],
      default: 'developer',
    }),
    app: Flags.string({
      char: 'a',
      description: 'app that it is limited to (may be repeated)',
      multiple: true,
      multipleNonGreedy: true,
    }),
  };

  async run(): Promise<SshKey> {
    const { args, flags } = await this.parse(KeysAdd);
    const [{ AppName }, { check }, { readPublicKey }] = await Promise.all([
      import('../../lib/api/names.js'),
      import('../../lib/access/check.js'),
      import('../../lib/access/public-key.js'),
    ]);
    const apps = (flags.app ?? []).map((app) => check(AppName, app, 'app', 'flynn apps   (lists them)'));
    const publicKey = await readPublicKey(this.terminal, args.file);
    const controller = await this.controller(flags);
    return controller.addKey({
      publicKey,
      role: flags.role as Role,
      apps,
      ...(flags.name === undefined ? {} : { name: flags.name }),
    });
  }

  protected override render({ name, role, apps, fingerprint }: SshKey): void {
    this.print(`${name} may use the cluster as ${role}${apps.length > 0 ? ` of ${apps.join(' ')}` : ''}`);
    this.print(`  ${fingerprint}`);
  }
}

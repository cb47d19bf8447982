// flynn releases:rollback: an older release serves again.
import { Args } from '@oclif/core';
import { waitFlags } from '../../lib/access/command.js';
import { DeployingCommand, type Deployed } from '../../lib/access/deploying.js';
import { FlynnError } from '../../lib/api/errors.js';

export default class ReleasesRollback extends DeployingCommand {
  static override description = 'go back to an older release (default: the one before the current)';
  static override hiddenAliases = ['release:rollback', 'rollback'];
  static override examples = [
    '<%= config.bin %> releases:rollback -a hello',
    '<%= config.bin %> releases:rollback v3 -a hello',
  ];
  static override args = { release: Args.string({ description: 'release to go back to, such as v3' }) };
  static override flags = waitFlags;

  async run(): Promise<Deployed> {
    const { args, flags } = await this.parse(ReleasesRollback);
    const version = args.release === undefined ? undefined : versionOf(args.release);
    const { app, controller } = await this.target(flags);
    const answer = await controller.rollback(app, version === undefined ? {} : { version });
    return this.follow(controller, { app, ...answer }, flags);
  }
}

function versionOf(text: string): number {
  const version = Number(/^v?(\d{1,8})$/.exec(text)?.[1] ?? 0);
  if (version >= 1) return version;
  throw new FlynnError({
    code: 'usage',
    message: `'${text}' is not a release: they are called v1, v2 and so on`,
    hint: 'flynn releases',
  });
}

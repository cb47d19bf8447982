// flynn env:unset: removes variables, which makes a release and deploys it.
import { EnvChangeCommand, type EnvChange } from '../../lib/access/env-change.js';
import { waitFlags } from '../../lib/access/command.js';

export default class EnvUnset extends EnvChangeCommand {
  static override description = 'remove variables and deploy the app without them';
  static override strict = false;
  static override usage = 'env:unset KEY... [-a <value>] [--no-wait] [--timeout <value>]';
  static override examples = ['<%= config.bin %> env:unset GREETING -a hello'];
  static override flags = waitFlags;

  async run(): Promise<EnvChange> {
    const { argv, flags } = await this.parse(EnvUnset);
    const { parseKeys } = await import('../../lib/access/input.js');
    return this.change(flags, { unset: parseKeys(argv as string[], 'flynn env:unset GREETING') });
  }
}

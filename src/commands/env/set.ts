// flynn env:set: changes variables, which makes a release and deploys it.
import { EnvChangeCommand, type EnvChange } from '../../lib/access/env-change.js';
import { waitFlags } from '../../lib/access/command.js';

/** Bytes that one value may have. */
const largestValue = 65_536;

export default class EnvSet extends EnvChangeCommand {
  static override description = 'set variables and deploy the app with them; KEY=- reads standard input';
  static override strict = false;
  static override usage = 'env:set KEY=VALUE... [-a <value>] [--no-wait] [--timeout <value>]';
  static override examples = [
    '<%= config.bin %> env:set GREETING=hello -a hello',
    'cat token.txt | <%= config.bin %> env:set API_TOKEN=-',
  ];
  static override flags = waitFlags;

  async run(): Promise<EnvChange> {
    const { argv, flags } = await this.parse(EnvSet);
    const { parseEnv, readAll } = await import('../../lib/access/input.js');
    const set = await parseEnv(argv as string[], () => readAll(this.terminal.stdin, largestValue));
    return this.change(flags, { set });
  }
}

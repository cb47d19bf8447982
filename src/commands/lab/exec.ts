// flynn lab exec: a command inside a host, past its network.
import { Flags } from '@oclif/core';
import { FlynnError } from '../../lib/api/errors.js';
import { FlynnCommand } from '../../lib/ui/command.js';
import type { Finished } from '../../lib/lab/index.js';

export default class LabExec extends FlynnCommand<Finished> {
  static override description = 'run a command as root inside a host of the lab';
  static override usage = 'lab exec [--name NAME] HOST COMMAND...';
  static override examples = ['<%= config.bin %> lab exec a docker ps', '<%= config.bin %> lab exec b bash'];
  static override strict = false;
  static override flags = { name: Flags.string({ description: 'which lab', default: 'default' }) };

  async run(): Promise<Finished> {
    // Flags end at the host: what follows is the command's own, `ls -la` included.
    const takesValue = (word: string | undefined): boolean =>
      ['--name', '--cluster', '-c'].includes(word ?? '');
    const at = this.argv.findIndex((word, i) => !word.startsWith('-') && !takesValue(this.argv[i - 1]));
    const end = at < 0 ? this.argv.length : at;
    // Taken apart before the parse: it leaves only what it was given in `this.argv`.
    const [host, ...command] = this.argv.slice(end);
    const { flags } = await this.parse(LabExec, this.argv.slice(0, end));
    const argv = command[0] === '--' ? command.slice(1) : command;
    if (host === undefined || argv.length === 0) {
      throw new FlynnError({
        code: 'usage',
        message: 'a host and a command are needed',
        hint: 'flynn lab exec a uptime',
      });
    }
    const { labExec } = await import('../../lib/lab/index.js');
    const done = await labExec(host, argv, {
      name: flags.name,
      inherit: !this.jsonEnabled(),
      signal: this.signal,
    });
    this.endWith(done.code);
    return done;
  }
}

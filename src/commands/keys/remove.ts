// flynn keys:remove: shuts a public key out.
import { Args, Flags } from '@oclif/core';
import { ControllerCommand } from '../../lib/access/command.js';
import type { SshKey } from '../../lib/api/app.js';
import { FlynnError } from '../../lib/api/errors.js';
import { confirmOrStop } from '../../lib/ui/prompt.js';

export default class KeysRemove extends ControllerCommand<{ removed: SshKey }> {
  static override description = 'shut a key out, by fingerprint or name';
  static override hiddenAliases = ['key:remove'];
  static override examples = ['<%= config.bin %> keys:remove ci --yes'];
  static override args = {
    key: Args.string({ description: 'fingerprint or name of the key', required: true }),
  };
  static override flags = { yes: Flags.boolean({ char: 'y', description: 'do not ask' }) };

  async run(): Promise<{ removed: SshKey }> {
    const { args, flags } = await this.parse(KeysRemove);
    const controller = await this.controller(flags);
    const removed = find(await controller.keys(), args.key);
    await confirmOrStop(
      { terminal: this.terminal, yes: flags.yes },
      `shut out ${removed.name} (${removed.role}, ${removed.fingerprint})?`,
    );
    await controller.removeKey(removed.fingerprint);
    return { removed };
  }

  protected override render({ removed }: { removed: SshKey }): void {
    this.print(`${removed.name} (${removed.fingerprint}) may not use the cluster any more`);
  }
}

function find(keys: readonly SshKey[], wanted: string): SshKey {
  const found = keys.filter((key) => key.fingerprint === wanted || key.name === wanted);
  const [first] = found;
  if (first && found.length === 1) return first;
  throw new FlynnError(
    first
      ? {
          code: 'conflict',
          message: `${found.length} keys are called ${wanted}`,
          hint: 'name it by its fingerprint: flynn keys',
        }
      : { code: 'not_found', message: `no key is called ${wanted}`, hint: 'flynn keys' },
  );
}

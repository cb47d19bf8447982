// flynn keys: who may push and deploy.
import { ControllerCommand } from '../../lib/access/command.js';
import type { SshKey } from '../../lib/api/app.js';
import { ago, table } from '../../lib/ui/table.js';

export default class Keys extends ControllerCommand<{ keys: SshKey[] }> {
  static override description = 'list the keys that may use the cluster';
  static override hiddenAliases = ['key'];
  static override examples = ['<%= config.bin %> keys'];

  async run(): Promise<{ keys: SshKey[] }> {
    const { flags } = await this.parse(Keys);
    const controller = await this.controller(flags);
    return { keys: await controller.keys() };
  }

  protected override render({ keys }: { keys: SshKey[] }): void {
    const now = Date.now();
    const lines = table(keys, [
      { title: 'name', value: (key) => key.name },
      { title: 'role', value: (key) => key.role },
      { title: 'apps', value: (key) => (key.apps.length === 0 ? 'all' : key.apps.join(' ')) },
      { title: 'fingerprint', value: (key) => key.fingerprint },
      { title: 'added', value: (key) => `${ago(key.createdAt, now)} ago` },
    ]);
    for (const line of lines) this.print(line);
  }
}

// flynn events: what happened in the cluster.
import { Flags } from '@oclif/core';
import { ControllerCommand } from '../lib/access/command.js';

export default class Events extends ControllerCommand {
  static override description = 'show what happened, oldest first';
  static override examples = ['<%= config.bin %> events -f', '<%= config.bin %> events -a hello'];
  static override flags = {
    app: Flags.string({ char: 'a', description: 'only of this app' }),
    follow: Flags.boolean({ char: 'f', description: 'go on with new ones until Ctrl-C' }),
    since: Flags.string({ description: 'id of the last event that is known already' }),
  };

  async run(): Promise<void> {
    const { flags } = await this.parse(Events);
    const [{ AppName }, { check }] = await Promise.all([
      import('../lib/api/names.js'),
      import('../lib/access/check.js'),
    ]);
    const app =
      flags.app === undefined ? undefined : check(AppName, flags.app, 'app', 'flynn apps   (lists them)');
    const controller = await this.controller(flags);
    const { signal } = this;
    try {
      for await (const event of controller.events({
        app,
        follow: flags.follow,
        since: flags.since,
        signal,
      })) {
        if (this.jsonEnabled()) this.printJson(event);
        else {
          const about = [event.app, event.host, event.job].filter((part) => part !== undefined).join(' ');
          const by = event.by === undefined ? '' : `  by ${event.by}`;
          this.print(`${new Date(event.at).toISOString()}  ${event.type}  ${about}  ${event.message}${by}`);
        }
      }
    } catch (error) {
      if (!flags.follow || !signal.aborted) throw error;
    }
  }
}

// flynn env: an app's environment.
import { AppCommand } from '../../lib/access/command.js';

interface Result {
  app: string;
  env: Record<string, string>;
}

export default class Env extends AppCommand<Result> {
  static override description = "show an app's environment";
  static override examples = ['<%= config.bin %> env -a hello'];

  async run(): Promise<Result> {
    const { flags } = await this.parse(Env);
    const { app, controller } = await this.target(flags);
    return { app, env: await controller.env(app) };
  }

  protected override render({ env }: Result): void {
    for (const [key, value] of Object.entries(env).sort(([a], [b]) => (a < b ? -1 : 1))) {
      this.print(`${key}=${value}`);
    }
  }
}

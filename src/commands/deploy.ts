// flynn deploy: an existing image becomes a release; waits until it serves or has been taken back.
import { Flags } from '@oclif/core';
import { waitFlags } from '../lib/access/command.js';
import { DeployingCommand, type Deployed } from '../lib/access/deploying.js';

export default class Deploy extends DeployingCommand {
  static override description = 'deploy an image; a release that does not come up leaves the old one serving';
  static override examples = ['<%= config.bin %> deploy --image hello:2 -a hello'];
  static override flags = {
    image: Flags.string({ description: 'image to run', required: true }),
    ...waitFlags,
  };

  async run(): Promise<Deployed> {
    const { flags } = await this.parse(Deploy);
    const { app, controller } = await this.target(flags);
    const answer = await controller.deploy(app, {
      image: flags.image,
      why: `deploy --image ${flags.image}`.slice(0, 200),
    });
    return this.follow(controller, { app, ...answer }, flags);
  }
}

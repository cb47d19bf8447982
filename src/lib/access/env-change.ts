// The base of env:set and env:unset.
import { DeployingCommand, type Deployed, type WaitFlagValues } from './deploying.js';

/** Their result: the deployment and the environment's names (values are secrets). */
export interface EnvChange extends Deployed {
  keys: string[];
}

/** A command that changes the environment. */
export abstract class EnvChangeCommand extends DeployingCommand<EnvChange> {
  /** Sends the change and follows the deployment it makes. */
  protected async change(
    flags: { app?: string; cluster?: string } & WaitFlagValues,
    change: { set?: Record<string, string>; unset?: string[] },
  ): Promise<EnvChange> {
    const { app, controller } = await this.target(flags);
    const { env, ...answer } = await controller.changeEnv(app, change);
    return { ...(await this.follow(controller, { app, ...answer }, flags)), keys: Object.keys(env).sort() };
  }
}

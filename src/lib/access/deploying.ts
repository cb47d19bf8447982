// The base of commands that start a deployment and watch it.
import type { Deployment } from '../api/app.js';
import { AppCommand } from './command.js';
import type { ControllerClient } from './controller.js';

/** What such commands answer with. */
export interface Deployed {
  app: string;
  release: number;
  /** False: it was like that already, nothing was made. */
  changed: boolean;
  deployment?: Deployment;
  /** Time until it served, ms; absent when nothing was waited for. */
  ms?: number;
}

/** Flags of the wait. */
export interface WaitFlagValues {
  'no-wait': boolean;
  timeout: number;
}

/** A command that deploys. */
export abstract class DeployingCommand<Result extends Deployed = Deployed> extends AppCommand<Result> {
  /** Watches what the controller answered to its end; throws `failed`, `timeout`, `interrupted`. */
  protected async follow(
    controller: ControllerClient,
    started: Deployed,
    flags: WaitFlagValues,
  ): Promise<Deployed> {
    const { app, release, changed, deployment } = started;
    if (!deployment || deployment.state !== 'running') {
      this.report.step(changed ? `made v${release} of ${app}` : `${app} is like that already (v${release})`);
      return started;
    }
    this.report.step(`deploying v${deployment.to} of ${app}`);
    if (flags['no-wait']) return started;
    const [{ waitForDeployment }, { systemClock }] = await Promise.all([
      import('./wait.js'),
      import('../util/clock.js'),
    ]);
    const { deployment: done, ms } = await waitForDeployment(deployment, {
      controller,
      app,
      report: this.report,
      clock: systemClock,
      signal: this.signal,
      timeoutMs: flags.timeout * 1000,
    });
    return { ...started, deployment: done, ms: Math.round(ms) };
  }

  protected override render({ app, release }: Result): void {
    this.print(`${app} v${release}`);
  }
}

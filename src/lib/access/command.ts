// The base of commands that talk to the controller: the way in as a port, opened on demand and closed at the end.
import { Flags } from '@oclif/core';
import { FlynnError } from '../api/errors.js';
import { FlynnCommand } from '../ui/command.js';
import type { ControllerClient } from './controller.js';
import type { Access, OpenAccess } from './open.js';

// Everything behind it (ssh2, zod) costs start-up time: loaded at the first use.
const openLazily: OpenAccess = async (options) => (await import('./open.js')).openAccess(options);

/** A command with a controller. */
export abstract class ControllerCommand<Result extends object | void = void> extends FlynnCommand<Result> {
  // Said again: oclif's manifest stops looking for statics at the first class in the chain that has none of its own.
  static override enableJsonFlag = true;

  /** How it gets in; tests put their own here before the run. */
  openAccess: OpenAccess = openLazily;
  private opened: Promise<Access> | undefined;

  /** The way in to the cluster of `--cluster`; opened once, closed when the command ends. */
  protected access(cluster: string | undefined): Promise<Access> {
    this.opened ??= this.openAccess({ env: this.terminal.env, ...(cluster ? { cluster } : {}) }).then(
      (access) => {
        this.defer(() => access.close());
        return access;
      },
    );
    return this.opened;
  }

  /** The controller of the cluster of `--cluster`. Throws `missing` where there is Layer 0 alone. */
  protected async controller(flags: { cluster?: string }): Promise<ControllerClient> {
    const { context, controller } = await this.access(flags.cluster);
    if (context.gateways.length > 0) return controller;
    throw new FlynnError({
      code: 'missing',
      message: `the cluster ${context.name} is Layer 0 alone: it has no controller, and nothing that runs apps`,
      hint: 'flynn jobs:list   (flynn help jobs, hosts, volumes, services: what works there)',
    });
  }
}

/** A command about one app. */
export abstract class AppCommand<Result extends object | void = void> extends ControllerCommand<Result> {
  static override baseFlags = {
    ...ControllerCommand.baseFlags,
    app: Flags.string({
      char: 'a',
      description: 'app (default: FLYNN_APP, then the git remote flynn)',
      helpGroup: 'GLOBAL',
    }),
  };

  /** The app's name from `--app`, FLYNN_APP or the git remote. */
  protected async appName(flags: { app?: string }): Promise<string> {
    const { findApp } = await import('./app.js');
    return findApp({
      env: this.terminal.env,
      cwd: this.terminal.cwd,
      ...(flags.app ? { flag: flags.app } : {}),
    });
  }

  /** The controller and the app's name. */
  protected async target(flags: { app?: string; cluster?: string }) {
    const app = await this.appName(flags);
    return { app, controller: await this.controller(flags) };
  }
}

/** Flags of commands that wait for what they started. */
export const waitFlags = {
  'no-wait': Flags.boolean({ description: 'return as soon as it is accepted' }),
  timeout: Flags.integer({ description: 'seconds to wait', min: 1, default: 180 }),
};

// The base of commands that talk to Layer 0: the way in as a port, opened on demand and closed at the end.
import { FlynnCommand } from '../ui/command.js';
import { loginFlags } from '../ui/host-flags.js';
import type { GridAccess, OpenGrid } from './open-grid.js';

// Everything behind it (ssh2, zod) costs start-up time: loaded at the first use.
const openLazily: OpenGrid = async (options) => (await import('./open-grid.js')).openGrid(options);

/** A command with a grid. */
export abstract class GridCommand<Result extends object | void = void> extends FlynnCommand<Result> {
  // Said again: oclif's manifest stops looking for statics at the first class in the chain that has none of its own.
  static override enableJsonFlag = true;
  static override baseFlags = { ...FlynnCommand.baseFlags, ...loginFlags };

  /** How it gets in; tests put their own here before the run. */
  openGrid: OpenGrid = openLazily;
  private opened: Promise<GridAccess> | undefined;

  /** The way in to the cluster of `--cluster`; opened once, closed when the command ends. */
  protected access(flags: {
    cluster?: string | undefined;
    identity?: string[] | undefined;
    'ssh-config'?: string | undefined;
  }): Promise<GridAccess> {
    const { cluster, identity, 'ssh-config': sshConfig } = flags;
    this.opened ??= this.openGrid({
      env: this.terminal.env,
      signal: this.signal,
      ...(cluster ? { cluster } : {}),
      ...(identity ? { identity } : {}),
      ...(sshConfig ? { sshConfig } : {}),
    }).then((access) => {
      this.defer(() => access.close());
      return access;
    });
    return this.opened;
  }
}

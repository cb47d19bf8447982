// An operator at a lab of its own: the command line in that lab's environment, and what it says of the cluster.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect } from 'vitest';
import type { GridStatus } from '../../src/lib/api/app.js';
import { labEnv } from '../../src/lib/lab/index.js';
import { command, root, type CliOptions, type Finished } from '../lab/grid.js';

const program = join(root, 'bin/run.js');

/** The operator of the lab of that name. */
export class Operator {
  readonly ref: { root: string; name: string };

  constructor(name: string) {
    this.ref = { root, name };
  }

  /** Environment of everything that is typed here. */
  get env(): Record<string, string> {
    return labEnv(this.ref);
  }

  /** Runs `flynn ARGS`; the result whatever the exit code. */
  flynn(args: string[], options: CliOptions = {}): Promise<Finished> {
    return command(process.execPath, [program, ...args], {
      ...options,
      env: { ...this.env, ...options.env },
    });
  }

  /** Runs `flynn ARGS` and fails, showing what it said, when it does not end with 0. */
  async ok(args: string[], options: CliOptions = {}): Promise<string> {
    const done = await this.flynn(args, options);
    expect(done.code, `flynn ${args.join(' ')}\n${done.stdout}${done.stderr}`).toBe(0);
    return done.stdout;
  }

  /** Runs `flynn ARGS` and ends it without mercy at the first line that begins so; `killed` is false when it came to its end first. */
  killedAt(line: string, args: string[]): Promise<{ killed: boolean; said: string }> {
    return new Promise((resolve, reject) => {
      const child = spawn(process.execPath, [program, ...args], {
        env: { ...process.env, ...this.env, NO_COLOR: '1', CI: '1' },
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      let said = '';
      createInterface({ input: child.stderr }).on('line', (text) => {
        said += `${text}\n`;
        if (text.startsWith(line)) child.kill('SIGKILL');
      });
      child.once('error', reject);
      child.once('close', (_code, signal) => resolve({ killed: signal === 'SIGKILL', said }));
    });
  }

  /** Fails unless these hosts are alive and every appliance on them is up. */
  async expectHealthy(...names: string[]): Promise<void> {
    const status = JSON.parse(await this.ok(['cluster', 'status', '--json'])) as GridStatus;
    expect(status.etcd).toMatchObject({ healthy: true, members: 1 });
    expect(status.hosts.filter(({ alive }) => alive).map((host) => host.name)).toEqual(names);
    expect(status.hosts.flatMap(({ jobs }) => jobs).filter(({ state }) => state !== 'up')).toEqual([]);
  }
}

// The HAProxy process: started detached, so that it outlives us; reloaded and spoken to through its master's socket.
import { execFile, spawn, type StdioOptions } from 'node:child_process';
import { open, readFile, truncate } from 'node:fs/promises';
import { promisify } from 'node:util';
import { FlynnError, isFlynnError } from '../../api/errors.js';
import type { Clock } from '../../util/clock.js';
import type { Log } from '../../util/log.js';
import { poll } from '../../util/retry.js';
import { routerFiles } from './config.js';
import { batches, parseProcesses, type Processes } from './runtime.js';
import { ask, whenClosed } from './socket.js';

const run = promisify(execFile);

export interface HaproxyProcessOptions {
  dir: string;
  clock: Clock;
  log: Log;
  /** Path of the program. */
  binary?: string;
}

/** How long a start or reload may take, ms: 10,000 backends of three servers parse in a quarter of a second. */
const startTimeoutMs = 15_000;

export class HaproxyProcess {
  private readonly files: ReturnType<typeof routerFiles>;
  private readonly binary: string;
  private stopWatching = (): void => undefined;

  constructor(private readonly options: HaproxyProcessOptions) {
    this.files = routerFiles(options.dir);
    this.binary = options.binary ?? '/usr/sbin/haproxy';
  }

  /** The processes as the master lists them, undefined when no master answers. */
  async processes(): Promise<Processes | undefined> {
    try {
      return parseProcesses(await ask(this.files.master, 'show proc'));
    } catch (error) {
      if (isFlynnError(error, 'unreachable')) return undefined;
      throw error;
    }
  }

  /** Whether the master lives although it does not answer: it is loading, and a second one beside it would be wrong. */
  async loading(): Promise<boolean> {
    try {
      const pid = (await readFile(this.files.pid, 'utf8')).trim();
      if (!/^\d+$/.test(pid)) return false;
      // By name: after a restart of the container the number may be another program's. Z: dead, and not yet reaped.
      const [, name, state] = /^\d+ \((.*)\) (\S)/.exec(await readFile(`/proc/${pid}/stat`, 'utf8')) ?? [];
      return name === 'haproxy' && state !== 'Z';
    } catch {
      return false; // no file, or no such process
    }
  }

  /** Answers of one worker to commands that are carried out in order. */
  async command(worker: number, commands: readonly string[]): Promise<string> {
    let answer = '';
    for (const batch of batches(commands)) {
      answer += await ask(
        this.files.master,
        batch.map((command) => `@!${worker} ${command}`).join(';'),
        5_000,
      );
    }
    return answer;
  }

  /** Checks the configuration at `path`; throws `failed` with HAProxy's own words. */
  async check(path: string): Promise<void> {
    try {
      await run(this.binary, ['-c', '-f', path], { timeout: startTimeoutMs });
    } catch (cause) {
      const said =
        typeof cause === 'object' && cause && 'stderr' in cause ? String(cause.stderr) : String(cause);
      throw new FlynnError({ code: 'failed', message: `HAProxy refuses ${path}: ${alerts(said)}`, cause });
    }
  }

  /**
   * Starts HAProxy with the configuration on disk. A worker that has lost its master still serves: the new one takes
   * its listening sockets over and it finishes what it has. Resolves with the listening worker.
   */
  async start(): Promise<{ worker: number; tookOver: boolean }> {
    const orphan = await this.orphan();
    const takeover = orphan === undefined ? [] : ['-x', this.files.worker, '-sf', String(orphan)];
    const args = ['-W', '-S', `${this.files.master},mode,600`, '-p', this.files.pid, '-f', this.files.config];
    // A file of its own: a pipe to us would break with us, and a reload writes a line for every backend.
    const output = await open(this.files.output, 'a', 0o600);
    await output.truncate();
    const stdio: StdioOptions = ['ignore', output.fd, output.fd];
    const child = spawn(this.binary, [...args, ...takeover], { detached: true, stdio });
    await output.close();
    let ended: string | undefined;
    child.once('error', (error) => (ended = error.message));
    child.once('exit', (code, signal) => (ended = `ended with ${code ?? signal}`));
    child.unref();
    const worker = await poll(
      this.options.clock,
      async () => {
        if (ended !== undefined) {
          const said = await readFile(this.files.output, 'utf8');
          throw new FlynnError({
            code: 'failed',
            message: `HAProxy did not start and ${ended}: ${alerts(said)}`,
            hint: `cat ${this.files.output}; ss -ltnp`,
          });
        }
        const processes = await this.glance();
        return processes?.master === child.pid ? processes?.current : undefined;
      },
      { timeoutMs: startTimeoutMs, intervalMs: 10, what: 'start of HAProxy' },
    );
    return { worker, tookOver: orphan !== undefined };
  }

  /** Has the master load the configuration on disk; resolves with the new worker, throws `failed` when it refused. */
  async reload(before: Processes): Promise<number> {
    // It is opened for appending: HAProxy goes on at the new end.
    await truncate(this.files.output).catch(() => undefined);
    await ask(this.files.master, 'reload').catch((error: unknown) => {
      // The master replaces itself and may close the connection before it has answered.
      if (!isFlynnError(error)) throw error;
    });
    const after = await poll(
      this.options.clock,
      async () => {
        const now = await this.glance();
        if (!now || now.reloads <= before.reloads) return undefined;
        return now.failed > before.failed || now.current !== undefined ? now : undefined;
      },
      { timeoutMs: startTimeoutMs, intervalMs: 10, what: 'reload of HAProxy' },
    );
    if (after.failed > before.failed || after.current === undefined) {
      const said = await readFile(this.files.output, 'utf8').catch(() => '');
      throw new FlynnError({
        code: 'failed',
        message: `HAProxy refused to reload, and its former worker still serves: ${alerts(said)}`,
        hint: `cat ${this.files.output}`,
      });
    }
    return after.current;
  }

  /** Calls back once when the master's connection ends: it died, or it was told to reload. */
  watch(callback: () => void): void {
    this.stopWatching();
    this.stopWatching = whenClosed(this.files.master, callback);
  }

  /** Ends `watch` without its callback. */
  unwatch(): void {
    this.stopWatching();
    this.stopWatching = () => undefined;
  }

  /** As `processes`; a master that is too slow to answer counts as one that does not answer yet. */
  private async glance(): Promise<Processes | undefined> {
    try {
      return await this.processes();
    } catch (error) {
      if (isFlynnError(error, 'timeout')) return undefined;
      throw error;
    }
  }

  private async orphan(): Promise<number | undefined> {
    try {
      const pid = /^Pid: (\d+)$/m.exec(await ask(this.files.worker, 'show info', 1_000))?.[1];
      return pid === undefined ? undefined : Number(pid);
    } catch (error) {
      if (isFlynnError(error)) return undefined;
      throw error;
    }
  }
}

/** The lines of HAProxy's output that say why it failed. */
function alerts(output: string): string {
  const lines = output.split('\n').filter((line) => line.startsWith('[ALERT]'));
  return lines.slice(0, 3).join(' | ') || 'no reason given';
}

// One authenticated connection: sessions under a cap, tunnels, files, and an orderly end.
import type { Duplex, Readable } from 'node:stream';
import type { Client, ClientChannel } from 'ssh2';
import { FlynnError } from '../api/errors.js';
import type { Clock } from '../util/clock.js';
import { quoteArgv } from '../util/quote.js';
import { abortable, abortReason, deadline } from '../util/signal.js';
import { ChannelStream } from './channel.js';
import { aborted, channelRefused, unreachable } from './errors.js';
import { remoteLimit, runCommand, shorten, type OpenCommand } from './exec.js';
import type {
  ExecOptions,
  ExecResult,
  HostKey,
  RemoteProcess,
  SpawnOptions,
  SshConnection,
  SshTarget,
  WriteFileOptions,
} from './port.js';
import { Semaphore } from './semaphore.js';
import { bracketHost, describeTarget } from './target.js';
import { writeRemoteFile } from './write-file.js';

/**
 * sshd's default MaxSessions is 10, and it counts a session until its process is gone. The two that are left are for
 * processes whose channel was closed before they ended.
 */
const SESSIONS = 8;
/** Bound of the wait for sshd to be done with a session whose channel is closed, in ms. */
const SETTLE_MS = 5_000;
/** Bound of opening a channel, waiting for a free session included, in ms. */
const OPEN_MS = 60_000;
/** Bound of an orderly close, in ms. */
const CLOSE_MS = 2_000;

type Callback = (error: Error | undefined, channel: ClientChannel) => void;

/** SshConnection over a client of ssh2 that is ready. `under` is the connection it runs through, closed with it. */
export class Ssh2Connection implements SshConnection {
  readonly #sessions = new Semaphore(SESSIONS);
  readonly #streams = new Set<ChannelStream>();
  readonly #listeners: ((cause?: Error) => void)[] = [];
  #closed = false;
  #closing = false;
  #cause: Error | undefined;

  constructor(
    private readonly client: Client,
    readonly target: SshTarget,
    readonly hostKey: HostKey,
    private readonly clock: Clock,
    private readonly under?: SshConnection,
  ) {
    // Permanent: an error event without a listener ends the process.
    client.on('error', (error: Error) => (this.#cause ??= error));
    client.once('close', () => this.#onClose());
  }

  get closed(): boolean {
    return this.#closed;
  }

  exec(argv: readonly string[], opts: ExecOptions = {}): Promise<ExecResult> {
    const line = this.#line([...remoteLimit(opts.timeoutMs), ...argv], opts.sudo);
    const what = { target: this.target, line: quoteArgv(argv), clock: this.clock };
    return runCommand((signal) => this.#command(line, signal), what, opts);
  }

  async spawn(argv: readonly string[], opts: SpawnOptions = {}): Promise<RemoteProcess> {
    const limit = deadline(this.clock, OPEN_MS, opts.signal);
    const line = this.#line(argv, opts.sudo);
    try {
      const command = await this.#command(line, limit.signal);
      const { stream, channel } = command;
      const stop = (): void => void stream.destroy(opts.signal && abortReason(opts.signal));
      opts.signal?.addEventListener('abort', stop, { once: true });
      void stream.gone.then(() => opts.signal?.removeEventListener('abort', stop));
      return Object.assign(stream, {
        stderr: channel.stderr as Readable,
        exit: Promise.race([command.ended, stream.abandoned]).then(() => command.exit()?.code ?? null),
      });
    } catch (error) {
      throw limit.signal.aborted ? aborted(limit.signal.reason, `starting '${shorten(line)}'`) : error;
    } finally {
      limit.clear();
    }
  }

  writeFile(path: string, content: string | Buffer | Readable, opts: WriteFileOptions = {}): Promise<void> {
    return writeRemoteFile(this, path, content, opts);
  }

  forwardTcp(host: string, port: number): Promise<Duplex> {
    return this.#tunnel(`a connection to ${bracketHost(host)}:${port}`, (done) =>
      this.client.forwardOut('127.0.0.1', 0, host, port, done),
    );
  }

  forwardUnix(path: string): Promise<Duplex> {
    return this.#tunnel(`a connection to ${path}`, (done) =>
      this.client.openssh_forwardOutStreamLocal(path, done),
    );
  }

  async close(): Promise<void> {
    this.#closing = true;
    if (!this.#closed) {
      const gone = new Promise<void>((resolve) => this.onClose(() => resolve()));
      this.client.end();
      const cancel = this.clock.after(CLOSE_MS, () => this.client.destroy());
      await gone;
      cancel();
    }
    await this.under?.close();
  }

  onClose(cb: (cause?: Error) => void): void {
    if (this.#closed) cb(this.#reason());
    else this.#listeners.push(cb);
  }

  #reason(): Error | undefined {
    if (this.#closing) return undefined;
    return unreachable(this.target, this.#cause ?? new Error('the connection was lost'));
  }

  #onClose(): void {
    this.#closed = true;
    const cause = this.#reason() ?? unreachable(this.target, new Error('the connection is closed'));
    for (const stream of this.#streams) stream.lost(cause);
    this.#streams.clear();
    for (const listener of this.#listeners.splice(0)) listener(this.#reason());
    if (this.under && !this.#closing) void this.under.close();
  }

  /** The one place where argv becomes a command line. */
  #line(argv: readonly string[], sudo = false): string {
    return quoteArgv(sudo && this.target.user !== 'root' ? ['sudo', '-n', '--', ...argv] : argv);
  }

  async #command(line: string, signal: AbortSignal): Promise<OpenCommand> {
    const release = await this.#sessions.acquire(signal);
    try {
      const command = await this.#open(
        'a session',
        (done) => this.client.exec(line, done),
        (channel) => this.#follow(channel),
        signal,
      );
      void command.stream.gone.then(() => this.#settled()).then(release);
      return command;
    } catch (error) {
      release();
      throw error;
    }
  }

  /**
   * Resolves when the host has answered something that was sent after a channel's close. sshd takes all packets that
   * arrived before it clears closed sessions away: a new one that is asked for in the same breath as the close is one
   * too many. Its answers leave after that. Asked is to end a forward that there is none of: any server replies.
   */
  #settled(): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.clock.after(SETTLE_MS, resolve);
      const done = (): void => {
        cancel();
        resolve();
      };
      try {
        this.client.unforwardIn('127.0.0.1', 1, done);
      } catch {
        done(); // the connection is gone, and all of its sessions
      }
    });
  }

  #follow(channel: ClientChannel): OpenCommand {
    let exit: { code: number | null; signal?: string } | undefined;
    const exited = new Promise<void>((resolve) => {
      channel.once('exit', (code: number | null, name?: string) => {
        exit = { code, ...(name ? { signal: name } : {}) };
        resolve();
      });
    });
    const stream = this.#track(new ChannelStream(channel));
    return { stream, channel, exit: () => exit, ended: Promise.race([exited, stream.gone]) };
  }

  async #tunnel(what: string, start: (done: Callback) => void): Promise<Duplex> {
    const limit = deadline(this.clock, OPEN_MS);
    try {
      return await this.#open(
        what,
        start,
        (channel) => this.#track(new ChannelStream(channel)),
        limit.signal,
      );
    } catch (error) {
      throw limit.signal.aborted
        ? aborted(limit.signal.reason, `opening ${what} on ${describeTarget(this.target)}`)
        : error;
    } finally {
      limit.clear();
    }
  }

  #track(stream: ChannelStream): ChannelStream {
    this.#streams.add(stream);
    void stream.gone.then(() => this.#streams.delete(stream));
    return stream;
  }

  /**
   * Opens a channel. `use` is called in the same turn of the event loop: a quick command's exit can be in the very
   * packet that follows, and nobody would have listened.
   */
  #open<T>(
    what: string,
    start: (done: Callback) => void,
    use: (channel: ClientChannel) => T,
    signal: AbortSignal,
  ): Promise<T> {
    const opened = new Promise<T>((resolve, reject) => {
      if (this.#closed || this.#closing) {
        reject(this.#reason() ?? unreachable(this.target, new Error('the connection is closed')));
        return;
      }
      const refused = (error: Error): void =>
        reject(this.#closed ? (this.#reason() ?? error) : this.#refusal(what, error));
      try {
        start((error, channel) => {
          if (error) refused(error);
          else if (signal.aborted)
            channel.close(); // nobody waits for it any more
          else resolve(use(channel));
        });
      } catch (error) {
        // ssh2 throws when its socket ended a moment ago.
        refused(error instanceof Error ? error : new Error(String(error)));
      }
    });
    return abortable(opened, signal);
  }

  #refusal(what: string, error: Error): FlynnError {
    if (what !== 'a session') return channelRefused(this.target, what, error);
    if (!('reason' in error) || error.reason === '') return unreachable(this.target, error);
    return new FlynnError({
      code: 'refused',
      message: `${describeTarget(this.target)} did not open another session`,
      hint: 'MaxSessions in /etc/ssh/sshd_config of the host must be at least 10',
      cause: error,
    });
  }
}

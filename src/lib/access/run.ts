// Our side of a run: a job's streams joined with ours, its signals and size passed on, until it has ended.
import type { Duplex, Readable, Writable } from 'node:stream';
import { AttachExit, decodeFrames, frame, writeFrame } from '../api/attach.js';
import { errorFromBody, FlynnError, isFlynnError } from '../api/errors.js';
import type { ForwardedSignal, Interactive } from '../ui/interactive.js';
import type { Clock } from '../util/clock.js';
import { abortable, abortReason, anySignal, deadline } from '../util/signal.js';

/** What a run is attached to, and its figures in ms. */
export interface RunOptions {
  /** What is run, for messages. */
  what: string;
  /** Opens the connection; rejects with what the cluster says. */
  open(signal: AbortSignal): Promise<Duplex>;
  streams: { stdin: Readable; stdout: Writable; stderr: Writable };
  interactive: Interactive;
  /** The job has a terminal: sizes are passed on. */
  tty: boolean;
  /** Our stdin is that terminal: keys are passed on as they are. */
  raw: boolean;
  clock: Clock;
  /** Called once when the job takes its time to start. */
  onSlow?(): void;
}

/** Bounds, ms: to connect, until the job starts (its image may be large), from a signal to SIGKILL, and from there to letting go. */
const openMs = 30_000;
const startMs = 360_000;
const killMs = 10_000;
const letGoMs = 2_000;
const slowMs = 3_000;

/**
 * Runs to the end and returns how it ended. Throws what the cluster says (`no_capacity`, `conflict`, `failed`, …),
 * `unreachable` when the connection is lost (the job is ended by its host then), `timeout` when it does not start,
 * and `interrupted` when a signal came before it had started or it would not go. Nothing is left open.
 */
export async function runAttached(options: RunOptions): Promise<AttachExit> {
  return new Run(options).toEnd();
}

class Run {
  private readonly gaveUp = new AbortController();
  private readonly undo: (() => void)[] = [];
  private socket: Duplex | undefined;
  private started = false;
  private ending = false;

  constructor(private readonly options: RunOptions) {}

  async toEnd(): Promise<AttachExit> {
    const { interactive, clock, onSlow, streams } = this.options;
    this.undo.push(interactive.onSignal((signal) => this.take(signal)));
    this.undo.push(clock.after(slowMs, () => this.started || onSlow?.()));
    try {
      const socket = await this.open();
      this.undo.push(clock.after(startMs, () => this.tooLate()));
      return await abortable(this.follow(socket), this.gaveUp.signal);
    } finally {
      for (const undo of this.undo.splice(0).reverse()) undo();
      this.socket?.destroy();
      // An input that nobody reads any more would keep the process.
      streams.stdin.destroy();
    }
  }

  private async open(): Promise<Duplex> {
    const { clock, open, what } = this.options;
    const limit = deadline(clock, openMs, undefined, 'the connection');
    try {
      const socket = await open(anySignal(limit.signal, this.gaveUp.signal));
      this.socket = socket;
      // The reader of the frames sees the end; an error that nobody listens to would end the process.
      socket.on('error', () => socket.destroy());
      if (this.gaveUp.signal.aborted) throw abortReason(this.gaveUp.signal);
      return socket;
    } catch (cause) {
      if (this.gaveUp.signal.aborted) throw abortReason(this.gaveUp.signal);
      if (!limit.signal.aborted) throw cause;
      throw new FlynnError({
        code: 'timeout',
        message: `the cluster did not take the run of ${what} within ${openMs / 1000} s`,
        hint: 'flynn cluster status',
        cause,
      });
    } finally {
      limit.clear();
    }
  }

  /** Output until the job's end. Our direction stays open meanwhile: its end would say that we are gone. */
  private async follow(socket: Duplex): Promise<AttachExit> {
    const { stdout, stderr } = this.options.streams;
    try {
      for await (const { type, payload } of decodeFrames(socket as AsyncIterable<Buffer>)) {
        if (type === frame.started) this.begin(socket);
        else if (type === frame.stdout) await write(stdout, payload);
        else if (type === frame.stderr) await write(stderr, payload);
        else if (type === frame.exit) return AttachExit.parse(JSON.parse(payload.toString('utf8')));
        else if (type === frame.error) throw errorFromBody(JSON.parse(payload.toString('utf8')), 500);
      }
    } catch (error) {
      if (isFlynnError(error) || !socket.destroyed) throw error;
      throw this.lost(error);
    }
    throw this.lost(undefined);
  }

  private lost(cause: unknown): FlynnError {
    const { what } = this.options;
    return new FlynnError({
      code: 'unreachable',
      message: `the connection to ${what} was lost${this.started ? ', and its host ends it' : ' before it had started'}`,
      hint: 'flynn cluster status',
      cause,
    });
  }

  /** The job runs: from now on there is somebody to take input, sizes and signals. */
  private begin(socket: Duplex): void {
    if (this.started) return;
    this.started = true;
    const { interactive, tty, raw } = this.options;
    if (raw) {
      interactive.raw(true);
      this.undo.push(() => interactive.raw(false));
    }
    if (tty) {
      const tell = (): void => {
        const size = interactive.size();
        if (size) this.send(socket, frame.resize, size);
      };
      this.undo.push(interactive.onResize(tell));
      // It may have changed since it was told with the request.
      tell();
    }
    void this.feed(socket);
  }

  /** Our input to its end, as fast as the job reads it. Never rejects. */
  private async feed(socket: Duplex): Promise<void> {
    try {
      for await (const chunk of this.options.streams.stdin as AsyncIterable<Buffer | string>) {
        const bytes = Buffer.from(chunk);
        if (bytes.length > 0) await writeFrame(socket, frame.stdin, bytes);
      }
    } catch {
      // An input that breaks is at its end; a connection that breaks is told by whoever reads it.
    }
    this.send(socket, frame.eof, '');
  }

  /** A frame that nobody waits for; whoever reads the connection learns that it is lost. */
  private send(socket: Duplex, type: 4 | 5 | 6, payload: object | string): void {
    if (socket.destroyed) return;
    writeFrame(socket, type, payload).catch(() => undefined);
  }

  private take(signal: ForwardedSignal): void {
    const { clock, what } = this.options;
    const { socket } = this;
    if (!socket || !this.started) {
      this.letGo(`interrupted before ${what} had started`);
      return;
    }
    this.send(socket, frame.signal, { signal });
    if (this.ending) return;
    this.ending = true;
    const kill = (): void => {
      this.send(socket, frame.signal, { signal: 'SIGKILL' });
      this.undo.push(clock.after(letGoMs, () => this.letGo(`${what} did not end: its host ends it`)));
    };
    this.undo.push(clock.after(killMs, kill));
  }

  private letGo(message: string): void {
    this.gaveUp.abort(new FlynnError({ code: 'interrupted', message }));
  }

  private tooLate(): void {
    if (this.started) return;
    this.gaveUp.abort(
      new FlynnError({
        code: 'timeout',
        message: `${this.options.what} had not started after ${startMs / 1000} s`,
        hint: 'flynn cluster status',
      }),
    );
  }
}

/** Writes and waits until it is taken. Throws `interrupted` when nobody reads our output any more. */
async function write(stream: Writable, bytes: Buffer): Promise<void> {
  // An empty frame is a sign of life.
  if (bytes.length === 0) return;
  await new Promise<void>((resolve, reject) =>
    stream.write(bytes, (cause) => {
      if (!cause) return resolve();
      const message = 'nobody reads the output any more';
      reject(new FlynnError({ code: 'interrupted', message, cause }));
    }),
  );
}

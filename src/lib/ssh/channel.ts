// An SSH channel as an ordinary Duplex that always settles.
import { Duplex } from 'node:stream';
import type { ClientChannel } from 'ssh2';

const brokenPipe = (): Error =>
  Object.assign(new Error('the other side closed the channel'), { code: 'EPIPE' });

const CHUNK = 256 * 1024;

/**
 * ssh2's own Channel never calls back a write that meets a closed channel, so that a pipeline into it hangs, and its
 * destroy() marks nothing destroyed. This wrapper fails such writes with EPIPE, ends when the channel does, and
 * closes the channel when destroyed. Backpressure holds in both directions.
 */
export class ChannelStream extends Duplex {
  #pending: ((error?: Error | null) => void) | undefined;
  #closed = false;
  /** Resolves when both sides have closed the channel, or the connection was lost. */
  readonly gone: Promise<void>;
  /** Resolves when we let go of the channel before it ended by itself. */
  readonly abandoned: Promise<void>;
  #settle: () => void = () => undefined;
  #abandon: () => void = () => undefined;

  constructor(private readonly channel: ClientChannel) {
    super({ highWaterMark: CHUNK });
    this.gone = new Promise((resolve) => (this.#settle = resolve));
    this.abandoned = new Promise((resolve) => (this.#abandon = resolve));
    channel.on('data', (chunk: Buffer) => {
      if (!this.push(chunk)) channel.pause();
    });
    channel.on('end', () => this.push(null));
    channel.on('error', (error: Error) => this.destroy(error));
    channel.on('close', () => this.#onClose());
    channel.pause();
  }

  /** The connection under the channel is lost: everything that waits fails with `cause`. */
  lost(cause: Error): void {
    this.#markClosed();
    this.destroy(cause);
  }

  #onClose(): void {
    this.#markClosed();
    this.#afterReading(() => {
      this.#finishWrite(brokenPipe());
      if (!this.writableFinished) this.destroy();
    });
  }

  #markClosed(): void {
    this.#closed = true;
    this.#settle();
  }

  /** A failed write destroys a stream and what it holds: the command's last output is read before. */
  #afterReading(then: () => void): void {
    if (this.readableEnded || this.destroyed) then();
    else this.once('end', then);
  }

  #finishWrite(error?: Error | null): void {
    const done = this.#pending;
    this.#pending = undefined;
    done?.(error);
  }

  override _read(): void {
    this.channel.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (this.#closed || !this.channel.writable) {
      this.#pending = done;
      this.#afterReading(() => this.#finishWrite(brokenPipe()));
      return;
    }
    this.#pending = done;
    this.channel.write(chunk, (error) => this.#finishWrite(error));
  }

  override _final(done: (error?: Error | null) => void): void {
    if (!this.#closed) this.channel.end();
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#finishWrite(error ?? brokenPipe());
    // After both ends the host closes the channel itself, when it has told the exit code: closing first would lose it.
    const natural = this.readableEnded && this.writableFinished;
    if (!natural) this.#abandon();
    if (!natural && !this.#closed) {
      this.channel.close();
      // Unread data would keep ssh2 from reporting the close.
      this.channel.resume();
      this.channel.stderr?.resume();
    }
    done(error);
  }
}

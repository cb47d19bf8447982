// A server's SSH channel as a Duplex that always settles and that node's HTTP server takes for a socket.
import { Duplex } from 'node:stream';
import type { ServerChannel } from 'ssh2';

const gone = (): Error => Object.assign(new Error('the client closed the channel'), { code: 'ECONNRESET' });

/**
 * ssh2's channel leaves a write that meets a closed channel waiting for ever; this one fails it. Backpressure holds
 * in both directions. The methods of a socket that a channel has no use for do nothing.
 */
export class ChannelSocket extends Duplex {
  #pending: ((error?: Error | null) => void) | undefined;
  #closed = false;

  constructor(
    private readonly channel: ServerChannel,
    readonly remoteAddress: string,
  ) {
    super({ allowHalfOpen: true });
    channel.on('data', (chunk: Buffer) => {
      if (!this.push(chunk)) channel.pause();
    });
    channel.on('end', () => this.push(null));
    channel.on('error', (error: Error) => this.destroy(error));
    channel.on('close', () => {
      this.#closed = true;
      this.#settle(gone());
      this.destroy();
    });
    channel.pause();
  }

  #settle(error?: Error | null): void {
    const done = this.#pending;
    this.#pending = undefined;
    done?.(error);
  }

  override _read(): void {
    this.channel.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (this.#closed || !this.channel.writable) return done(gone());
    this.#pending = done;
    this.channel.write(chunk, (error) => this.#settle(error));
  }

  override _final(done: (error?: Error | null) => void): void {
    if (!this.#closed) {
      this.channel.exit(0);
      this.channel.end();
    }
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#settle(error ?? gone());
    if (!this.#closed) this.channel.close();
    done(error);
  }

  setKeepAlive(): this {
    return this;
  }
  setNoDelay(): this {
    return this;
  }
  setTimeout(): this {
    return this;
  }
  ref(): this {
    return this;
  }
  unref(): this {
    return this;
  }
  destroySoon(): void {
    if (this.writable) this.end(() => this.destroy());
    else this.destroy();
  }
}

// The attached side of an attach: its frames in, frames out, and whether it is still there.
import type { Duplex } from 'node:stream';
import {
  decodeFrames,
  frame,
  Resize,
  Signal,
  writeFrame,
  type Frame,
  type FrameType,
} from '../../api/attach.js';
import { FlynnError } from '../../api/errors.js';
import { codedError } from '../../appliance/server.js';
import type { Clock } from '../../util/clock.js';

/** Where the attached side's frames go. */
export interface PeerSink {
  /** Resolves when the data was taken: nothing more is read before. */
  stdin(data: Buffer): Promise<void>;
  eof(): void;
  resize(columns: number, rows: number): void;
  signal(name: string): void;
}

/** Takes everything and does nothing: for jobs that have no input, or none any more. */
export const deafSink: PeerSink = {
  stdin: () => Promise.resolve(),
  eof: () => undefined,
  resize: () => undefined,
  signal: () => undefined,
};

/** Time (ms) an ended connection has to be closed by the other side. */
const lingerMs = 5_000;
/** While input is stuck nothing is read, and a peer that left would not be noticed: something is sent this often, ms. */
const probeMs = 5_000;
const keepAliveMs = 5_000;

/** The connection of one attach. Its end, or a frame that makes no sense, is the peer's leaving. */
export class AttachPeer {
  private readonly left = new AbortController();
  private readonly connected: Promise<void>;
  private connect_: () => void = () => undefined;
  private sink: PeerSink | undefined;
  private size: { columns: number; rows: number } | undefined;
  private stuck = false;
  private readonly stopProbing: () => void;

  constructor(
    private readonly socket: Duplex,
    private readonly clock: Clock,
  ) {
    this.connected = new Promise((resolve) => (this.connect_ = resolve));
    if ('setKeepAlive' in socket && typeof socket.setKeepAlive === 'function') {
      socket.setKeepAlive(true, keepAliveMs);
    }
    socket.on('error', (error) => this.left.abort(error));
    socket.once('close', () => this.leave());
    this.stopProbing = clock.every(probeMs, () => {
      if (this.stuck && socket.writable) void this.send(frame.stdout, '').catch(() => this.leave());
    });
    void this.read();
  }

  /** Aborted when the peer is gone; with a FlynnError as its reason when that can be told to it. */
  get gone(): AbortSignal {
    return this.left.signal;
  }

  /** From now on frames go there; a size that was told before goes first. Input has waited for this. */
  connect(sink: PeerSink): void {
    this.sink = sink;
    if (this.size) sink.resize(this.size.columns, this.size.rows);
    this.connect_();
  }

  /** Sends a frame; resolves when it was taken, rejects when the peer is gone. */
  send(type: FrameType, payload: Buffer | string | object = ''): Promise<void> {
    return writeFrame(this.socket, type, payload);
  }

  /** Sends a last frame and ends the connection. What still comes in is read and dropped: a reset would lose the frame. */
  async end(type: FrameType, payload: object): Promise<void> {
    this.connect(deafSink);
    const cancel = this.clock.after(lingerMs, () => this.socket.destroy());
    this.socket.once('close', cancel);
    if (this.socket.closed) cancel();
    try {
      await this.send(type, payload);
      this.socket.end();
    } catch (error) {
      this.left.abort(error);
      this.socket.destroy();
    }
  }

  private leave(): void {
    this.stopProbing();
    this.left.abort(new FlynnError({ code: 'unreachable', message: 'the attached side is gone' }));
  }

  private async read(): Promise<void> {
    try {
      const chunks = { [Symbol.asyncIterator]: () => this.socket.iterator({ destroyOnReturn: false }) };
      for await (const one of decodeFrames(chunks)) await this.take(one);
      this.leave();
    } catch (error) {
      this.left.abort(codedError(error));
      // Whatever follows a frame that makes no sense makes none either.
      this.socket.resume();
    }
  }

  private async take({ type, payload }: Frame): Promise<void> {
    if (type === frame.resize) {
      this.size = Resize.parse(JSON.parse(payload.toString('utf8')));
      this.sink?.resize(this.size.columns, this.size.rows);
      return;
    }
    // A signal or input for a job that is not there yet waits, and the connection with it.
    await this.connected;
    if (type === frame.stdin) await this.input(payload);
    else if (type === frame.eof) this.sink?.eof();
    else if (type === frame.signal)
      this.sink?.signal(Signal.parse(JSON.parse(payload.toString('utf8'))).signal);
    else
      throw new FlynnError({
        code: 'invalid',
        message: `an attached side may not send frames of type ${type}`,
      });
  }

  private async input(data: Buffer): Promise<void> {
    this.stuck = true;
    try {
      await this.sink?.stdin(data);
    } finally {
      this.stuck = false;
    }
  }
}

/** Carries one stream of output, reading no faster than the peer takes it. */
export const pump = async (
  source: AsyncIterable<Buffer>,
  peer: AttachPeer,
  type: typeof frame.stdout | typeof frame.stderr,
): Promise<void> => {
  for await (const chunk of source) await peer.send(type, chunk);
};

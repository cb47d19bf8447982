// One container of the fake engine: its state, its output, who listens to it.
import { PassThrough, Readable, Writable } from 'node:stream';
import type {
  Attachment,
  ContainerInfo,
  ContainerSpec,
  LogLine,
  WaitResult,
} from '../../src/lib/docker/index.js';
import { FlynnError } from '../../src/lib/api/errors.js';

/** What a program may do; it runs from the container's start. */
export interface ProgramIo {
  readonly spec: ContainerSpec;
  readonly stdin: Readable;
  /** Writes text; whole lines go to the log. */
  out(text: string): void;
  err(text: string): void;
  /** Ends the container. */
  exit(code: number): void;
  /** Called for every signal but SIGKILL; without a handler SIGTERM and SIGINT end the program. */
  onSignal(handler: (signal: string) => void): void;
}

/** Stands in for what an image runs. */
export type Program = (io: ProgramIo) => void;

const NUMBERS: Record<string, number> = { SIGHUP: 1, SIGINT: 2, SIGQUIT: 3, SIGKILL: 9, SIGTERM: 15 };

/** Exit code of a process that a signal ended. */
export const signalExit = (signal: string): number => 128 + (NUMBERS[signal] ?? 15);

type Stream = 'stdout' | 'stderr';

/** A container. The engine changes it; tests look at it. */
export class FakeContainer {
  readonly log: LogLine[] = [];
  readonly #partial: Record<Stream, string> = { stdout: '', stderr: '' };
  readonly #attachments = new Set<{ stdout: PassThrough; stderr: PassThrough; end(): void }>();
  readonly #watchers = new Set<() => void>();
  #stdin = new PassThrough();
  #onSignal: ((signal: string) => void) | undefined;
  /** Terminal sizes that were asked for, as `COLSxROWS`. */
  readonly sizes: string[] = [];
  /** Signals that arrived, in order. */
  readonly signals: string[] = [];

  constructor(
    readonly spec: ContainerSpec,
    readonly info: ContainerInfo,
    private readonly now: () => number,
  ) {}

  get running(): boolean {
    return this.info.state === 'running' || this.info.state === 'paused';
  }

  /** Starts a program; `onExit` is told its code. */
  run(program: Program | undefined, onExit: (code: number) => void): void {
    let ended = false;
    const exit = (code: number): void => {
      if (ended) return;
      ended = true;
      onExit(code);
    };
    this.#onSignal = (signal) => exit(signalExit(signal));
    program?.({
      spec: this.spec,
      stdin: this.#stdin,
      out: (text) => this.write('stdout', text),
      err: (text) => this.write('stderr', text),
      exit,
      onSignal: (handler) => (this.#onSignal = handler),
    });
  }

  signal(name: string): void {
    this.signals.push(name);
    this.#onSignal?.(name);
  }

  write(stream: Stream, text: string): void {
    for (const attachment of this.#attachments) attachment[this.spec.tty ? 'stdout' : stream].write(text);
    const lines = (this.#partial[stream] + text).split('\n');
    this.#partial[stream] = lines.pop() ?? '';
    for (const line of lines) this.#line(stream, line);
    this.changed();
  }

  /** The program is gone: what hangs on its streams ends. */
  ended(): void {
    for (const stream of ['stdout', 'stderr'] as const) {
      if (this.#partial[stream] !== '') this.#line(stream, this.#partial[stream]);
      this.#partial[stream] = '';
    }
    for (const attachment of this.#attachments) attachment.end();
    this.#attachments.clear();
    this.#stdin = new PassThrough();
    this.changed();
  }

  #line(stream: Stream, line: string): void {
    const ts = `${new Date(this.now()).toISOString().slice(0, -1)}000000Z`;
    this.log.push({ stream: this.spec.tty ? 'stdout' : stream, line, ts });
  }

  /** Wakes everybody who waits for a change of state or output. */
  changed(): void {
    for (const wake of [...this.#watchers]) wake();
  }

  /** Resolves at the next change; rejects with the signal's reason. */
  change(signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const done = (finish: () => void): void => {
        this.#watchers.delete(wake);
        signal?.removeEventListener('abort', onAbort);
        finish();
      };
      const wake = (): void => done(resolve);
      const onAbort = (): void => done(() => reject(signal?.reason as Error));
      if (signal?.aborted) return onAbort();
      this.#watchers.add(wake);
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  /** Waits for an end. `next-exit` waits for one that has not happened yet. */
  async wait(nextExit: boolean, signal?: AbortSignal): Promise<WaitResult> {
    const before = this.info.finishedAt;
    const stopped = (): boolean => !this.running && (!nextExit || this.info.finishedAt !== before);
    while (!stopped()) await this.change(signal);
    return { exitCode: this.info.exitCode };
  }

  attach(): Attachment {
    const stdout = new PassThrough();
    const stderr = new PassThrough();
    const target = this.#stdin;
    let settle: () => void = () => undefined;
    const closed = new Promise<void>((resolve) => (settle = resolve));
    const attachment = {
      stdout,
      stderr,
      end: (): void => {
        stdout.end();
        stderr.end();
        settle();
      },
    };
    this.#attachments.add(attachment);
    const stdin = new Writable({
      write: (chunk, encoding, done) => void target.write(chunk, encoding, () => done()),
      final: (done) => {
        target.end();
        done();
      },
    });
    const resize = async (cols: number, rows: number): Promise<void> => {
      if (!this.spec.tty)
        throw new FlynnError({ code: 'conflict', message: `${this.info.name} has no terminal to resize` });
      this.sizes.push(`${cols}x${rows}`);
    };
    const detach = (): void => {
      this.#attachments.delete(attachment);
      attachment.end();
    };
    return { stdin, stdout, stderr, closed, resize, detach };
  }
}

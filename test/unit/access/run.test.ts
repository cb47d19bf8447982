// A run from our side: frames to our streams and back, signals, sizes, and every way that it can end.
import { duplexPair, PassThrough, Readable, Writable, type Duplex } from 'node:stream';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { guardRunWords } from '../../../bin/argv.js';
import { decodeFrames, frame, writeFrame, type Frame, type FrameType } from '../../../src/lib/api/attach.js';
import { FlynnError } from '../../../src/lib/api/errors.js';
import { runAttached } from '../../../src/lib/access/run.js';
import { runRequest } from '../../../src/lib/access/run-request.js';
import type { ForwardedSignal, Interactive } from '../../../src/lib/ui/interactive.js';
import { fakeClock, type FakeClock } from '../../fakes/clock.js';

const until = (holds: () => boolean): Promise<void> =>
  vi.waitFor(() => expect(holds()).toBe(true), { interval: 2, timeout: 2_000 });

/** The cluster's end of the connection: what came in, and what it says. */
class FakeJob {
  readonly taken: Frame[] = [];
  ended = false;

  constructor(
    readonly socket: Duplex,
    reads: boolean,
  ) {
    socket.on('error', () => undefined);
    if (reads) void this.read();
  }

  say(type: FrameType, payload: Buffer | string | object = ''): Promise<void> {
    return writeFrame(this.socket, type, payload);
  }

  /** Input so far, as text. */
  get input(): string {
    return this.of(frame.stdin)
      .map(({ payload }) => payload.toString('utf8'))
      .join('');
  }

  of(type: FrameType): Frame[] {
    return this.taken.filter((one) => one.type === type);
  }

  private async read(): Promise<void> {
    try {
      for await (const one of decodeFrames(this.socket as AsyncIterable<Buffer>)) this.taken.push(one);
    } catch {
      // Cut off: that is how some of the tests end it.
    }
    this.ended = true;
  }
}

class FakeTerminal implements Interactive {
  isRaw = false;
  columns = 80;
  readonly signals = new Set<(signal: ForwardedSignal) => void>();
  readonly resizes = new Set<() => void>();
  raw(on: boolean): void {
    this.isRaw = on;
  }
  size(): { columns: number; rows: number } {
    return { columns: this.columns, rows: 24 };
  }
  onResize(fn: () => void): () => void {
    this.resizes.add(fn);
    return () => this.resizes.delete(fn);
  }
  onSignal(fn: (signal: ForwardedSignal) => void): () => void {
    this.signals.add(fn);
    return () => this.signals.delete(fn);
  }
  send(signal: ForwardedSignal): void {
    for (const fn of this.signals) fn(signal);
  }
}

function collect(): { stream: Writable; text(): string } {
  const chunks: Buffer[] = [];
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(Buffer.from(chunk));
      setImmediate(done);
    },
  });
  return { stream, text: () => Buffer.concat(chunks).toString('utf8') };
}

interface Setup {
  clock: FakeClock;
  terminal: FakeTerminal;
  stdin: PassThrough;
  stdout: ReturnType<typeof collect>;
  stderr: ReturnType<typeof collect>;
  job: FakeJob;
  ours: Duplex;
  slow: () => number;
  done: ReturnType<typeof runAttached>;
}

const open: Setup[] = [];
function given({
  tty = false,
  reads = true,
  input,
}: { tty?: boolean; reads?: boolean; input?: Readable } = {}): Setup {
  const [ours, theirs] = duplexPair();
  const clock = fakeClock();
  const terminal = new FakeTerminal();
  const stdin = new PassThrough();
  const [stdout, stderr] = [collect(), collect()];
  let slow = 0;
  const done = runAttached({
    what: 'sh of hello',
    open: () => Promise.resolve(ours),
    streams: { stdin: input ?? stdin, stdout: stdout.stream, stderr: stderr.stream },
    interactive: terminal,
    tty,
    raw: tty,
    clock,
    onSlow: () => (slow += 1),
  });
  done.catch(() => undefined);
  const setup = {
    clock,
    terminal,
    stdin,
    stdout,
    stderr,
    job: new FakeJob(theirs, reads),
    ours,
    slow: () => slow,
    done,
  };
  open.push(setup);
  return setup;
}

afterEach(() => {
  for (const { job } of open.splice(0)) job.socket.destroy();
});

describe('the streams of a run', () => {
  it('given output on both, when the job ends, then each went its way and the code is the job’s', async () => {
    const { job, done, stdout, stderr, stdin } = given();
    await job.say(frame.started, {});
    await job.say(frame.stdout, 'to out\n');
    await job.say(frame.stdout, '');
    await job.say(frame.stderr, 'to err\n');
    await job.say(frame.exit, { code: 3 });
    expect(await done).toEqual({ code: 3 });
    expect(stdout.text()).toBe('to out\n');
    expect(stderr.text()).toBe('to err\n');
    expect(stdin.destroyed).toBe(true);
  });

  it('given input that ends, when the job runs on, then it gets the end and our side of the connection stays open', async () => {
    const { job, done, stdin } = given();
    stdin.end('hi\n');
    await new Promise((resolve) => setImmediate(resolve));
    expect(job.taken).toEqual([]);
    await job.say(frame.started, {});
    await until(() => job.of(frame.eof).length === 1);
    expect(job.input).toBe('hi\n');
    expect(job.ended).toBe(false);
    await job.say(frame.stdout, 'late');
    await job.say(frame.exit, { code: 0 });
    expect(await done).toEqual({ code: 0 });
  });

  it('given endless input, when the job reads none of it, then only what buffers hold is taken', async () => {
    let produced = 0;
    const input = new Readable({
      read() {
        produced += 16_384;
        setImmediate(() => this.push(Buffer.alloc(16_384)));
      },
    });
    const { job, done } = given({ reads: false, input });
    await job.say(frame.started, {});
    await until(() => produced > 0);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(produced).toBeLessThan(512 * 1024);
    await job.say(frame.exit, { code: 0 });
    expect(await done).toEqual({ code: 0 });
    expect(input.destroyed).toBe(true);
  });
});

describe('a run with a terminal', () => {
  it('given keys and a new size, when it runs, then they are passed on, and the terminal is given back at the end', async () => {
    const { job, done, terminal, stdin } = given({ tty: true });
    expect(terminal.isRaw).toBe(false);
    await job.say(frame.started, {});
    await until(() => terminal.isRaw);
    stdin.write('\u0003');
    terminal.columns = 132;
    for (const fn of terminal.resizes) fn();
    await until(() => job.of(frame.resize).length === 2 && job.input === '\u0003');
    expect(JSON.parse(job.of(frame.resize)[1]!.payload.toString())).toEqual({ columns: 132, rows: 24 });
    await job.say(frame.exit, { code: 0 });
    await done;
    expect(terminal.isRaw).toBe(false);
    expect(terminal.resizes.size + terminal.signals.size).toBe(0);
  });
});

describe('signals', () => {
  const sent = (job: FakeJob): string[] =>
    job.of(frame.signal).map(({ payload }) => (JSON.parse(payload.toString()) as { signal: string }).signal);

  it('given a job that minds them, when one comes, then it is passed on and its code is ours', async () => {
    const { job, done, terminal, clock } = given();
    await job.say(frame.started, {});
    await until(() => terminal.signals.size > 0 && job.taken.length === 0);
    await clock.settle();
    terminal.send('SIGINT');
    await until(() => sent(job).length === 1);
    await job.say(frame.exit, { code: 130, reason: 'ended by SIGINT' });
    expect(await done).toEqual({ code: 130, reason: 'ended by SIGINT' });
    expect(sent(job)).toEqual(['SIGINT']);
    expect(clock.pending).toBe(0);
  });

  it('given a job that ignores them, when 10 s have passed, then it is killed, and let go of when that does not help', async () => {
    const { job, done, terminal, clock, ours } = given();
    await job.say(frame.started, {});
    await clock.settle();
    terminal.send('SIGTERM');
    terminal.send('SIGTERM');
    await clock.advance(9_900);
    expect(sent(job)).toEqual(['SIGTERM', 'SIGTERM']);
    await clock.advance(200);
    await until(() => sent(job).length === 3);
    expect(sent(job)[2]).toBe('SIGKILL');
    await clock.advance(2_100);
    await expect(done).rejects.toMatchObject({ code: 'interrupted' });
    expect(ours.destroyed).toBe(true);
  });

  it('given a job that has not started, when one comes, then we go at once', async () => {
    const { done, terminal, ours } = given();
    await new Promise((resolve) => setImmediate(resolve));
    terminal.send('SIGINT');
    await expect(done).rejects.toMatchObject({ code: 'interrupted' });
    expect(ours.destroyed).toBe(true);
  });
});

describe('a run that fails', () => {
  it('given an error of the cluster, when it arrives, then it is thrown with its code and hint', async () => {
    const { job, done } = given();
    await job.say(frame.error, {
      code: 'no_capacity',
      message: 'no host has 512 MiB',
      hint: 'flynn cluster status',
    });
    await expect(done).rejects.toMatchObject({ code: 'no_capacity', hint: 'flynn cluster status' });
  });

  it('given a connection that ends or breaks, when the job has not ended, then it is unreachable and not a success', async () => {
    const first = given();
    await first.job.say(frame.started, {});
    first.job.socket.end();
    await expect(first.done).rejects.toMatchObject({ code: 'unreachable' });
    const second = given();
    await second.job.say(frame.started, {});
    second.ours.destroy(new Error('reset'));
    await expect(second.done).rejects.toMatchObject({ code: 'unreachable' });
  });

  it('given a job that never starts, when its time is up, then it says so; before, that it waits', async () => {
    const { done, clock, slow } = given();
    await clock.settle();
    await clock.advance(3_100);
    expect(slow()).toBe(1);
    await clock.advance(360_000);
    await expect(done).rejects.toMatchObject({ code: 'timeout' });
  });

  it('given a cluster that does not answer, when 30 s have passed, then it is a timeout and not an interruption', async () => {
    const clock = fakeClock();
    const done = runAttached({
      what: 'sh of hello',
      open: (signal) =>
        new Promise((_resolve, reject) =>
          signal.addEventListener('abort', () =>
            reject(new FlynnError({ code: 'interrupted', message: 'cut off' })),
          ),
        ),
      streams: { stdin: new PassThrough(), stdout: new PassThrough(), stderr: new PassThrough() },
      interactive: new FakeTerminal(),
      tty: false,
      raw: false,
      clock,
    });
    done.catch(() => undefined);
    await clock.advance(30_100);
    await expect(done).rejects.toMatchObject({ code: 'timeout' });
  });
});

describe('the words of a run', () => {
  it.each([
    [
      ['run', 'ls', '-la'],
      ['run', '--', 'ls', '-la'],
    ],
    [
      ['run', '--', 'ls', '-la'],
      ['run', '--', 'ls', '-la'],
    ],
    [
      ['run', '-a', 'x', 'sh', '-c', 'exit 3'],
      ['run', '-a', 'x', '--', 'sh', '-c', 'exit 3'],
    ],
    [
      ['run', '--no-tty', '-e', 'A=1', '--app=x', 'ls', '--help'],
      ['run', '--no-tty', '-e', 'A=1', '--app=x', '--', 'ls', '--help'],
    ],
    [
      ['run', '-ax', 'a', '--', 'a'],
      ['run', '-ax', '--', 'a', '--', 'a'],
    ],
    [
      ['run', '--help'],
      ['run', '--help'],
    ],
    [['run'], ['run']],
    [
      ['ps', 'run', 'x'],
      ['ps', 'run', 'x'],
    ],
  ])('given %j, when guarded, then it is %j', (typed, meant) => {
    expect(guardRunWords(typed)).toEqual(meant);
  });

  it('given variables and a terminal, when asked for, then the request carries them; without a terminal no size', async () => {
    const size = { columns: 80, rows: 24 };
    expect(await runRequest({ words: ['sh'], env: ['A=1=2'], tty: true, size, term: 'xterm' })).toEqual({
      args: ['sh'],
      tty: true,
      size,
      env: { TERM: 'xterm', A: '1=2' },
    });
    const plain = await runRequest({ words: ['sh'], env: [], tty: false, size, term: 'xterm' });
    expect(plain).toEqual({ args: ['sh'], tty: false, env: {} });
  });

  it('given no command, a bad variable or too much of it, when asked for, then it is refused before any call', async () => {
    const typed = { env: [], tty: false };
    await expect(runRequest({ ...typed, words: [] })).rejects.toMatchObject({ code: 'usage' });
    await expect(runRequest({ ...typed, words: ['ls'], env: ['A=-'] })).rejects.toMatchObject({
      code: 'usage',
    });
    await expect(runRequest({ ...typed, words: ['ls'], env: ['A'] })).rejects.toMatchObject({
      code: 'usage',
    });
    const words = ['ls', ...Array.from({ length: 5 }, () => 'x'.repeat(4_000))];
    await expect(runRequest({ ...typed, words })).rejects.toMatchObject({ code: 'too_large' });
  });
});

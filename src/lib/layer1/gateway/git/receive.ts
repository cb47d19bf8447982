// One `git receive-pack` on one channel: bytes both ways under a limit, the hook's socket beside them, an end in order.
import { spawn, type ChildProcess } from 'node:child_process';
import { Transform, type Duplex, type Readable, type Writable } from 'node:stream';
import type { ServerChannel } from 'ssh2';
import type { Clock } from '../../../util/clock.js';
import { HookTalk, hookDescriptor } from './hook.js';
import { gitEnv, gitSettings } from './run.js';

/** Time between asking git to end and ending it, ms. */
const killMs = 2_000;
/** What the protocol adds to the objects themselves, bytes. */
const slackBytes = 256 * 1024;

/** What receiving needs. */
export interface ReceiveOptions {
  channel: ServerChannel;
  repo: string;
  hooks: string;
  /** Bytes of objects that one push may bring. */
  maxBytes: number;
  clock: Pick<Clock, 'after'>;
  /** Ends git when aborted. */
  signal: AbortSignal;
  /** Called once when the push brings more than it may: git is being ended. */
  onTooLarge(): void;
  /** Called once when git has ended, for whatever still waits for something else. */
  onEnd(): void;
  /** Talks with the hook; called at once, whether a hook will run or not. */
  converse(hook: HookTalk): Promise<void>;
}

/** Runs git to its end; resolves with its exit code, 1 when a signal ended it. Does not end the channel. */
export async function receive(options: ReceiveOptions): Promise<number> {
  const { channel, signal } = options;
  const child = spawn(
    'git',
    [
      ...gitSettings([
        `core.hooksPath=${options.hooks}`,
        `receive.maxInputSize=${options.maxBytes + slackBytes}`,
      ]),
      'receive-pack',
      options.repo,
    ],
    {
      cwd: options.repo,
      env: gitEnv(),
      // A group of its own: the programs that git starts end with it.
      detached: true,
      stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
    },
  );
  const [stdin, stdout, stderr] = [
    child.stdin as Writable,
    child.stdout as Readable,
    child.stderr as Readable,
  ];
  const ended = new Promise<number>((resolve, reject) => {
    child.once('close', (code) => {
      resolve(code ?? 1);
      options.onEnd();
    });
    child.once('error', reject);
  });
  const stopChild = (): void => stop(child, options.clock);
  signal.addEventListener('abort', stopChild, { once: true });
  if (signal.aborted) stopChild();

  const meter = meterOf(options.maxBytes + slackBytes, () => {
    options.onTooLarge();
    stopChild();
  });
  stdin.on('error', () => {
    // git reads no more: what the client still sends must not block the channel.
    meter.unpipe(stdin);
    meter.resume();
  });
  channel.pipe(meter).pipe(stdin);
  // ssh2 sends the exit code only before the channel's end: git's end of output is not the channel's.
  stdout.pipe(channel, { end: false });
  stderr.pipe(channel.stderr, { end: false });
  const hook = new HookTalk(child.stdio[hookDescriptor] as Duplex);
  try {
    const [code] = await Promise.all([ended, options.converse(hook)]);
    return code;
  } finally {
    signal.removeEventListener('abort', stopChild);
    channel.unpipe(meter);
    channel.resume();
  }
}

function stop(child: ChildProcess, clock: Pick<Clock, 'after'>): void {
  signalGroup(child, 'SIGTERM');
  const cancel = clock.after(killMs, () => signalGroup(child, 'SIGKILL'));
  child.once('close', cancel);
}

function signalGroup(child: ChildProcess, name: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, name);
  } catch (error) {
    // ESRCH: the group is gone already, which is what we want.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Passes bytes on until there were too many, then swallows them. */
function meterOf(max: number, exceeded: () => void): Transform {
  let total = 0;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      const before = total;
      total += chunk.length;
      if (total > max) {
        if (before <= max) exceeded();
        return done();
      }
      done(null, chunk);
    },
  });
}

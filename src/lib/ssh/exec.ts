// One remote command from start to end: input, bounded output, exit code, deadline.
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ClientChannel } from 'ssh2';
import { FlynnError } from '../api/errors.js';
import type { Clock } from '../util/clock.js';
import { abortable, deadline } from '../util/signal.js';
import { BoundedText, LineSplitter } from './collect.js';
import type { ChannelStream } from './channel.js';
import { aborted, unreachable } from './errors.js';
import type { ExecOptions, ExecResult, SshTarget } from './port.js';
import { describeTarget } from './target.js';

/** Default bound of a command in ms, and of its kept output per stream in bytes. */
const TIMEOUT_MS = 120_000;
const MAX_OUTPUT = 4 * 1024 * 1024;
/** A background process that keeps the streams open must not hold us after the command's own exit: silence ends it. */
const LINGER_MS = 2_000;

/** A command's channel, and how the command ended. */
export interface OpenCommand {
  stream: ChannelStream;
  channel: ClientChannel;
  /** Undefined until the host reported the exit. */
  exit(): { code: number | null; signal?: string } | undefined;
  /** Resolves when the exit is known or the channel is gone. */
  ended: Promise<void>;
}

/**
 * Words before a command that end it on the host soon after our deadline. Closing a channel ends no process, sshd
 * passes no signals to root's, and a process that stays keeps one of sshd's sessions.
 */
export const remoteLimit = (timeoutMs = TIMEOUT_MS): string[] => [
  'timeout',
  '-k',
  '5',
  String(Math.ceil(timeoutMs / 1000) + 2),
];

/** The command line in messages, cut to a readable length. */
export const shorten = (line: string): string => (line.length > 80 ? `${line.slice(0, 77)}…` : line);

const feed = async (stream: ChannelStream, input: ExecOptions['input']): Promise<void> => {
  if (!(input instanceof Readable)) {
    stream.end(input);
    return;
  }
  let sourceError: unknown;
  input.once('error', (error) => (sourceError = error));
  try {
    await pipeline(input, stream);
  } catch (error) {
    // A command may stop reading before the input ends: its exit code says what that means. A broken source is ours to tell.
    if (sourceError !== undefined) throw sourceError;
    if (!(error instanceof Error && 'code' in error)) throw error;
  }
};

/**
 * Runs an opened command to its end. Throws `timeout` at the deadline, `unreachable` when the connection goes, the
 * signal's reason when aborted, and what the input stream throws.
 */
export const runCommand = async (
  open: (signal: AbortSignal) => Promise<OpenCommand>,
  what: { target: SshTarget; line: string; clock: Clock },
  opts: ExecOptions,
): Promise<ExecResult> => {
  const ms = opts.timeoutMs ?? TIMEOUT_MS;
  const name = `'${shorten(what.line)}' on ${describeTarget(what.target)}`;
  const limit = deadline(what.clock, ms, opts.signal, name);
  let command: OpenCommand | undefined;
  const stop = (): void => {
    if (!command) return;
    command.channel.signal('TERM');
    command.stream.destroy();
  };
  limit.signal.addEventListener('abort', stop, { once: true });
  try {
    command = await open(limit.signal);
    const result = await abortable(gather(command, what.clock, opts), limit.signal);
    if (result) return result;
    throw unreachable(what.target, new Error(`the connection was lost while ${name} ran`));
  } catch (error) {
    if (!limit.signal.aborted) throw error;
    const reason = aborted(limit.signal.reason, name);
    if (!(reason instanceof FlynnError)) throw reason;
    throw new FlynnError({
      code: reason.code,
      message: `${name} did not end within ${ms / 1000} s`,
      cause: limit.signal.reason,
    });
  } finally {
    limit.signal.removeEventListener('abort', stop);
    limit.clear();
    command?.stream.destroy();
  }
};

const gather = async (
  command: OpenCommand,
  clock: Clock,
  opts: ExecOptions,
): Promise<ExecResult | undefined> => {
  const { stream, channel } = command;
  const kept = {
    stdout: new BoundedText(opts.maxOutput ?? MAX_OUTPUT),
    stderr: new BoundedText(opts.maxOutput ?? MAX_OUTPUT),
  };
  const splitters: LineSplitter[] = [];
  let seen = 0;
  const follow = (source: Readable, text: BoundedText, onLine?: (line: string) => void): void => {
    const lines = onLine ? new LineSplitter(onLine) : undefined;
    if (lines) splitters.push(lines);
    source.on('data', (chunk: Buffer) => {
      seen += 1;
      text.add(chunk);
      lines?.add(chunk);
    });
  };
  stream.on('error', () => undefined); // told by exit() being undefined
  follow(stream, kept.stdout, opts.onStdout);
  follow(channel.stderr, kept.stderr, opts.onStderr);
  const fed = feed(stream, opts.input);
  // A failing input must end the wait for the command's exit.
  const inputFailed = new Promise<never>((_, reject) => fed.catch(reject));
  await Promise.race([command.ended, inputFailed]);
  for (let before = -1; before !== seen;) {
    before = seen;
    if (await closedWithin(stream.gone, clock, LINGER_MS)) break;
  }
  for (const lines of splitters) lines.end();
  const exit = command.exit();
  if (!exit) return undefined;
  return {
    ...exit,
    stdout: kept.stdout.toString(),
    stderr: kept.stderr.toString(),
    ...(kept.stdout.truncated || kept.stderr.truncated ? { truncated: true } : {}),
  };
};

const closedWithin = (closed: Promise<void>, clock: Clock, ms: number): Promise<boolean> =>
  new Promise((resolve) => {
    const cancel = clock.after(ms, () => resolve(false));
    void closed.then(() => {
      cancel();
      resolve(true);
    });
  });

// Attaching to a one-off job over its agent, which starts it then: no byte of its output is lost.
import type { Duplex } from 'node:stream';
import { decodeFrames, frame, writeFrame, type Frame, type FrameType } from '../../api/attach.js';
import { errorFromBody, FlynnError, isFlynnError } from '../../api/errors.js';
import type { HttpClient } from '../../api/http.js';
import { keys } from '../../api/keys.js';
import type { Clock } from '../../util/clock.js';
import { backoff } from '../../util/retry.js';
import type { Rng } from '../../util/rng.js';
import { abortable, abortReason, deadline } from '../../util/signal.js';
import type { AttachedJob } from '../builder/build.js';
import type { PlacedJob } from './schedulers/oneoff.js';
import type { Picture } from './state.js';

/** What attaching needs. */
export interface AttachPorts {
  /** The agent at an address. */
  agent(address: string): Pick<HttpClient, 'upgrade'>;
  picture: Picture;
  clock: Clock;
  rng: Rng;
}

/** Bounds, ms: for the job to start, the same while its image is being pulled, for one call; and between looks at it. */
const limits = { readyMs: 60_000, pullMs: 300_000, callMs: 30_000, lookMs: 1_000 } as const;
const pauses = { base: 50, max: 1_000 } as const;

/** A job that is attached to; frames of every kind can be sent to it. */
export class RunningJob implements AttachedJob {
  private closed = false;

  constructor(
    readonly job: string,
    readonly host: string,
    readonly frames: AsyncIterable<Frame>,
    private readonly socket: Duplex,
    private readonly onClose: () => void,
  ) {}

  send(type: FrameType, payload: Buffer | object = Buffer.alloc(0)): Promise<void> {
    return writeFrame(this.socket, type, payload);
  }

  write(chunk: Buffer): Promise<void> {
    return this.send(frame.stdin, chunk);
  }

  end(): Promise<void> {
    return this.send(frame.eof);
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.socket.destroy();
    this.onClose();
  }
}

/** Frames until the connection ends, however it does: whoever reads misses the `exit` frame then. */
async function* framesOf(socket: Duplex): AsyncGenerator<Frame> {
  try {
    yield* decodeFrames(socket as AsyncIterable<Buffer>);
  } catch (error) {
    if (isFlynnError(error)) throw error;
  }
}

/** All frames again, when the first one was taken off to be looked at. */
async function* withFirst(first: Frame, rest: AsyncGenerator<Frame>): AsyncGenerator<Frame> {
  yield first;
  yield* rest;
}

/**
 * Attaches; resolves when the job has started, or is over already. Asks again while the agent does not know the job or
 * has no container for it: 60 s, or 5 min while its image is on the way. Throws what the agent says (`failed` when the
 * job cannot start), `timeout` or `unreachable` when the time is up, and the reason of the signal.
 */
export async function attachJob(
  ports: AttachPorts,
  placed: PlacedJob,
  onClose: () => void,
  signal: AbortSignal,
): Promise<RunningJob> {
  const { clock, rng } = ports;
  const began = clock.mono();
  const client = ports.agent(placed.address);
  const timeIsUp = (): { limitMs: number; pulling: boolean } | undefined => {
    const pulling = checkStatus(ports.picture, placed);
    const limitMs = pulling ? limits.pullMs : limits.readyMs;
    return clock.mono() - began >= limitMs ? { limitMs, pulling } : undefined;
  };
  for (let attempt = 1; ; attempt++) {
    if (signal.aborted) throw abortReason(signal);
    const call = deadline(clock, limits.callMs, signal);
    try {
      const socket = await client.upgrade('POST', `/v1/jobs/${placed.job}/attach`, { signal: call.signal });
      call.clear();
      const frames = await started(clock, socket, () => timeIsUp() === undefined, signal);
      return new RunningJob(placed.job, placed.host, frames, socket, onClose);
    } catch (error) {
      if (signal.aborted) throw abortReason(signal);
      if (!isNotYet(error)) throw error;
      const up = timeIsUp();
      if (up) throw tooLate(placed, up.limitMs, up.pulling, error);
    } finally {
      call.clear();
    }
    await clock.sleep(backoff(attempt, rng, pauses.base, pauses.max), signal);
  }
}

function isNotYet(error: unknown): boolean {
  return (['not_found', 'conflict', 'unreachable', 'timeout', 'interrupted'] as const).some((code) =>
    isFlynnError(error, code),
  );
}

/** The frames of an attach once the first one is there. An agent answers at once and holds the caller until it can start the job. */
async function started(
  clock: Clock,
  socket: Duplex,
  mayWait: () => boolean,
  signal: AbortSignal,
): Promise<AsyncGenerator<Frame>> {
  // The reader of the frames sees the end; an error that nobody listens to would end the process.
  socket.on('error', () => socket.destroy());
  const frames = framesOf(socket);
  const pending = frames.next();
  pending.catch(() => undefined);
  try {
    for (;;) {
      const look = deadline(clock, limits.lookMs, signal);
      try {
        const first = await abortable(pending, look.signal);
        if (first.done)
          throw new FlynnError({
            code: 'unreachable',
            message: 'the agent ended the attach before the job had started',
          });
        if (first.value.type === frame.error)
          throw errorFromBody(JSON.parse(first.value.payload.toString('utf8')), 500);
        return withFirst(first.value, frames);
      } catch (error) {
        if (signal.aborted || !look.signal.aborted || isFlynnError(error)) throw error;
        if (!mayWait())
          throw new FlynnError({ code: 'timeout', message: 'it holds the attach, and starts nothing' });
      } finally {
        look.clear();
      }
    }
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

/** Throws when the agent reports that the job has ended without us; true while its image is being pulled. */
function checkStatus(picture: Picture, { job, host }: PlacedJob): boolean {
  const status = picture.records.statuses.get(keys.status(host, job))?.value;
  if (status?.state === 'failed' || status?.state === 'done') {
    throw new FlynnError({
      code: 'failed',
      message: `job ${job} could not be started on ${host}: ${status.reason ?? `it ended with code ${status.exitCode ?? 0}`}`,
      hint: 'flynn cluster status',
    });
  }
  return status?.state === 'pulling';
}

function tooLate({ job, host }: PlacedJob, ms: number, pulling: boolean, cause: unknown): FlynnError {
  const why = cause instanceof Error ? cause.message : String(cause);
  const what = pulling ? 'its image is still being pulled' : `of its agent: ${why}`;
  return new FlynnError({
    code: isFlynnError(cause, 'unreachable') ? 'unreachable' : 'timeout',
    message: `job ${job} had not started on host ${host} after ${ms / 1000} s: ${what}`,
    hint: 'try again; flynn cluster status shows how the host does',
    cause,
  });
}

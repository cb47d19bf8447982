// One attach to one job: start the container that waited for it and carry its streams, or watch one that runs.
import { frame, type AttachExit } from '../../api/attach.js';
import { FlynnError, isFlynnError } from '../../api/errors.js';
import { keys } from '../../api/keys.js';
import type { Attachment } from '../../docker/port.js';
import { abortable, anySignal, deadline } from '../../util/signal.js';
import type { HostAgent } from './agent.js';
import { attachPhase, type AttachPhase } from './attach-phase.js';
import { deafSink, pump, type AttachPeer, type PeerSink } from './attach-peer.js';
import { detailsOf, isAway } from './containers.js';
import { exitReason } from './exit.js';
import * as reduce from './reduce.js';
import { isRunning, type Now } from './state.js';

/** The agent as an attach needs it. */
export interface AttachAgent {
  readonly deps: Pick<HostAgent['deps'], 'state' | 'docker' | 'clock' | 'log'>;
  /** Has the plan made again. */
  kick(): void;
  /** Calls back whenever the state may have changed; the returned function ends that. */
  watch(changed: () => void): () => void;
}

/** Bounds in ms: of the wait for a claim that is on its way, for image and container, and between SIGTERM and SIGKILL. */
const claimWaitMs = 10_000;
const readyWaitMs = 900_000;
const killAfterMs = 10_000;
const tries = 30;
const tryAgainMs = 1_000;
const dockerCallMs = 60_000;

const now = ({ deps }: AttachAgent): Now => ({ mono: deps.clock.mono(), wall: deps.clock.now() });

/** Serves one attach to its end and throws nothing; an abort of `stop` lets go of the job and leaves it as it is. */
export const attachJob = async (
  agent: AttachAgent,
  job: string,
  peer: AttachPeer,
  stop: AbortSignal,
): Promise<void> => {
  try {
    const phase = await untilReady(agent, job, anySignal(peer.gone, stop));
    if (phase.at === 'waiting') await lead(agent, job, phase.container, peer, stop);
    else if (phase.at === 'running') await observe(agent, job, phase.container, peer, stop);
    else if (phase.code === null)
      throw new FlynnError({ code: 'failed', message: `job ${job} does not run: ${phase.reason}` });
    else await peer.end(frame.exit, { code: phase.code, reason: phase.reason } satisfies AttachExit);
  } catch (error) {
    const told = stop.aborted
      ? new FlynnError({
          code: 'unreachable',
          message: `the agent of host ${agent.deps.state.host.name} ends`,
          cause: error,
        })
      : toFlynn(peer.gone.aborted ? peer.gone.reason : error, job);
    agent.deps.log.debug({ job, error: told.message }, 'attach ended early');
    await peer.end(frame.error, told.toBody());
  }
};

const toFlynn = (error: unknown, job: string): FlynnError =>
  isFlynnError(error)
    ? error
    : new FlynnError({
        code: 'internal',
        message: `attach to ${job} failed: ${String(error)}`,
        cause: error,
      });

type Ready = Exclude<AttachPhase, { at: 'unknown' | 'preparing' }>;

/** The phase once it is one that an attach can do something with. */
const untilReady = async (agent: AttachAgent, job: string, signal: AbortSignal): Promise<Ready> => {
  const { clock, state } = agent.deps;
  const began = clock.mono();
  for (;;) {
    signal.throwIfAborted();
    const phase = attachPhase(state, job);
    if (phase.at !== 'unknown' && phase.at !== 'preparing') return phase;
    const left = began + (phase.at === 'unknown' ? claimWaitMs : readyWaitMs) - clock.mono();
    if (left <= 0) {
      throw phase.at === 'unknown'
        ? new FlynnError({
            code: 'not_found',
            message: `host ${state.host.name} has no job ${job}`,
            hint: 'flynn ps',
          })
        : new FlynnError({
            code: 'timeout',
            message: `job ${job} was not ready within ${readyWaitMs / 1000} s`,
          });
    }
    await change(agent, left, signal);
  }
};

/** Resolves when the state may have changed, after `ms`, or with the signal. */
const change = (agent: AttachAgent, ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const done = (): void => {
      unwatch();
      cancel();
      signal.removeEventListener('abort', done);
      resolve();
    };
    const unwatch = agent.watch(done);
    const cancel = agent.deps.clock.after(ms, done);
    signal.addEventListener('abort', done, { once: true });
  });

/** Starts the job's container and carries its streams; the job ends with this attach, whichever ends first. */
const lead = async (
  agent: AttachAgent,
  job: string,
  id: string,
  peer: AttachPeer,
  stop: AbortSignal,
): Promise<void> => {
  const { state, log } = agent.deps;
  // While this is set the plan leaves the container alone. Taken in the same turn as the phase was read.
  const key = `container:${job}`;
  state.busy.set(key, 'start');
  let attachment: Attachment;
  try {
    attachment = await begin(agent, job, id, peer);
  } finally {
    state.busy.delete(key);
    agent.kick();
  }
  log.info({ job, container: id }, 'job started by its attach');
  try {
    const over = anySignal(peer.gone, stop);
    await peer.send(frame.started, { job, host: state.host.name });
    const outputs = [
      pump(attachment.stdout, peer, frame.stdout),
      pump(attachment.stderr, peer, frame.stderr),
    ];
    await abortable(Promise.all(outputs), over);
    await peer.end(frame.exit, await endOf(agent, job, id, over));
  } catch (error) {
    attachment.detach();
    if (!stop.aborted) await terminate(agent, job, id);
    throw error;
  }
};

/** Attaches, and only then starts: the first byte of output is not lost. */
const begin = async (agent: AttachAgent, job: string, id: string, peer: AttachPeer): Promise<Attachment> => {
  const { docker, state } = agent.deps;
  let input: Attachment | undefined;
  let output: Attachment | undefined;
  try {
    // Apart: a job that ends with input unread breaks the connection of its input, and output on it would be lost.
    output = await docker.containers.attach(id, { stdin: false, stdout: true, stderr: true });
    input = await docker.containers.attach(id, { stdin: true, stdout: false, stderr: false });
    const start = sinkOf(agent, job, id, input);
    peer.connect(start.sink);
    await docker.containers.start(id, { timeoutMs: dockerCallMs });
    start.runs();
    const [gives, takes] = [output, input];
    const info = await docker.containers.inspect(id, { timeoutMs: dockerCallMs });
    reduce.attachStarted(state, id, isRunning(info) ? detailsOf(info) : undefined, now(agent));
    return {
      ...gives,
      detach: () => {
        gives.detach();
        takes.detach();
      },
    };
  } catch (error) {
    output?.detach();
    input?.detach();
    if (isAway(error)) {
      // It may have been started all the same, and its attach is gone.
      await terminate(agent, job, id);
      throw error;
    }
    const reason = error instanceof Error ? error.message : String(error);
    await docker.containers.remove(id, { force: true, volumes: true });
    reduce.neverStarted(state, id, reason, now(agent));
    throw new FlynnError({
      code: 'failed',
      message: `job ${job} could not be started: ${reason}`,
      cause: error,
    });
  }
};

/** Where the peer's frames go; `runs` lets go of the signals that came before the start. */
const sinkOf = (
  agent: AttachAgent,
  job: string,
  id: string,
  attachment: Attachment,
): { sink: PeerSink; runs: () => void } => {
  const { docker, log } = agent.deps;
  const { stdin } = attachment;
  const ignored = (what: string) => (error: unknown) =>
    log.debug({ job, error: String(error) }, `${what} not passed on`);
  // A job may end, or close its input, without having read all of it.
  stdin.on('error', ignored('input'));
  attachment.stdout.on('error', ignored('input')).resume();
  attachment.stderr.resume();
  let size: [number, number] | undefined;
  const resize = (): void => {
    if (size) void attachment.resize(...size).catch(ignored('terminal size'));
  };
  let runs = (): void => undefined;
  const running = new Promise<void>((resolve) => (runs = resolve));
  const sink: PeerSink = {
    stdin: (data) =>
      new Promise((resolve) => {
        if (stdin.writable) stdin.write(data, () => resolve());
        else resolve();
      }),
    eof: () => void stdin.end(),
    resize: (columns, rows) => {
      size = [columns, rows];
      resize();
    },
    signal: (name) => void running.then(() => docker.containers.kill(id, name)).catch(ignored(name)),
  };
  // A terminal exists only from the start on: a size told in that moment is told again.
  void running.then(resize);
  return { sink, runs };
};

/** How the container ended, as soon as it has. */
const endOf = async (
  agent: AttachAgent,
  job: string,
  id: string,
  signal: AbortSignal,
): Promise<AttachExit> => {
  const { docker, state } = agent.deps;
  const { exitCode } = await docker.containers.wait(id, { condition: 'not-running', signal });
  const info = await docker.containers.inspect(id, { signal, timeoutMs: dockerCallMs });
  const details = { ...detailsOf(info), exitCode };
  const claim = state.claims.get(keys.claim(state.host.name, job))?.value;
  const oomHint = state.containers.get(id)?.oomHint === true;
  const about = { oomHint, limitMiB: claim?.m, template: claim && state.templates.get(claim.t) };
  const plain = exitCode <= 128 && !details.oom && details.error === '';
  return { code: exitCode, ...(plain ? {} : { reason: exitReason(details, about).reason }) };
};

/** Ends a job whose attached side is gone: SIGTERM, and SIGKILL when it still runs 10 s later. */
const terminate = async (agent: AttachAgent, job: string, id: string): Promise<void> => {
  const { docker, clock, log } = agent.deps;
  log.info({ job, container: id }, 'the attached side is gone: its job is ended');
  for (let count = 1; count <= tries; count++) {
    try {
      await docker.containers.kill(id, 'SIGTERM');
      if (!(await endsWithin(agent, id, killAfterMs))) await docker.containers.kill(id, 'SIGKILL');
      return;
    } catch (error) {
      if (isFlynnError(error, 'conflict') || isFlynnError(error, 'not_found')) return;
      log.warn({ job, error: String(error), count }, 'the job of a lost attach could not be ended');
      await clock.sleep(tryAgainMs);
    }
  }
};

/** Whether the container ends within that many ms. */
const endsWithin = async ({ deps }: AttachAgent, id: string, ms: number): Promise<boolean> => {
  const limit = deadline(deps.clock, ms);
  try {
    await deps.docker.containers.wait(id, { condition: 'not-running', signal: limit.signal });
    return true;
  } catch (error) {
    if (limit.signal.aborted) return false;
    throw error;
  } finally {
    limit.clear();
  }
};

/**
 * Shows what a running job writes from now on. Read from its log, not from its pipes: a reader that stalls would
 * block the job there.
 */
const observe = async (
  agent: AttachAgent,
  job: string,
  id: string,
  peer: AttachPeer,
  stop: AbortSignal,
): Promise<void> => {
  const { docker, state } = agent.deps;
  const over = anySignal(peer.gone, stop);
  peer.connect(deafSink);
  await peer.send(frame.started, { job, host: state.host.name });
  for await (const { stream, line } of docker.containers.logs(id, { follow: true, tail: 0, signal: over })) {
    await peer.send(stream === 'stdout' ? frame.stdout : frame.stderr, `${line}\n`);
  }
  over.throwIfAborted();
  await peer.end(frame.exit, await endOf(agent, job, id, over));
};

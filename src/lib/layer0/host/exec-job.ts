// One command in the container of a running job, over the attach protocol.
import { frame, type AttachExit } from '../../api/attach.js';
import { FlynnError, isFlynnError } from '../../api/errors.js';
import type { ExecSession } from '../../docker/port.js';
import { abortable, anySignal } from '../../util/signal.js';
import type { AttachAgent } from './attach-job.js';
import { pump, type AttachPeer, type PeerSink } from './attach-peer.js';
import type { ExecQuery } from './shapes.js';
import { currentOf, isRunning } from './state.js';

/** What a terminal sends for a signal that is asked for: the engine cannot signal a command. */
const controls: Record<string, string> = { SIGINT: '\x03', SIGQUIT: '\x1c', SIGTSTP: '\x1a' };

/** The container that runs the job now. Throws `not_found` or `conflict`. */
const runningContainer = ({ deps: { state } }: AttachAgent, job: string): string => {
  const container = currentOf(state, job);
  if (!container) {
    throw new FlynnError({
      code: 'not_found',
      message: `host ${state.host.name} has no job ${job}`,
      hint: 'flynn jobs',
    });
  }
  if (!isRunning(container))
    throw new FlynnError({ code: 'conflict', message: `job ${job} does not run`, hint: 'flynn jobs' });
  return container.id;
};

/**
 * Runs the command to its end and throws nothing. A peer that leaves closes the command's input; a command that goes on
 * all the same ends with its container, as the engine has no way to end it.
 */
export const execInJob = async (
  agent: AttachAgent,
  job: string,
  query: ExecQuery,
  peer: AttachPeer,
  stop: AbortSignal,
): Promise<void> => {
  const { docker, state, log } = agent.deps;
  let session: ExecSession | undefined;
  try {
    const over = anySignal(peer.gone, stop);
    session = await docker.containers.execAttach(runningContainer(agent, job), query.argv, {
      tty: query.tty === '1',
      stdin: true,
      env: Object.fromEntries(
        query.env.map((one) => [one.slice(0, one.indexOf('=')), one.slice(one.indexOf('=') + 1)]),
      ),
      ...(query.user === undefined ? {} : { user: query.user }),
      ...(query.workdir === undefined ? {} : { workingDir: query.workdir }),
      signal: over,
    });
    log.info({ job, command: query.argv[0] }, 'command runs in job');
    peer.connect(sinkOf(session, query.tty === '1'));
    await peer.send(frame.started, { job, host: state.host.name });
    const outputs = [pump(session.stdout, peer, frame.stdout), pump(session.stderr, peer, frame.stderr)];
    await abortable(Promise.all(outputs), over);
    await peer.end(frame.exit, { code: await abortable(session.exitCode(), over) } satisfies AttachExit);
  } catch (error) {
    session?.detach();
    const told = peer.gone.aborted ? peer.gone.reason : error;
    const coded = isFlynnError(told)
      ? told
      : new FlynnError({ code: 'internal', message: `command in job ${job}: ${String(told)}`, cause: told });
    log.debug({ job, error: coded.message }, 'command ended early');
    await peer.end(frame.error, coded.toBody());
  }
};

const sinkOf = (session: ExecSession, tty: boolean): PeerSink => {
  const { stdin } = session;
  // A command may end, or close its input, without having read all of it.
  stdin.on('error', () => undefined);
  let size: [number, number] | undefined;
  const apply = (): void => {
    if (size && tty) session.resize(...size).catch(() => undefined);
  };
  // The terminal may not be there yet: with the first output it is.
  session.stdout.once('data', apply);
  return {
    stdin: (data) =>
      new Promise((resolve) => {
        if (stdin.writable) stdin.write(data, () => resolve());
        else resolve();
      }),
    eof: () => void stdin.end(),
    resize: (columns, rows) => {
      size = [columns, rows];
      apply();
    },
    signal: (name) => {
      const control = controls[name];
      if (tty && control && stdin.writable) stdin.write(control);
    },
  };
};

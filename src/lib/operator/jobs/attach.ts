// Attaching to a job that somebody else placed: whether it waits for us, and the output of one that does not.
import type { Duplex, Writable } from 'node:stream';
import { AttachExit, decodeFrames, frame } from '../../api/attach.js';
import { errorFromBody, FlynnError, isFlynnError } from '../../api/errors.js';
import type { GridClient } from '../door/grid.js';
import { findJob } from './detail.js';

/** How a job is attached to: `waits` when it is started by it, `tty` when it has a terminal then. */
export async function attachOf(
  grid: Pick<GridClient, 'job' | 'claims' | 'template'>,
  id: string,
  signal: AbortSignal,
): Promise<{ waits: boolean; tty: boolean }> {
  const { view } = await findJob(grid, id, signal);
  const template = await grid.template(view.claim.t, { signal });
  const started = (view.status?.starts ?? 0) > 0 && view.status?.state !== 'starting';
  const waits = template?.kind === 'oneoff' && template.attach && !started;
  return { waits, tty: waits && template.tty };
}

/** Shows output until the job ends, and returns how; undefined when we leave it. Throws what its agent says. */
export async function observe(
  open: () => Promise<Duplex>,
  out: { stdout: Writable; stderr: Writable },
  signal: AbortSignal,
): Promise<AttachExit | undefined> {
  let socket: Duplex | undefined;
  const leave = (): void => void socket?.destroy();
  signal.addEventListener('abort', leave, { once: true });
  try {
    socket = await open();
    socket.on('error', leave);
    for await (const { type, payload } of decodeFrames(socket as AsyncIterable<Buffer>)) {
      if (type === frame.stdout) out.stdout.write(payload);
      else if (type === frame.stderr) out.stderr.write(payload);
      else if (type === frame.exit) return AttachExit.parse(JSON.parse(payload.toString('utf8')));
      else if (type === frame.error) throw errorFromBody(JSON.parse(payload.toString('utf8')), 500);
    }
  } catch (error) {
    // Ctrl-C is how one leaves a job that goes on.
    if (signal.aborted) return undefined;
    if (isFlynnError(error)) throw error;
  } finally {
    signal.removeEventListener('abort', leave);
    leave();
  }
  if (signal.aborted) return undefined;
  throw new FlynnError({
    code: 'unreachable',
    message: 'the connection to the job was lost; it goes on',
    hint: 'flynn jobs:attach JOB',
  });
}

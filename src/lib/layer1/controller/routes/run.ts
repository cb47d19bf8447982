// `flynn run`: an upgraded request becomes a one-off job of the current release, its frames passed both ways.
import type { IncomingMessage } from 'node:http';
import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { decodeFrames, frame, writeFrame, type FrameType } from '../../../api/attach.js';
import { FlynnError, httpStatus } from '../../../api/errors.js';
import { AppName } from '../../../api/names.js';
import { parseRunQuery, type RunRequest } from '../../../api/run.js';
import type { Release } from '../../../api/app.js';
import { codedError } from '../../../appliance/server.js';
import type { RunningJob } from '../attach.js';
import { currentApp, type ApiContext } from '../context.js';
import { readRelease } from '../deployments/create.js';
import type { OneOffs } from '../oneoffs.js';
import { personOf, requireApp } from '../../shared/person.js';
import { openEnv, resourcesOf } from '../releases.js';
import type { OneOff } from '../schedulers/oneoff.js';

/** What runs need. */
export interface RunPorts {
  context: Pick<ApiContext, 'store' | 'clusterKey' | 'log' | 'stop'>;
  oneOffs: Pick<OneOffs, 'start'>;
  /** Refuses callers that are not appliances of ours. */
  checkCaller(request: IncomingMessage): void;
}

const path = /^\/v1\/apps\/([^/]+)\/run$/;
/** Time between SIGTERM and SIGKILL of a run that is ended, ms. */
const stopTimeoutMs = 10_000;
/** What a caller may send. */
const fromCaller: ReadonlySet<number> = new Set([frame.stdin, frame.eof, frame.resize, frame.signal]);

/** Handler of upgrades; it owns the socket. What is wrong with the request is answered as HTTP, what fails later as an `error` frame. */
export function runUpgrades(
  ports: RunPorts,
): (request: IncomingMessage, socket: Duplex, head: Buffer) => void {
  return (request, socket, head) => {
    socket.on('error', () => socket.destroy());
    prepare(ports, request).then(
      ({ wanted, run }) => {
        socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: flynn\r\n\r\n');
        if (head.length > 0) socket.unshift(head);
        return session(ports, socket, wanted, run);
      },
      (error: unknown) => refuse(socket, error),
    );
  };
}

async function prepare(
  { context, checkCaller }: RunPorts,
  request: IncomingMessage,
): Promise<{ wanted: OneOff; run: RunRequest }> {
  checkCaller(request);
  const url = new URL(request.url ?? '/', 'http://controller');
  const named = path.exec(url.pathname)?.[1];
  if (named === undefined || request.headers.upgrade?.toLowerCase() !== 'flynn')
    throw new FlynnError({
      code: 'not_found',
      message: `${request.method} ${url.pathname} cannot be upgraded`,
    });
  const person = personOf({ req: { header: (name) => headerOf(request, name) } });
  const name = AppName.parse(decodeURIComponent(named));
  requireApp(person, name, 'deploy');
  const run = parseRunQuery(url.searchParams);
  const { app } = await currentApp(context, name);
  const release = app.release === undefined ? undefined : await readRelease(context, name, app.release);
  if (!release) {
    throw new FlynnError({
      code: 'conflict',
      message: `app ${name} has no release yet: there is nothing to run ${run.args[0]} in`,
      hint: `flynn deploy --image IMAGE -a ${name}   (or git push flynn main in its work tree)`,
    });
  }
  context.log.info({ app: name, by: person.name, release: release.version }, 'run');
  return { wanted: oneOffOf(release, run, openEnv(context.clusterKey, release)), run };
}

function headerOf(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name.toLowerCase()];
  return Array.isArray(value) ? value[0] : value;
}

/** The job of a run: image and environment of the release; a release may say what its `run` type takes. */
export function oneOffOf(release: Release, run: RunRequest, env: Record<string, string>): OneOff {
  return {
    app: release.app,
    kind: 'run',
    version: release.version,
    env: { ...env, ...run.env },
    template: {
      image: release.image,
      args: run.args,
      tty: run.tty,
      resources: resourcesOf(release.processes.run),
      stopTimeoutMs,
    },
  };
}

/** Passes frames both ways until the job has ended or the caller is gone. Never rejects. */
async function session(
  { context, oneOffs }: RunPorts,
  socket: Duplex,
  wanted: OneOff,
  run: RunRequest,
): Promise<void> {
  const gone = new AbortController();
  socket.once('close', () => gone.abort());
  const signal = AbortSignal.any([gone.signal, context.stop]);
  const starting = oneOffs.start(wanted, signal);
  // The caller is read from the start: otherwise nobody would notice that it hung up.
  const reading = passInput(socket, starting).finally(() => gone.abort());
  reading.catch(() => undefined);
  let job: RunningJob | undefined;
  const letGo = (): void => job?.close();
  signal.addEventListener('abort', letGo, { once: true });
  try {
    job = await starting;
    if (signal.aborted) letGo();
    await passOutput(job, socket, run);
  } catch (error) {
    if (!gone.signal.aborted) await sendError(socket, error);
  } finally {
    signal.removeEventListener('abort', letGo);
    letGo();
    socket.end();
    // A caller that does not close its side is not waited for.
    const timer = setTimeout(() => socket.destroy(), 5_000);
    socket.once('close', () => clearTimeout(timer));
  }
}

async function passInput(socket: Duplex, starting: Promise<RunningJob>): Promise<void> {
  for await (const { type, payload } of decodeFrames(socket as AsyncIterable<Buffer>)) {
    if (!fromCaller.has(type)) continue;
    const job = await starting;
    await job.send(type as FrameType, payload);
  }
}

/** Output and end of the job. Throws `unreachable` when the connection to its agent ends without the job's end. */
async function passOutput(job: RunningJob, socket: Duplex, { size }: RunRequest): Promise<void> {
  for await (const { type, payload } of job.frames) {
    await writeFrame(socket, type as FrameType, payload);
    if (type === frame.exit || type === frame.error) return;
    if (type === frame.started && size) await job.send(frame.resize, size);
  }
  throw new FlynnError({
    code: 'unreachable',
    message: `the connection to job ${job.job} on host ${job.host} was lost`,
    hint: 'flynn cluster status',
  });
}

async function sendError(socket: Duplex, thrown: unknown): Promise<void> {
  const error = codedError(thrown);
  await writeFrame(socket, frame.error, error.toBody()).catch(() => undefined);
}

function refuse(socket: Duplex, thrown: unknown): void {
  if (socket.destroyed) return;
  const error = codedError(thrown);
  const status = httpStatus(error.code);
  const body = JSON.stringify(error.toBody());
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\ncontent-type: application/json\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
}

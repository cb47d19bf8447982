// Commands in running containers, and attaching to a container's own streams.
import { Readable, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { FlynnError } from '../api/errors.js';
import { systemClock } from '../util/clock.js';
import { abortable, deadline } from '../util/signal.js';
import { makeAttachment } from './attach.js';
import { envLines } from './convert.js';
import type { Engine } from './engine.js';
import type {
  Attachment,
  AttachOptions,
  DockerContainers,
  DockerExecOptions,
  DockerExecResult,
  ExecAttachOptions,
  ExecSession,
} from './port.js';

/** Bound of a command, of its kept output per stream in bytes, and of the wait for its exit code after its streams ended. */
const EXEC_MS = 60_000;
const MAX_OUTPUT = 4 * 1024 * 1024;
const EXIT_MS = 5_000;
const EXIT_POLL_MS = 20;

const noTty = (id: string): FlynnError =>
  new FlynnError({ code: 'conflict', message: `${id} has no terminal to resize` });

/** Attaches to a container's streams; before its start nothing is lost. */
export const attach = async (
  engine: Engine,
  inspect: DockerContainers['inspect'],
  id: string,
  opts: AttachOptions = {},
): Promise<Attachment> => {
  const { signal } = opts;
  const doing = { what: `attach to the container ${id}` };
  const { tty } = await inspect(id, { signal });
  const path = `/containers/${encodeURIComponent(id)}`;
  const socket = await engine.hijack(
    {
      method: 'POST',
      path: `${path}/attach`,
      query: {
        stream: true,
        stdin: opts.stdin ?? true,
        stdout: opts.stdout ?? true,
        stderr: opts.stderr ?? true,
        logs: opts.logs ?? false,
      },
      ...doing,
    },
    { signal },
  );
  // A terminal exists only from the start on: a size told before is applied with the first output.
  let wished: { w: number; h: number } | undefined;
  const apply = (): Promise<void> =>
    engine.done({
      method: 'POST',
      path: `${path}/resize`,
      query: wished,
      what: `resize the terminal of ${id}`,
    });
  return makeAttachment({
    socket,
    tty,
    signal,
    toError: (error) => engine.error(error, doing, signal),
    resize: async (cols, rows) => {
      if (!tty) throw noTty(id);
      wished = { w: cols, h: rows };
      if ((await inspect(id)).state === 'running') await apply();
      // Best effort: a container that ended meanwhile has no terminal.
      else socket.once('data', () => void apply().catch(() => undefined));
    },
  });
};

/** Starts a command in a container and hands out its streams. */
export const execAttach = async (
  engine: Engine,
  id: string,
  argv: readonly string[],
  opts: ExecAttachOptions & { privileged?: boolean } = {},
): Promise<ExecSession> => {
  const { signal } = opts;
  const tty = opts.tty ?? false;
  const doing = { what: `run ${argv[0] ?? 'nothing'} in the container ${id}` };
  const created = await engine.json<{ Id: string }>(
    {
      method: 'POST',
      path: `/containers/${encodeURIComponent(id)}/exec`,
      body: {
        Cmd: [...argv],
        Env: envLines(opts.env),
        User: opts.user,
        WorkingDir: opts.workingDir,
        Privileged: opts.privileged ?? false,
        Tty: tty,
        AttachStdin: opts.stdin ?? true,
        AttachStdout: true,
        AttachStderr: true,
      },
      ...doing,
    },
    { signal },
  );
  const path = `/exec/${created.Id}`;
  const socket = await engine.hijack(
    { method: 'POST', path: `${path}/start`, body: { Detach: false, Tty: tty }, ...doing },
    { signal },
  );
  const attachment = makeAttachment({
    socket,
    tty,
    signal,
    toError: (error) => engine.error(error, doing, signal),
    resize: (cols, rows) =>
      tty
        ? engine.done({ method: 'POST', path: `${path}/resize`, query: { w: cols, h: rows }, ...doing })
        : Promise.reject(noTty(id)),
  });
  const exitCode = async (): Promise<number> => {
    await attachment.closed;
    const end = systemClock.mono() + EXIT_MS;
    for (;;) {
      const request = { method: 'GET' as const, path: `${path}/json`, ...doing };
      const found = await engine.json<{ Running: boolean; ExitCode: number | null }>(request);
      if (!found.Running && found.ExitCode !== null) return found.ExitCode;
      if (systemClock.mono() > end)
        throw new FlynnError({ code: 'timeout', message: `the command in the container ${id} still runs` });
      await systemClock.sleep(EXIT_POLL_MS);
    }
  };
  return { ...attachment, exitCode };
};

const collect = async (stream: Readable, limit: number): Promise<string> => {
  const kept: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    if (size < limit) kept.push(chunk.subarray(0, limit - size));
    size += chunk.length;
  }
  return Buffer.concat(kept).toString('utf8');
};

/** Gives a command its input. Settles only when the source fails: a command may end without having read it. */
const feed = (input: DockerExecOptions['input'], stdin: Writable): Promise<never> =>
  new Promise((_, reject) => {
    if (input instanceof Readable) {
      input.once('error', reject);
      // Its other failure is the command's end, and the exit code says what that means.
      pipeline(input, stdin).catch(() => undefined);
    } else if (input !== undefined) stdin.end(input);
  });

/** Runs a command in a container to its end. A non-zero exit is a result. */
export const runExec = async (
  engine: Engine,
  id: string,
  argv: readonly string[],
  opts: DockerExecOptions = {},
): Promise<DockerExecResult> => {
  const limit = deadline(systemClock, opts.timeoutMs ?? EXEC_MS, opts.signal);
  const { env, user, workingDir, privileged, input } = opts;
  const how = { env, user, workingDir, privileged, stdin: input !== undefined, signal: limit.signal };
  try {
    const session = await execAttach(engine, id, argv, how);
    const max = opts.maxOutput ?? MAX_OUTPUT;
    const outputs = Promise.all([collect(session.stdout, max), collect(session.stderr, max)]);
    const [stdout, stderr] = await abortable(
      Promise.race([outputs, feed(input, session.stdin)]),
      limit.signal,
    );
    session.stdin.destroy();
    return { code: await session.exitCode(), stdout, stderr };
  } catch (error) {
    throw engine.error(error, { what: `run ${argv[0] ?? 'nothing'} in the container ${id}` }, limit.signal);
  } finally {
    limit.clear();
  }
};

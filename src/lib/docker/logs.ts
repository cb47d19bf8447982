// A container's output as lines.
import { Demuxer } from './demux.js';
import type { Engine } from './engine.js';
import { LogAssembler, TtyFrames, engineTime } from './log-lines.js';
import type { DockerContainers, LogLine, LogOptions } from './port.js';

const MAX_LINE = 64 * 1024;

/** Lines as they come; ends with the container, with `signal`, or when the reader breaks out. */
export async function* readLogs(
  engine: Engine,
  inspect: DockerContainers['inspect'],
  id: string,
  opts: LogOptions = {},
): AsyncGenerator<LogLine, void, undefined> {
  const { signal } = opts;
  const doing = { what: `read the log of ${id}` };
  const { tty } = await inspect(id, { signal });
  const stream = await engine.stream(
    {
      method: 'GET',
      path: `/containers/${encodeURIComponent(id)}/logs`,
      query: {
        stdout: true,
        stderr: true,
        timestamps: true,
        follow: opts.follow ?? false,
        tail: opts.tail,
        since: opts.since === undefined ? undefined : engineTime(opts.since),
        until: opts.until === undefined ? undefined : engineTime(opts.until),
      },
      ...doing,
    },
    { signal },
  );
  const parser = tty ? new TtyFrames() : new Demuxer();
  const lines = new LogAssembler(opts.maxLineBytes ?? MAX_LINE);
  try {
    for await (const chunk of stream)
      for (const piece of parser.push(chunk as Buffer)) yield* lines.push(piece);
  } catch (error) {
    if (signal?.aborted) return;
    throw engine.error(error, doing, signal);
  } finally {
    stream.destroy();
  }
  yield* lines.end();
}

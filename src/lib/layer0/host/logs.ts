// The output of a job over all its containers: older ones first, and on into the next one while following.
import { FlynnError } from '../../api/errors.js';
import type { Docker, LogLine } from '../../docker/port.js';
import type { Clock } from '../../util/clock.js';
import { seen } from './containers.js';
import { labels } from './spec.js';
import type { SeenContainer } from './state.js';

/** Which lines of a job. */
export interface JobLogOptions {
  follow: boolean;
  /** The last n lines; all that are kept when absent. */
  lines?: number;
  /** RFC 3339, or seconds since 1970: lines at or after it. */
  since?: string;
  signal: AbortSignal;
}

/** Most lines and bytes that are held in memory to find the last n over several containers. */
const maxHeldLines = 10_000;
const maxHeldBytes = 8 * 1024 * 1024;
const maxLineBytes = 16 * 1024;
const lookAgainMs = 500;

/** What logs are read with. */
export interface LogDeps {
  docker: Docker;
  clock: Clock;
  /** Whether the job may still get another container. */
  alive: (job: string) => boolean;
}

/**
 * Lines of a job in order. Nothing is read ahead of the consumer, so that a slow one costs no memory.
 * Throws `not_found` when the job never had a container here.
 */
export async function* jobLogs(deps: LogDeps, job: string, options: JobLogOptions): AsyncGenerator<LogLine> {
  const { docker, clock } = deps;
  const { signal, since } = options;
  const all = await containersOf(docker, job, signal);
  const last = all.at(-1);
  if (!last && !(options.follow && deps.alive(job))) {
    throw new FlynnError({
      code: 'not_found',
      message: `job ${job} has no container on this host`,
      hint: 'flynn jobs',
    });
  }
  const base = { ...(since === undefined ? {} : { since }), maxLineBytes, signal };
  const older = all.slice(0, -1);
  if (options.lines === undefined) {
    for (const container of older) yield* docker.containers.logs(container.id, base);
  } else if (older.length > 0 && last) {
    yield* await lastOf(docker, older, last, options.lines, base);
  }
  let current = last;
  let tail = options.lines;
  while (!signal.aborted) {
    if (current) {
      yield* docker.containers.logs(current.id, {
        ...base,
        follow: options.follow,
        ...(tail === undefined ? {} : { tail }),
      });
      tail = undefined;
    }
    if (!options.follow || !deps.alive(job)) return;
    current = await nextContainer(docker, clock, job, current, () => deps.alive(job), signal);
    if (!current) return;
  }
}

const containersOf = async (docker: Docker, job: string, signal: AbortSignal): Promise<SeenContainer[]> => {
  const list = await docker.containers.list({ labels: [`${labels.job}=${job}`], all: true, signal });
  return list
    .flatMap((c) => seen(c, 0) ?? [])
    .sort((a, b) => a.createdAt - b.createdAt || a.starts - b.starts);
};

/** The lines of the older containers that belong to the last `lines` of all. */
const lastOf = async (
  docker: Docker,
  older: SeenContainer[],
  last: SeenContainer,
  lines: number,
  base: { signal: AbortSignal },
): Promise<LogLine[]> => {
  let room = Math.min(lines, maxHeldLines);
  for await (const _line of docker.containers.logs(last.id, { ...base, tail: room })) room -= 1;
  let held: LogLine[] = [];
  let bytes = 0;
  for (const container of older.toReversed()) {
    if (room <= 0 || bytes >= maxHeldBytes) break;
    const part: LogLine[] = [];
    for await (const line of docker.containers.logs(container.id, { ...base, tail: room })) {
      bytes += line.line.length;
      part.push(line);
      if (bytes >= maxHeldBytes) break;
    }
    held = [...part, ...held];
    room -= part.length;
  }
  return held;
};

/** Waits for a container of the job that is not the one that ended; undefined when there will be none. */
const nextContainer = async (
  docker: Docker,
  clock: Clock,
  job: string,
  ended: SeenContainer | undefined,
  alive: () => boolean,
  signal: AbortSignal,
): Promise<SeenContainer | undefined> => {
  while (!signal.aborted && alive()) {
    const newest = (await containersOf(docker, job, signal)).at(-1);
    if (newest && newest.id !== ended?.id) return newest;
    try {
      await clock.sleep(lookAgainMs, signal);
    } catch (error) {
      if (signal.aborted) return undefined;
      throw error;
    }
  }
  return undefined;
};

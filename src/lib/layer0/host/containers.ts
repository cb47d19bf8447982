// What the agent asks of Docker: its containers, one in full, and starting one without losing an answer.
import { isFlynnError } from '../../api/errors.js';
import { hostOfJob } from '../../api/names.js';
import type { ContainerInfo, ContainerSpec, ContainerSummary, Docker } from '../../docker/port.js';
import type { Clock } from '../../util/clock.js';
import { deadline } from '../../util/signal.js';
import { tailLines } from './exit.js';
import { labels } from './spec.js';
import type { Details, SeenContainer } from './state.js';

const number = (text: string | undefined): number => {
  const value = Number(text);
  return Number.isSafeInteger(value) && value > 0 ? value : 0;
};

/** A container of ours, read off its labels; undefined when it is none. */
export const seen = (summary: ContainerSummary, touched: number): SeenContainer | undefined => {
  const job = summary.labels[labels.job];
  if (!job) return undefined;
  return {
    id: summary.id,
    name: summary.name.replace(/^\//, ''),
    job,
    owner: summary.labels[labels.owner] ?? '',
    template: summary.labels[labels.template] ?? '',
    state: summary.state,
    createdAt: summary.createdAt,
    starts: number(summary.labels[labels.starts]),
    attempts: number(summary.labels[labels.attempts]),
    ...(labels.epoch in summary.labels ? { epoch: number(summary.labels[labels.epoch]) } : {}),
    touched,
  };
};

/** All containers of the host's jobs, ended ones too. Those of another host's agent on the same engine are not ours. */
export const listContainers = async (
  docker: Docker,
  host: string,
  signal?: AbortSignal,
): Promise<SeenContainer[]> => {
  const list = await docker.containers.list({ labels: [labels.job], all: true, signal, timeoutMs: 10_000 });
  return list
    .flatMap((summary) => seen(summary, Number.NEGATIVE_INFINITY) ?? [])
    .filter(({ job }) => hostOfJob(job) === host);
};

/** Details of an inspected container, without its last lines. */
export const detailsOf = (info: ContainerInfo): Details => ({
  ...(info.ip ? { ip: info.ip } : {}),
  exitCode: info.exitCode,
  oom: info.oomKilled,
  error: info.error,
  ...(info.startedAt === undefined ? {} : { startedAt: info.startedAt }),
  tail: [],
});

const maxTailLine = 400;

/** The last lines of a container's output; none when they cannot be read. */
export const readTail = async (
  docker: Docker,
  clock: Pick<Clock, 'after'>,
  id: string,
  signal?: AbortSignal,
): Promise<string[]> => {
  const lines: string[] = [];
  const bound = deadline(clock, 3_000, signal, 'reading the last lines');
  try {
    for await (const { line } of docker.containers.logs(id, { tail: tailLines, signal: bound.signal })) {
      lines.push(line.length > maxTailLine ? `${line.slice(0, maxTailLine)}…` : line);
    }
  } catch (error) {
    lines.push(`(its output cannot be read: ${error instanceof Error ? error.message : String(error)})`);
  } finally {
    bound.clear();
  }
  return lines.slice(-tailLines);
};

/**
 * Creates and starts a container. If one of that name is there, from a call whose answer was lost, it is started
 * instead. A container that cannot be started is removed again. With `hold`, or when `stillMay` says no, it is created
 * and not started. Returns it as inspected.
 */
export const createAndStart = async (
  docker: Docker,
  spec: ContainerSpec,
  how: { signal?: AbortSignal; hold?: boolean; stillMay?: () => boolean } = {},
): Promise<ContainerInfo> => {
  const { signal, hold = false, stillMay = () => true } = how;
  let id: string;
  try {
    id = await docker.containers.create(spec, { signal });
  } catch (error) {
    if (!isFlynnError(error, 'conflict')) throw error;
    const present = await docker.containers.inspect(spec.name, { signal });
    if (present.labels[labels.job] !== spec.labels?.[labels.job]) throw error;
    if (present.state !== 'created') return present;
    id = present.id;
    // One of an earlier lease says so in its environment: it must not be the one that runs.
    if (present.labels[labels.epoch] !== spec.labels?.[labels.epoch]) {
      await docker.containers.remove(id, { force: false }, { signal });
      id = await docker.containers.create(spec, { signal });
    }
  }
  if (hold || !stillMay()) return docker.containers.inspect(id, { signal });
  try {
    await docker.containers.start(id, { signal });
  } catch (error) {
    // With Docker away nothing is known: the next list tells what became of it.
    if (!isAway(error)) await docker.containers.remove(id, { force: true });
    throw error;
  }
  return docker.containers.inspect(id, { signal });
};

/** Whether the error says that Docker did not answer, rather than that it refused. */
export const isAway = (error: unknown): boolean =>
  isFlynnError(error, 'unreachable') ||
  isFlynnError(error, 'timeout') ||
  isFlynnError(error, 'interrupted') ||
  (error instanceof Error && (error.name === 'AbortError' || error.name === 'DeadlineError'));

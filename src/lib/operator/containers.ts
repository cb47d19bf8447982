// Containers that bootstrap itself starts: there is one of each name, and it is the one that the spec describes.
import { createHash } from 'node:crypto';
import { isFlynnError } from '../api/errors.js';
import { canonicalJson } from '../api/template.js';
import type { ContainerInfo, ContainerSpec, Docker } from '../docker/port.js';

/** Logging of system containers: bounded, and never blocking the process when dockerd is away. */
export const logging: Pick<ContainerSpec, 'logDriver' | 'logOpts'> = {
  logDriver: 'json-file',
  logOpts: { mode: 'non-blocking', 'max-size': '10m', 'max-file': '3' },
};

const label = 'flynn.spec';

/** The container of that name or id, undefined when there is none. */
export async function findContainer(docker: Docker, name: string): Promise<ContainerInfo | undefined> {
  try {
    return await docker.containers.inspect(name);
  } catch (error) {
    if (isFlynnError(error, 'not_found')) return undefined;
    throw error;
  }
}

/**
 * Makes sure that a container of this spec runs: keeps one that was made from an equal spec, replaces any other of
 * that name. Returns false when it ran already.
 */
export async function ensureContainer(
  docker: Docker,
  spec: ContainerSpec,
  signal?: AbortSignal,
): Promise<boolean> {
  const hash = createHash('sha256').update(canonicalJson(spec)).digest('hex').slice(0, 16);
  const there = await findContainer(docker, spec.name);
  if (there && there.labels[label] === hash) {
    if (there.state === 'running') return false;
    if (there.state === 'paused') await docker.containers.unpause(there.id, { signal });
    else await docker.containers.start(there.id, { signal });
    return true;
  }
  if (there) {
    await docker.containers.stop(there.id, 10, { signal });
    await docker.containers.remove(there.id, { force: true }, { signal });
  }
  const id = await docker.containers.create(
    { ...spec, labels: { ...spec.labels, [label]: hash } },
    { signal },
  );
  await docker.containers.start(id, { signal });
  return true;
}

/** The last lines of a container's output, oldest first; none when there is no such container. */
export async function lastLines(docker: Docker, name: string, count = 8): Promise<string[]> {
  const lines: string[] = [];
  try {
    for await (const { line } of docker.containers.logs(name, {
      tail: count,
      signal: AbortSignal.timeout(5_000),
    })) {
      lines.push(line);
    }
  } catch (error) {
    if (!isFlynnError(error)) throw error;
  }
  return lines.slice(-count);
}

// Containers over the engine's API.
import type Dockerode from 'dockerode';
import { createBody, labelFilter, toInfo, toStats, toSummary } from './convert.js';
import type { Engine, Request } from './engine.js';
import { attach, execAttach, runExec } from './exec.js';
import { readLogs } from './logs.js';
import type { ContainerSpec, DockerContainers } from './port.js';
import { isFlynnError } from '../api/errors.js';

const at = (id: string, rest = ''): string => `/containers/${encodeURIComponent(id)}${rest}`;

/** True for the answers that make a repeated call idempotent. */
const gone = (error: unknown): boolean => isFlynnError(error, 'not_found');

/** DockerContainers over an engine. */
export const makeContainers = (engine: Engine): DockerContainers => {
  const post = (id: string, verb: string, more: Partial<Request> = {}): Request => ({
    method: 'POST',
    path: at(id, `/${verb}`),
    what: `${verb} the container ${id}`,
    ...more,
  });
  const inspect: DockerContainers['inspect'] = async (id, opts) => {
    const request: Request = { method: 'GET', path: at(id, '/json'), what: `inspect the container ${id}` };
    return toInfo(await engine.json<Dockerode.ContainerInspectInfo>(request, opts));
  };
  return {
    inspect,
    list: async (filter = {}) => {
      const filters = labelFilter(filter.labels, {
        name: filter.names?.map((name) => `^/?${name}$`),
        volume: filter.volumes,
      });
      const query = { all: filter.all ?? true, filters };
      const request: Request = { method: 'GET', path: '/containers/json', query, what: 'list containers' };
      return (await engine.json<Dockerode.ContainerInfo[]>(request, filter)).map(toSummary);
    },
    create: async (spec: ContainerSpec, opts) => {
      const request: Request = {
        method: 'POST',
        path: '/containers/create',
        query: { name: spec.name },
        body: createBody(spec),
        what: `create the container ${spec.name} from ${spec.image}`,
        missing: 'image_missing',
      };
      return (await engine.json<{ Id: string }>(request, opts)).Id;
    },
    start: (id, opts) => engine.done(post(id, 'start', { alsoOk: [304] }), opts),
    stop: (id, timeoutSeconds, opts) => {
      const limits = { timeoutMs: ((timeoutSeconds ?? 30) + 30) * 1000, ...opts };
      return engine.done(post(id, 'stop', { alsoOk: [304], query: { t: timeoutSeconds } }), limits);
    },
    kill: (id, signal = 'SIGKILL', opts) => engine.done(post(id, 'kill', { query: { signal } }), opts),
    pause: (id, opts) => engine.done(post(id, 'pause'), opts),
    unpause: (id, opts) => engine.done(post(id, 'unpause'), opts),
    rename: (id, name, opts) => engine.done(post(id, 'rename', { query: { name } }), opts),
    remove: async (id, how = {}, opts) => {
      const query = { force: how.force ?? false, v: how.volumes ?? false };
      try {
        await engine.done(
          { method: 'DELETE', path: at(id), query, what: `remove the container ${id}` },
          opts,
        );
      } catch (error) {
        if (!gone(error)) throw error;
      }
    },
    wait: async (id, opts = {}) => {
      const request = post(id, 'wait', {
        query: { condition: opts.condition },
        what: `wait for the container ${id}`,
      });
      const found = await engine.json<{ StatusCode: number; Error?: { Message?: string } | null }>(request, {
        timeoutMs: 0,
        ...opts,
      });
      const error = found.Error?.Message;
      return { exitCode: found.StatusCode, ...(error ? { error } : {}) };
    },
    stats: async (id, opts) => {
      const query = { stream: false, 'one-shot': true };
      const request: Request = {
        method: 'GET',
        path: at(id, '/stats'),
        query,
        what: `read the figures of ${id}`,
      };
      return toStats(await engine.json<Dockerode.ContainerStats>(request, opts));
    },
    logs: (id, opts) => readLogs(engine, inspect, id, opts),
    exec: (id, argv, opts) => runExec(engine, id, argv, opts),
    execAttach: (id, argv, opts) => execAttach(engine, id, argv, opts),
    attach: (id, opts) => attach(engine, inspect, id, opts),
    putArchive: (id, path, tar, opts) =>
      engine.done(
        {
          method: 'PUT',
          path: at(id, '/archive'),
          query: { path },
          upload: tar,
          what: `unpack into ${path} of the container ${id}`,
        },
        { timeoutMs: 0, ...opts },
      ),
    getArchive: (id, path, opts) =>
      engine.stream(
        { method: 'GET', path: at(id, '/archive'), query: { path }, what: `read ${path} of ${id}` },
        opts,
      ),
  };
};

// Images over the engine's API. Failures inside a stream that began with HTTP 200 are thrown.
import type { Readable } from 'node:stream';
import type Dockerode from 'dockerode';
import { FlynnError, isFlynnError, type ErrorCode } from '../api/errors.js';
import { engineMillis, envRecord, labelFilter, readPort } from './convert.js';
import type { Engine, Request } from './engine.js';
import { ndjson } from './ndjson.js';
import { splitRef } from './refs.js';
import type {
  BuildOptions,
  CallOptions,
  DockerImages,
  ImageInfo,
  ImageProgress,
  ImageSummary,
  RegistryAuth,
} from './port.js';

/** One message of a pull, push, load or build. */
interface Message {
  id?: string;
  status?: string;
  stream?: string;
  error?: string;
  errorDetail?: { message?: string };
  progressDetail?: { current?: number; total?: number };
  aux?: { ID?: string; Digest?: string };
}

/** Output of a failed build that goes into the error message, in lines. */
const TAIL_LINES = 10;

const list = (value: string | string[] | null | undefined): string[] =>
  value === null || value === undefined ? [] : Array.isArray(value) ? value : [value];

const toImage = (found: Dockerode.ImageInspectInfo): ImageInfo => ({
  id: found.Id,
  tags: found.RepoTags ?? [],
  digests: found.RepoDigests ?? [],
  sizeBytes: found.Size,
  labels: found.Config.Labels ?? {},
  createdAt: engineMillis(found.Created) ?? 0,
  architecture: found.Architecture,
  os: found.Os,
  env: envRecord(found.Config.Env),
  cmd: list(found.Config.Cmd),
  entrypoint: list(found.Config.Entrypoint),
  workingDir: found.Config.WorkingDir ?? '',
  user: found.Config.User ?? '',
  exposed: Object.keys(found.Config.ExposedPorts ?? {}).map(readPort),
});

const real = (names: string[] | null | undefined): string[] =>
  (names ?? []).filter((name) => !name.includes('<none>'));

const toImageSummary = (found: Dockerode.ImageInfo): ImageSummary => ({
  id: found.Id,
  tags: real(found.RepoTags),
  digests: real(found.RepoDigests),
  sizeBytes: found.Size,
  labels: found.Labels ?? {},
  createdAt: found.Created * 1000,
});

const authHeader = (auth: RegistryAuth | undefined): Record<string, string> => {
  const value = auth
    ? { username: auth.username, password: auth.password, serveraddress: auth.serverAddress }
    : {};
  return { 'X-Registry-Auth': Buffer.from(JSON.stringify(value)).toString('base64url') };
};

const progressOf = ({ id, status, stream, progressDetail }: Message): ImageProgress => ({
  ...(id ? { id } : {}),
  status: status ?? stream ?? '',
  ...(progressDetail?.current === undefined ? {} : { current: progressDetail.current }),
  ...(progressDetail?.total === undefined ? {} : { total: progressDetail.total }),
});

/** DockerImages over an engine. */
export const makeImages = (engine: Engine): DockerImages => {
  const at = (ref: string, rest = ''): string => `/images/${encodeURI(ref)}${rest}`;

  /** Reads a stream of messages to its end; `failure` is the code of an error inside it. */
  const follow = async (
    request: Request,
    opts: CallOptions,
    failure: ErrorCode,
    onMessage: (message: Message) => void,
    explain: (text: string) => string = (text) => text,
  ): Promise<void> => {
    let stream: Readable | undefined;
    try {
      stream = await engine.stream(request, opts);
      for await (const message of ndjson(stream) as AsyncIterable<Message>) {
        const error = message.errorDetail?.message ?? message.error;
        if (error !== undefined)
          throw new FlynnError({ code: failure, message: `cannot ${request.what}: ${explain(error)}` });
        onMessage(message);
      }
    } catch (error) {
      throw engine.error(error, request, opts.signal);
    } finally {
      stream?.destroy();
      // An engine that answered early has not read the rest.
      request.upload?.destroy();
    }
  };

  const build = async (context: Readable, opts: BuildOptions): Promise<string> => {
    let id: string | undefined;
    const tail: string[] = [];
    await follow(
      {
        method: 'POST',
        path: '/build',
        query: {
          t: [...opts.tags],
          dockerfile: opts.dockerfile,
          buildargs: opts.buildArgs,
          labels: opts.labels,
          target: opts.target,
          nocache: opts.noCache ?? false,
          pull: opts.pull ?? false,
          networkmode: opts.network,
          memory: opts.memoryBytes,
          cpushares: opts.cpuShares,
          cgroupparent: opts.cgroupParent,
          extrahosts: Object.entries(opts.extraHosts ?? {}).map(([name, ip]) => `${name}:${ip}`),
          rm: true,
          forcerm: true,
        },
        upload: context,
        what: `build ${opts.tags[0] ?? 'an image'}`,
      },
      opts,
      'build_failed',
      (message) => {
        if (message.aux?.ID) id = message.aux.ID;
        const text = message.stream ?? (message.status === undefined ? '' : `${message.status}\n`);
        if (text === '') return;
        tail.push(...text.split('\n').filter((line) => line.trim() !== ''));
        tail.splice(0, tail.length - TAIL_LINES);
        opts.onOutput?.(text);
      },
      (error) => [error, ...tail].join('\n'),
    );
    if (id !== undefined) return id;
    throw new FlynnError({ code: 'build_failed', message: 'the build ended without an image' });
  };

  return {
    build,
    inspect: async (ref, opts) => {
      const what = `inspect the image ${ref}`;
      const request: Request = { method: 'GET', path: at(ref, '/json'), what, missing: 'image_missing' };
      return toImage(await engine.json<Dockerode.ImageInspectInfo>(request, opts));
    },
    list: async (filter = {}) => {
      const filters = labelFilter(filter.labels, {
        reference: filter.reference === undefined ? undefined : [filter.reference],
        dangling: filter.dangling === undefined ? undefined : [String(filter.dangling)],
      });
      const request: Request = {
        method: 'GET',
        path: '/images/json',
        query: { filters },
        what: 'list images',
      };
      return (await engine.json<Dockerode.ImageInfo[]>(request, filter)).map(toImageSummary);
    },
    pull: (ref, opts = {}) => {
      const { repository, tag } = splitRef(ref);
      const request: Request = {
        method: 'POST',
        path: '/images/create',
        // Without a tag the engine would fetch every tag there is.
        query: { fromImage: repository, tag },
        headers: opts.auth ? authHeader(opts.auth) : undefined,
        what: `pull ${ref}`,
        missing: 'image_missing',
      };
      return follow(request, opts, 'unreachable', (message) => opts.onProgress?.(progressOf(message)));
    },
    push: async (ref, opts = {}) => {
      const { repository, tag } = splitRef(ref);
      let digest: string | undefined;
      const request: Request = {
        method: 'POST',
        path: at(repository, '/push'),
        query: { tag },
        headers: authHeader(opts.auth),
        what: `push ${ref}`,
        missing: 'image_missing',
      };
      await follow(request, opts, 'unreachable', (message) => {
        if (message.aux?.Digest) digest = message.aux.Digest;
        opts.onProgress?.(progressOf(message));
      });
      if (digest !== undefined) return digest;
      throw new FlynnError({ code: 'failed', message: `the push of ${ref} ended without a digest` });
    },
    load: async (tar, opts = {}) => {
      const loaded: string[] = [];
      const query = { quiet: true };
      const request: Request = {
        method: 'POST',
        path: '/images/load',
        query,
        upload: tar,
        what: 'load images',
      };
      await follow(request, opts, 'failed', ({ stream = '' }) => {
        const name = /^Loaded image(?: ID)?: (\S+)/m.exec(stream)?.[1];
        if (name !== undefined) loaded.push(name);
      });
      return loaded;
    },
    save: (refs, opts) => {
      const what = `save ${refs.join(', ')}`;
      const query = { names: [...refs] };
      return engine.stream(
        { method: 'GET', path: '/images/get', query, what, missing: 'image_missing' },
        opts,
      );
    },
    import: async (tar, ref, opts = {}) => {
      const { repository, tag } = splitRef(ref);
      let id = '';
      const query = { fromSrc: '-', repo: repository, tag };
      const request: Request = {
        method: 'POST',
        path: '/images/create',
        query,
        upload: tar,
        what: `import ${ref}`,
      };
      await follow(request, opts, 'failed', ({ status = '' }) => {
        if (status.startsWith('sha256:')) id = status;
      });
      return id;
    },
    tag: (source, ref, opts) => {
      const { repository, tag } = splitRef(ref);
      const query = { repo: repository, tag };
      const what = `tag ${source} as ${ref}`;
      return engine.done(
        { method: 'POST', path: at(source, '/tag'), query, what, missing: 'image_missing' },
        opts,
      );
    },
    remove: async (ref, how = {}, opts) => {
      const query = { force: how.force ?? false };
      const what = `remove the image ${ref}`;
      try {
        await engine.done({ method: 'DELETE', path: at(ref), query, what, missing: 'image_missing' }, opts);
      } catch (error) {
        if (!isFlynnError(error, 'image_missing')) throw error;
      }
    },
    prune: async (opts = {}) => {
      const filters = labelFilter(opts.labels, { dangling: ['true'] });
      const request: Request = {
        method: 'POST',
        path: '/images/prune',
        query: { filters },
        what: 'prune images',
      };
      return (await engine.json<{ SpaceReclaimed?: number }>(request, opts)).SpaceReclaimed ?? 0;
    },
  };
};

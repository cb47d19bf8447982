// One build: source into the builder's job, its slug into the registry, an image out that every host can pull.
import { PassThrough } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import { AttachExit, frame, type Frame } from '../../api/attach.js';
import { FlynnError } from '../../api/errors.js';
import { ports as fixedPorts } from '../../api/grid.js';
import { copyImage, digestOf, type RegistryClient } from '../registry/client.js';
import { appImage, type ImageConfig } from './image.js';
import { LastWords, type Reason } from './last-words.js';
import { splitHeader, withDiffId, type SlugHeader } from './slug.js';

/** A one-off job that somebody placed, started and attached to. */
export interface AttachedJob {
  job: string;
  host: string;
  /** Takes a piece of stdin; resolves when the job's side has room for more. */
  write(chunk: Buffer): Promise<void>;
  /** Ends stdin. */
  end(): Promise<void>;
  /** Output and end of the job, as frames. */
  frames: AsyncIterable<Frame>;
  /** Lets go of it: the agent ends a job whose attach is gone. */
  close(): void;
}

export interface BuildRequest {
  app: string;
  /** Tar of the source tree. */
  source: AsyncIterable<Buffer>;
  /** The app's environment, for buildpacks (ENV_DIR). */
  env: Record<string, string>;
  commit?: string;
  /** A line for the pusher. */
  onLine(line: string): void;
  signal: AbortSignal;
}

/** What a build needs of the grid. */
export interface BuildPorts {
  /** Places the builder's job and attaches to it before it starts. */
  startBuilder(app: string): Promise<AttachedJob>;
  /** Live copies of the registry, the one to write to first. */
  registries(): Promise<RegistryClient[]>;
  /** Repository and tag of the slugrunner's image in the registry; puts it there when no copy has it. */
  slugrunner(): Promise<{ repository: string; tag: string }>;
}

export interface BuiltImage {
  /** `127.0.0.1:5555/app@sha256:…`, the same on every host. */
  image: string;
  buildpack: string;
  /** Command lines by process type. */
  processes: Record<string, string>;
}

/** Builds. Throws `build_failed` with what the pusher should know, `no_capacity`, `unreachable`. */
export async function build(request: BuildRequest, ports: BuildPorts): Promise<BuiltImage> {
  const [first, ...others] = await ports.registries();
  if (!first)
    throw new FlynnError({
      code: 'unreachable',
      message: 'no copy of the registry answers',
      hint: 'flynn cluster status',
    });
  const base = await ports.slugrunner();
  const job = await ports.startBuilder(request.app);
  const onAbort = () => job.close();
  request.signal.addEventListener('abort', onAbort, { once: true });
  try {
    const slug = await buildSlug(request, job, first);
    const digest = await assemble(first, request.app, base, slug, request.commit);
    // Before the release is current, every live copy holds it: any one of them may be the last tomorrow.
    await Promise.all(others.map((other) => copyImage(first, other, request.app, digest)));
    return {
      image: `127.0.0.1:${fixedPorts.registryLocal}/${request.app}@${digest}`,
      buildpack: slug.header.buildpack,
      processes: slug.header.processes,
    };
  } finally {
    request.signal.removeEventListener('abort', onAbort);
    job.close();
  }
}

interface StoredSlug {
  header: SlugHeader;
  digest: string;
  size: number;
  diffId: string;
}

async function buildSlug(
  request: BuildRequest,
  job: AttachedJob,
  registry: RegistryClient,
): Promise<StoredSlug> {
  const stdout = new PassThrough({ highWaterMark: 256 * 1024 });
  // Whichever of the three fails first is the cause; the others end because the streams do.
  const storing = storeSlug(stdout, registry, request.app);
  const feeding = feed(request, job);
  const words = new LastWords(request.onLine);
  const reading = read(job, stdout, words);
  const [end, fed, stored] = await Promise.allSettled([reading, feeding, storing]);
  if (request.signal.aborted)
    throw new FlynnError({ code: 'interrupted', message: 'the build was cancelled' });
  if (end.status === 'rejected') {
    words.release();
    throw end.reason;
  }
  if (end.value.code !== 0) throw failedBuild(request.app, end.value, words.reason());
  words.release();
  if (fed.status === 'rejected') throw fed.reason;
  if (stored.status === 'rejected') throw stored.reason;
  return stored.value;
}

/** The builder's own reason first; how the job ended tells what it could not know: that it was killed for memory. */
function failedBuild(app: string, { code, reason }: AttachExit, said: Reason): FlynnError {
  const ended = reason ?? `exited with code ${code}`;
  const why = said.message === undefined ? `the build ${ended}, see above` : `${said.message} (${ended})`;
  return new FlynnError({
    code: 'build_failed',
    message: `${app} was not built, nothing changed: ${why}`,
    hint: said.hint ?? 'git commit -a && git push flynn main   (once it is mended)',
  });
}

/** Sends the header line and the source. A builder that ended early does not read on: its exit tells why. */
async function feed(request: BuildRequest, job: AttachedJob): Promise<void> {
  await job.write(Buffer.from(`${JSON.stringify({ env: request.env, commit: request.commit ?? '' })}\n`));
  for await (const chunk of request.source) {
    for (let at = 0; at < chunk.length; at += 65_536) await job.write(chunk.subarray(at, at + 65_536));
  }
  await job.end();
}

async function read(job: AttachedJob, stdout: PassThrough, words: LastWords): Promise<AttachExit> {
  let line = '';
  const text = new StringDecoder('utf8');
  try {
    for await (const { type, payload } of job.frames) {
      if (type === frame.stdout) {
        if (!stdout.destroyed && !stdout.write(Buffer.from(payload))) await writable(stdout);
      } else if (type === frame.stderr) {
        line += text.write(payload);
        const lines = line.split('\n');
        line = lines.pop() ?? '';
        for (const whole of lines) words.line(whole);
      } else if (type === frame.error) {
        const body = JSON.parse(payload.toString('utf8')) as { message?: string };
        throw new FlynnError({
          code: 'build_failed',
          message: body.message ?? 'the builder could not be run',
        });
      } else if (type === frame.exit) {
        return AttachExit.parse(JSON.parse(payload.toString('utf8')));
      }
    }
    throw new FlynnError({
      code: 'build_failed',
      message: `the host ${job.host} that built was lost`,
      hint: 'git push again',
    });
  } finally {
    if (line !== '') words.line(line);
    stdout.end();
  }
}

async function storeSlug(stdout: PassThrough, registry: RegistryClient, app: string): Promise<StoredSlug> {
  try {
    const { header, rest } = await splitHeader(stdout);
    const hashed = withDiffId(rest);
    const { digest, size } = await registry.upload(app, hashed.stream);
    return { header, digest, size, diffId: await hashed.diffId() };
  } catch (error) {
    // Nobody reads on: let the frames flow past until the builder's own end tells the cause.
    stdout.resume();
    throw error;
  }
}

function writable(stream: PassThrough): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      stream.off('drain', done);
      stream.off('close', done);
      resolve();
    };
    stream.once('drain', done);
    stream.once('close', done);
  });
}

/** Puts base layers, slug, config and manifest together in the app's repository; returns the image's digest. */
async function assemble(
  registry: RegistryClient,
  app: string,
  base: { repository: string; tag: string },
  slug: StoredSlug,
  commit: string | undefined,
): Promise<string> {
  const found = await registry.manifest(base.repository, base.tag);
  if (!found)
    throw new FlynnError({
      code: 'image_missing',
      message: `the registry has no ${base.repository}:${base.tag}`,
    });
  const config = JSON.parse(
    (await registry.blob(base.repository, found.manifest.config.digest)).toString('utf8'),
  ) as ImageConfig;
  for (const { digest } of found.manifest.layers) {
    if (await registry.mount(app, digest, base.repository)) continue;
    await registry.upload(app, await registry.openBlob(base.repository, digest));
  }
  const image = appImage({ manifest: found.manifest, config }, slug, {
    'flynn.app': app,
    ...(commit ? { 'flynn.commit': commit } : {}),
  });
  const stored = await registry.upload(app, once(Buffer.from(image.config)));
  if (stored.digest !== digestOf(image.config))
    throw new FlynnError({ code: 'internal', message: 'the config changed on its way' });
  const digest = digestOf(image.manifest);
  await registry.putManifest(app, digest, image.manifest);
  return digest;
}

async function* once(chunk: Buffer): AsyncGenerator<Buffer> {
  yield chunk;
}

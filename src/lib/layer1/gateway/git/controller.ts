// What a push asks of a controller: the app it is for, and the build of its source.
import http, { type IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { z } from 'zod';
import { SshKey } from '../../../api/app.js';
import { BuildLine, type BuildResult } from '../../../api/build.js';
import { errorFromBody, FlynnError, isFlynnError } from '../../../api/errors.js';
import { jsonLines } from '../../../api/http.js';
import type { Clock } from '../../../util/clock.js';
import { abortReason, deadline } from '../../../util/signal.js';
import { headersFor } from '../proxy.js';
import type { Upstream } from '../upstream.js';
import type { RepoOf } from './repos.js';

/** Time for one short answer, ms. */
const answerMs = 15_000;
/** A controller that builds says something every 5 s; one that is silent for so long is lost, ms. */
const defaultSilenceMs = 30_000;

const AppAnswer = z.object({ app: z.object({ id: z.string(), release: z.number().int().optional() }) });
const ReleasesAnswer = z.object({
  releases: z.array(z.object({ version: z.number().int(), git: z.string().optional() })),
});

/** How controllers are reached, and in whose name. */
export interface CallOptions {
  upstream: Upstream;
  key: SshKey;
  clock: Clock;
  signal: AbortSignal;
}

/** The app, and which commit it runs. Throws `not_found`, `forbidden`, `unreachable`, `timeout`. */
export async function findApp(name: string, options: CallOptions): Promise<RepoOf> {
  const { app } = AppAnswer.parse(await read(`/v1/apps/${name}`, options));
  if (app.release === undefined) return { name, id: app.id };
  const { releases } = ReleasesAnswer.parse(await read(`/v1/apps/${name}/releases`, options));
  const commit = releases.find(({ version }) => version === app.release)?.git;
  return { name, id: app.id, ...(commit === undefined ? {} : { commit }) };
}

/** A build of an app. */
export interface BuildOptions extends CallOptions {
  app: string;
  commit: string;
  /** Tar of the source; what it throws is what the build throws. */
  source: AsyncIterable<Buffer>;
  /** Called with each line for the pusher, one after the other. */
  say(line: string): Promise<void>;
  silenceMs?: number;
}

/**
 * Sends the source and passes on what the controller says until the result. Aborting the signal ends the request, and
 * with it the build. Throws the controller's error, or `unreachable` when it is lost.
 */
export async function sendBuild(options: BuildOptions): Promise<BuildResult> {
  const { app, commit, clock } = options;
  const silence = new Silence(clock, options.silenceMs ?? defaultSilenceMs);
  const stop = new AbortController();
  const signal = AbortSignal.any([options.signal, silence.signal, stop.signal]);
  const request = await open('POST', `/v1/apps/${app}/builds?commit=${commit}`, { ...options, signal });
  request.setHeader('content-type', 'application/x-tar');
  let broken: FlynnError | undefined;
  const source = silence.watch(options.source);
  const upload = pipeline(Readable.from(source, { objectMode: false }), request).catch((error: unknown) => {
    // The answer says why a controller stops reading; only the source's own failure is told here.
    if (isFlynnError(error)) broken = error;
  });
  try {
    silence.begin();
    const answer = await responseTo(request);
    if ((answer.statusCode ?? 500) >= 300) throw await refusal(answer);
    for await (const line of jsonLines(silence.watch(answer as AsyncIterable<Buffer>))) {
      if (typeof line === 'object' && line !== null && 'error' in line) throw errorFromBody(line.error, 500);
      const parsed = BuildLine.parse(line);
      if ('result' in parsed) return parsed.result;
      await options.say(parsed.line);
    }
    throw lost('it ended its answer early');
  } catch (error) {
    if (broken) throw broken;
    if (signal.aborted) throw abortReason(signal);
    throw isFlynnError(error) ? error : lost(error instanceof Error ? error.message : String(error));
  } finally {
    silence.end();
    stop.abort();
    await upload;
  }
}

async function read(path: string, options: CallOptions): Promise<unknown> {
  const limit = deadline(options.clock, answerMs, options.signal, 'an answer of the controller');
  try {
    const request = await open('GET', path, { ...options, signal: limit.signal });
    request.end();
    const answer = await responseTo(request);
    if ((answer.statusCode ?? 500) >= 300) throw await refusal(answer);
    return await bodyOf(answer);
  } catch (error) {
    if (limit.signal.aborted) throw abortReason(limit.signal);
    throw isFlynnError(error) ? error : lost(error instanceof Error ? error.message : String(error));
  } finally {
    limit.clear();
  }
}

async function open(
  method: string,
  path: string,
  { upstream, key, signal }: CallOptions,
): Promise<http.ClientRequest> {
  const socket = await upstream.connect(signal);
  const request = http.request({
    createConnection: () => socket,
    method,
    path,
    headers: headersFor({}, key),
    signal,
  });
  // Whoever waits for the answer hears of it, too; without a listener it would end the process.
  request.on('error', () => undefined);
  return request;
}

function responseTo(request: http.ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request.once('response', resolve);
    request.once('error', reject);
    request.once('close', () => reject(new Error('the connection was closed')));
  });
}

async function bodyOf(answer: IncomingMessage): Promise<unknown> {
  for await (const value of jsonLines(answer as AsyncIterable<Buffer>)) return value;
  return undefined;
}

async function refusal(answer: IncomingMessage): Promise<FlynnError> {
  return errorFromBody(await bodyOf(answer).catch(() => undefined), answer.statusCode ?? 500);
}

function lost(why: string): FlynnError {
  return new FlynnError({
    code: 'unreachable',
    message: `the controller was lost in the middle of the push: ${why}`,
    hint: 'push again: another controller takes it',
  });
}

/** Aborts when neither side of a build has moved for a while. Time in which the pusher is slow does not count. */
class Silence {
  private readonly controller = new AbortController();
  private cancel: () => void = () => undefined;

  constructor(
    private readonly clock: Pick<Clock, 'after'>,
    private readonly ms: number,
  ) {}

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  begin(): void {
    this.cancel();
    this.cancel = this.clock.after(this.ms, () =>
      this.controller.abort(lost(`it said nothing for ${this.ms / 1000} s`)),
    );
  }

  end(): void {
    this.cancel();
  }

  async *watch(stream: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of stream) {
      this.end();
      yield chunk;
      this.begin();
    }
  }
}

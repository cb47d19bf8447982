// From pushed source to what serves: turn, build on the grid, release, deployment; the pusher hears all of it.
import type { ProcessSpec, Release } from '../../api/app.js';
import { maxSourceBytes, type BuildResult } from '../../api/build.js';
import { FlynnError, isFlynnError } from '../../api/errors.js';
import { ProcessType } from '../../api/names.js';
import type { JobTemplateInput } from '../../api/job.js';
import { configDirs, hostPaths } from '../../appliance/config.js';
import { poll } from '../../util/retry.js';
import { abortReason, withDeadline } from '../../util/signal.js';
import { build, type BuiltImage } from '../builder/build.js';
import { boundedSource, brokenLines } from './build-io.js';
import type { ApiContext } from './context.js';
import { deployWanted, readBasis, type Answer } from './deployments/create.js';
import { followDeployment } from './deployments/follow.js';
import type { OneOffs } from './oneoffs.js';
import { ensureSlugrunner, liveRegistries, systemImage, type RegistryPorts } from './registries.js';
import { openEnv } from './releases.js';
import { oneOffViews } from './schedulers/orphans.js';
import { parseOneOff } from './schedulers/oneoff.js';
import { Turns } from '../shared/turns.js';

const MiB = 1024 * 1024;
const trustDir = `${hostPaths.config}/${configDirs.trust}`;

/** What a push brings. */
export interface PushRequest {
  app: string;
  /** Who pushes, for people. */
  by: string;
  commit?: string;
  /** Tar of the source tree. */
  source: AsyncIterable<Buffer>;
  /** A line for the pusher; never waits. */
  say(line: string): void;
  /** Aborted when the pusher is gone: ends the build, but no deployment that has begun. */
  signal: AbortSignal;
}

/** Bounds: of one build, and of the wait for another one or for a deployment; ms. Bytes of source. */
const bounds = { buildMs: 1_800_000, waitMs: 1_800_000, lookMs: 250 } as const;

/** What a builder's job takes: limit and reservation apart, and a cpu weight that leaves elections alone. */
export function builderTemplate(image: string): Omit<JobTemplateInput, 'kind'> {
  return {
    image,
    network: 'bridge',
    // The authorities of the host's operator: builds fetch through the proxy of wherever they run.
    mounts: [{ type: 'bind', source: trustDir, target: trustDir, readOnly: true }],
    resources: { memory: 512 * MiB, cpu: 100 },
    memoryLimit: 1024 * MiB,
    cpuShares: 128,
    stopTimeoutMs: 5_000,
  };
}

/** Builds and deploys pushes on one copy of the controller. */
export class Builds {
  private readonly turns = new Turns();

  constructor(
    private readonly context: ApiContext,
    private readonly oneOffs: OneOffs,
    private readonly registries: Omit<RegistryPorts, 'picture' | 'hosts' | 'log'>,
    private readonly maxBytes = maxSourceBytes,
  ) {}

  /**
   * Builds and deploys; resolves when the new release serves. Throws `not_found`, `too_large`, `build_failed`,
   * `no_capacity`, `unreachable`, `failed` (built, but the deployment was rolled back), `interrupted`.
   */
  push(request: PushRequest): Promise<BuildResult> {
    const { app, say, signal } = request;
    const onWait = () => say(`-----> another push of ${app} is being built: this one waits for its turn`);
    return this.turns.take(app, () => this.pushNow(request), { signal, onWait });
  }

  private async pushNow(request: PushRequest): Promise<BuildResult> {
    await this.othersBuilt(request);
    const { base } = await readBasis(this.context, request.app);
    const env = base ? openEnv(this.context.clusterKey, base) : {};
    const built = await this.build(request, env);
    if (request.signal.aborted) throw abortReason(request.signal);
    const answer = await this.deploy(request, built);
    return this.serving(request, built, answer);
  }

  /** Another copy of the controller may be building the same app: its job shows in the picture. */
  private async othersBuilt({ app, say, signal }: PushRequest): Promise<void> {
    const { picture, hosts, clock } = this.context;
    const building = () =>
      oneOffViews({ picture, hosts }).some(({ job, host, state }) => {
        const owner = picture.records.claims.get(`claims/${host}/${job}`)?.value.o;
        const oneOff = owner === undefined ? undefined : parseOneOff(owner);
        return oneOff?.kind === 'build' && oneOff.app === app && state !== 'done' && state !== 'failed';
      });
    if (!building()) return;
    say(`-----> another push of ${app} is being built: this one waits for its turn`);
    const free = () => (building() ? undefined : true);
    await poll(clock, free, {
      timeoutMs: bounds.waitMs,
      intervalMs: bounds.lookMs,
      signal,
      what: 'the build before',
    });
  }

  private async build(request: PushRequest, env: Record<string, string>): Promise<BuiltImage> {
    const { picture, hosts, clock, log } = this.context;
    const { app, commit } = request;
    const registry: RegistryPorts = { ...this.registries, picture, hosts, log };
    // What ends the build early is remembered: the build itself only knows that it was cancelled.
    const cancel = new AbortController();
    let cause: unknown;
    const fail = (error: unknown): void => {
      cause ??= error;
      cancel.abort();
    };
    const begin = async (signal: AbortSignal): Promise<BuiltImage> =>
      build(
        {
          app,
          env,
          source: boundedSource(request.source, this.maxBytes, fail),
          ...(commit === undefined ? {} : { commit }),
          onLine: request.say,
          signal,
        },
        {
          registries: () => liveRegistries(registry),
          slugrunner: () => ensureSlugrunner(registry),
          startBuilder: async () => {
            const image = systemImage(picture, 'slugbuilder');
            const job = await this.oneOffs.start(
              { app, kind: 'build', template: builderTemplate(image) },
              signal,
            );
            log.info({ app, job: job.job }, 'build started');
            return brokenLines(job);
          },
        },
      );
    const signal = AbortSignal.any([request.signal, cancel.signal]);
    try {
      return await withDeadline(clock, bounds.buildMs, begin, { signal, what: `the build of ${app}` });
    } catch (error) {
      throw cause ?? error;
    }
  }

  /** Makes the release. A deployment that is under way is waited for: the source is built already. */
  private async deploy({ app, by, commit, say, signal }: PushRequest, built: BuiltImage): Promise<Answer> {
    const { picture, clock, clusterKey } = this.context;
    const end = clock.mono() + bounds.waitMs;
    for (;;) {
      try {
        return await deployWanted(this.context, app, ({ base }) => ({
          image: built.image,
          processes: processesOf(built.processes, base),
          env: base ? openEnv(clusterKey, base) : {},
          why: commit === undefined ? 'git push' : `git push ${commit.slice(0, 7)}`,
          by,
          ...(commit === undefined ? {} : { git: commit }),
        }));
      } catch (error) {
        if (!isFlynnError(error, 'conflict') || clock.mono() >= end) throw error;
      }
      if (picture.app(app)?.deployment !== undefined)
        say('-----> Waiting for the deployment that is under way');
      const free = () => (picture.app(app)?.deployment === undefined ? true : undefined);
      await clock.sleep(bounds.lookMs, signal);
      await poll(clock, free, {
        timeoutMs: bounds.waitMs,
        intervalMs: bounds.lookMs,
        signal,
        what: 'the deployment before',
      });
    }
  }

  private async serving(
    { app, say, signal }: PushRequest,
    built: BuiltImage,
    answer: Answer,
  ): Promise<BuildResult> {
    const result: BuildResult = {
      app,
      release: answer.release,
      image: built.image,
      url: urlOf(this.context, app),
    };
    if (!answer.deployment) {
      say(`-----> Nothing changed: release ${answer.release} runs this already`);
      return result;
    }
    say(`-----> Deploying release ${answer.release}`);
    const ended = await followDeployment(
      this.context,
      answer.deployment,
      (line) => say(`       ${line}`),
      signal,
    );
    if (ended.state === 'complete') {
      say(`-----> Release ${answer.release} serves at ${result.url}`);
      return result;
    }
    for (const line of ended.tail ?? []) say(`       ${line}`);
    const kept = ended.from === undefined ? 'nothing ran before' : `release ${ended.from} goes on`;
    throw new FlynnError({
      code: 'failed',
      message: `release ${ended.to} of ${app} was not deployed: ${ended.reason ?? 'no reason is known'}; ${kept}`,
      hint: `flynn releases -a ${app}`,
    });
  }
}

/** Process types of a slug; what was said of a type before (port, health, resources) is kept. Throws `build_failed`. */
export function processesOf(
  commands: Readonly<Record<string, string>>,
  base: Pick<Release, 'processes'> | undefined,
): Release['processes'] {
  const types = Object.entries(commands);
  if (types.length === 0)
    throw new FlynnError({
      code: 'build_failed',
      message: 'the app has no process type',
      hint: 'add a Procfile with a line such as `web: ./start`',
    });
  return Object.fromEntries(
    types.map(([type, command]): [string, ProcessSpec] => {
      const named = ProcessType.safeParse(type);
      if (!named.success)
        throw new FlynnError({
          code: 'build_failed',
          message: `process type ${type}: ${named.error.issues[0]?.message ?? 'not a name'}`,
        });
      const { entrypoint: _entrypoint, args: _args, ...kept } = base?.processes[type] ?? {};
      return [type, { ...kept, args: [command] }];
    }),
  );
}

function urlOf({ picture }: ApiContext, app: string): string {
  const cluster = picture.cluster();
  const domain =
    picture.routes().find((route) => route.app === app && route.auto)?.domain ??
    `${app}.${cluster?.domain ?? ''}`;
  const port = cluster?.httpPort ?? 80;
  return `http://${domain}${port === 80 ? '' : `:${port}`}`;
}

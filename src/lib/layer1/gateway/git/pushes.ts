// Pushes: who may, into which app, one at a time per app; the build decides whether git accepts.
import { join } from 'node:path';
import type { ServerChannel } from 'ssh2';
import type { SshKey } from '../../../api/app.js';
import { maxSourceBytes } from '../../../api/build.js';
import { FlynnError, isFlynnError, toFlynnError } from '../../../api/errors.js';
import type { Clock } from '../../../util/clock.js';
import type { Log } from '../../../util/log.js';
import { abortReason, deadline } from '../../../util/signal.js';
import { requireApp } from '../../shared/person.js';
import { Turns } from '../../shared/turns.js';
import type { Upstream } from '../upstream.js';
import { archive, sourceBytes } from './archive.js';
import { appOfPath } from './command.js';
import { findApp, sendBuild } from './controller.js';
import { installHook, type HookTalk } from './hook.js';
import { receive } from './receive.js';
import { Repos, type RepoOf } from './repos.js';
import { judge } from './updates.js';

const MiB = 1024 * 1024;

/** Bounds of pushes. */
export interface PushLimits {
  /** Bytes of objects that one push may bring. */
  maxBytes: number;
  /** Pushes at a time, waiting ones included. */
  pushes: number;
  /** Of one push from its first byte to its end, the wait for others included, ms. */
  pushMs: number;
}

/** What bounds pushes unless told otherwise. */
export const pushLimits: PushLimits = { maxBytes: maxSourceBytes, pushes: 16, pushMs: 7_200_000 };

/** What pushes need. */
export interface PushesOptions {
  /** Directory for repositories and the hook; may be lost between two pushes. */
  dir: string;
  upstream: Upstream;
  clock: Clock;
  log: Log;
  limits?: Partial<PushLimits>;
}

/** A push under way. */
export interface Push {
  /** Ends it: git, and the build that it waits for. */
  destroy(): void;
  /** Resolves when the channel was told how it ended. Never rejects. */
  done: Promise<void>;
}

/** Takes pushes. */
export class Pushes {
  private readonly turns = new Turns();
  private readonly repos: Repos;
  private readonly hooks: string;
  private readonly limits: PushLimits;
  private readonly prepared: Promise<void>;
  private active = 0;

  constructor(private readonly options: PushesOptions) {
    this.limits = { ...pushLimits, ...options.limits };
    this.hooks = join(options.dir, 'hooks');
    this.repos = new Repos(join(options.dir, 'repos'), options);
    this.prepared = Promise.all([installHook(this.hooks), this.repos.sweep()]).then(() => undefined);
    this.prepared.catch((error: unknown) =>
      options.log.error({ err: String(error) }, 'pushes cannot be taken'),
    );
  }

  /** Serves one channel whose command pushes to `path`, in the name of the key that `who` tells. */
  serve(channel: ServerChannel, path: string, who: () => SshKey | undefined): Push {
    const stop = new AbortController();
    const gone = (): void =>
      stop.abort(new FlynnError({ code: 'interrupted', message: 'the pusher is gone' }));
    channel.on('error', gone);
    channel.on('close', gone);
    const done = this.push(channel, path, who, stop.signal).catch((error: unknown) => {
      if (!stop.signal.aborted) tell(channel, error, this.options.log);
      end(channel, 1);
    });
    return { destroy: gone, done };
  }

  private async push(
    channel: ServerChannel,
    path: string,
    who: () => SshKey | undefined,
    gone: AbortSignal,
  ): Promise<void> {
    const { clock, upstream } = this.options;
    if (this.active >= this.limits.pushes) {
      throw new FlynnError({ code: 'no_capacity', message: 'too many pushes at once', hint: 'push again' });
    }
    this.active += 1;
    const limit = deadline(clock, this.limits.pushMs, gone, 'the push');
    try {
      const name = appOfPath(path);
      const key = who();
      if (!key) throw new FlynnError({ code: 'refused', message: 'this key may not push any more' });
      requireApp(key, name, 'deploy');
      await this.prepared;
      const call = { upstream, key, clock, signal: limit.signal };
      // Before the wait, too: nobody should wait for their turn to hear that there is no such app.
      await knownApp(name, call);
      const onWait = (): void =>
        void channel.stderr.write(`another push to ${name} is under way: this one waits for its turn\n`);
      await this.turns.take(
        name,
        async () => {
          const repo = await this.repos.open(await knownApp(name, call));
          const code = await this.receive(channel, repo, name, call);
          if (limit.signal.aborted && !gone.aborted)
            tell(channel, abortReason(limit.signal), this.options.log);
          end(channel, code);
          await this.repos.tidy(repo);
        },
        { signal: limit.signal, onWait },
      );
    } finally {
      limit.clear();
      this.active -= 1;
    }
  }

  private async receive(
    channel: ServerChannel,
    repo: string,
    app: string,
    call: { upstream: Upstream; key: SshKey; clock: Clock; signal: AbortSignal },
  ): Promise<number> {
    const { clock, log } = this.options;
    const over = new AbortController();
    const signal = AbortSignal.any([call.signal, over.signal]);
    const { key } = call;
    return receive({
      channel,
      repo,
      hooks: this.hooks,
      maxBytes: this.limits.maxBytes,
      clock,
      signal,
      onTooLarge: () => {
        tell(channel, tooLarge(this.limits.maxBytes), log);
        over.abort(tooLarge(this.limits.maxBytes));
      },
      onEnd: () => over.abort(new FlynnError({ code: 'interrupted', message: 'git has ended' })),
      converse: async (hook) => {
        try {
          const accepted = await this.decide(hook, repo, app, { ...call, signal });
          if (accepted) log.info({ app, key: key.fingerprint, name: key.name, commit: accepted }, 'pushed');
          await hook.exit(accepted ? 0 : 1);
        } catch (error) {
          if (!signal.aborted) await sayError(hook, error, log);
          await hook.exit(1);
        }
      },
    });
  }

  /** Builds what the push brings; the commit that now runs, or undefined when the push is refused. */
  private async decide(
    hook: HookTalk,
    repo: string,
    app: string,
    call: { upstream: Upstream; key: SshKey; clock: Clock; signal: AbortSignal },
  ): Promise<string | undefined> {
    const question = await hook.question();
    if (!question) return undefined;
    const verdict = judge(question.updates);
    if ('refuse' in verdict) {
      for (const line of verdict.refuse) await hook.say(line);
      return undefined;
    }
    const commit = verdict.deploy;
    const tree = { repo, commit, objects: question.objects };
    // Files may be larger than the objects that brought them: nobody should wait for a builder to hear of it.
    if ((await sourceBytes(tree)) > this.limits.maxBytes) throw sourceTooLarge(this.limits.maxBytes);
    const source = archive(tree);
    await sendBuild({ ...call, app, commit, source, say: (line) => hook.say(line) });
    return commit;
  }
}

async function knownApp(name: string, call: Parameters<typeof findApp>[1]): Promise<RepoOf> {
  try {
    return await findApp(name, call);
  } catch (error) {
    if (call.signal.aborted) throw abortReason(call.signal);
    if (!isFlynnError(error, 'not_found')) throw error;
    throw new FlynnError({
      code: 'not_found',
      message: `app ${name} does not exist`,
      hint: `flynn apps:create ${name}`,
      cause: error,
    });
  }
}

function tooLarge(maxBytes: number): FlynnError {
  return new FlynnError({
    code: 'too_large',
    message: `the push brings more than ${Math.round(maxBytes / MiB) || `${maxBytes / MiB} `} MiB`,
    hint: 'leave large files out of the history, or deploy an image: flynn deploy --image IMAGE',
  });
}

function sourceTooLarge(maxBytes: number): FlynnError {
  return new FlynnError({
    code: 'too_large',
    message: `the source has more than ${Math.round(maxBytes / MiB) || `${maxBytes / MiB} `} MiB`,
    hint: 'leave large files out with .gitignore, or deploy an image: flynn deploy --image IMAGE',
  });
}

function linesOf(thrown: unknown, log: Log): string[] {
  const error = toFlynnError(thrown);
  if (error.code === 'internal') log.error({ err: String(thrown) }, 'a push failed');
  return [error.message, ...(error.hint ? [`  → ${error.hint}`] : [])];
}

function tell(channel: ServerChannel, error: unknown, log: Log): void {
  if (channel.stderr.writable) channel.stderr.write(`${linesOf(error, log).join('\n')}\n`);
}

async function sayError(hook: HookTalk, error: unknown, log: Log): Promise<void> {
  for (const line of linesOf(error, log)) await hook.say(line);
}

/** Ends the channel with a code; the code first, since ssh2 sends none after the end. */
function end(channel: ServerChannel, code: number): void {
  if (!channel.writable) return;
  channel.exit(code);
  channel.end();
  // Unread data would keep the channel from closing.
  channel.resume();
}

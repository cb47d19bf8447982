// Following a deployment from the picture, with a line for every change of its jobs, until it has ended.
import type { Deployment, JobLine } from '../../../api/app.js';
import { FlynnError } from '../../../api/errors.js';
import { keys } from '../../../api/keys.js';
import type { Clock } from '../../../util/clock.js';
import { abortReason } from '../../../util/signal.js';
import { jobContext } from '../desired.js';
import type { HostWatch } from '../hostwatch.js';
import { jobLines } from '../jobs.js';
import type { Picture } from '../state.js';
import { isSettled } from '../view.js';
import { Wakeup } from '../wakeup.js';
import { stepsOf } from './plan.js';

/** What following needs. */
export interface FollowPorts {
  picture: Picture;
  hosts: HostWatch;
  clock: Clock;
}

/**
 * Time that the leader is given beyond the deployment's own; between two looks without a change; and until routers
 * have let go of the old release; ms.
 */
const figures = { grace: 60_000, look: 1_000, settle: 15_000 } as const;

/** What is new in the jobs of a release, as lines for people; pure. `known` is brought up to date. */
export function jobNews(jobs: readonly JobLine[], release: number, known: Map<string, string>): string[] {
  const news: string[] = [];
  for (const job of jobs) {
    if (job.release !== release) continue;
    const text =
      job.reason !== undefined && job.state !== 'serving' ? `${job.state} (${job.reason})` : job.state;
    if (known.get(job.id) === text) continue;
    known.set(job.id, text);
    news.push(`${job.name} on ${job.host}: ${text}`);
  }
  return news;
}

/**
 * Waits until a deployment has ended and returns it. Throws `timeout` when no leader ends it in time, `not_found` when
 * the app goes away meanwhile, and the signal's reason.
 */
export async function followDeployment(
  ports: FollowPorts,
  started: Deployment,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<Deployment> {
  const { picture, hosts, clock } = ports;
  const { app, id, to } = started;
  const key = keys.deployment(app, id);
  const steps = stepsOf(started.strategy, picture.formation(app), picture.hosts().size);
  const until = clock.mono() + started.timeoutMs * steps + figures.grace;
  const known = new Map<string, string>();
  const wakeup = new Wakeup(clock);
  const ends = [
    picture.onChange((touched) => void ((touched === 'all' || touched.has(app)) && wakeup.ring())),
    hosts.onNews(() => wakeup.ring()),
  ];
  let seen = false;
  let endedAt: number | undefined;
  try {
    for (;;) {
      for (const line of jobNews(jobLines(picture.jobs(app), jobContext(picture, hosts, app)), to, known))
        say(line);
      const now = picture.records.deployments.get(key)?.value;
      if (now?.state === 'failed') return now;
      if (now?.state === 'complete') {
        // Whoever asks next must not be answered by the old release.
        endedAt ??= clock.mono();
        const record = picture.app(app);
        if (!record || isSettled(ports, record) || clock.mono() >= endedAt + figures.settle) return now;
      }
      seen ||= now !== undefined;
      if (seen && !now)
        throw new FlynnError({
          code: 'not_found',
          message: `app ${app} was destroyed meanwhile`,
          hint: 'flynn apps',
        });
      if (signal.aborted) throw abortReason(signal);
      if (endedAt === undefined && clock.mono() >= until) throw tooLate(started);
      await wakeup.wait(figures.look, signal);
    }
  } finally {
    for (const end of ends) end();
  }
}

function tooLate({ app, to }: Deployment): FlynnError {
  return new FlynnError({
    code: 'timeout',
    message: `the deployment of release ${to} of ${app} has not ended in time; it goes on without us`,
    hint: `flynn ps -a ${app}`,
  });
}

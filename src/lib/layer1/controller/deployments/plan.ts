// Deployments: pure decisions. What may run of the old and of the new release, and when it has succeeded or failed.
import type { Deployment, Formation } from '../../../api/app.js';

/** Counts by process type. */
export type Counts = Formation['processes'];

/** Failed starts of the new release after which it is given up. */
export const maxFailedStarts = 5;
/** A leader that takes a deployment over watches it at least this long before it calls it late, ms. */
const takeoverMs = 10_000;

/** What runs of the new release, and what the rules need. */
export interface RolloutInput {
  strategy: Deployment['strategy'];
  formation: Counts;
  /** Process types of the old release; absent: there is none. */
  from: readonly string[] | undefined;
  to: readonly string[];
  /** Jobs of the new release that serve, by type. */
  serving: Counts;
  /** Jobs of the new release that are booked to run, by type. */
  booked: Counts;
  /** Jobs replaced at a time by `in-batches`: the number of hosts. */
  batch: number;
}

/** Counts that should run of each release while a deployment is under way: new ones first, old ones as new ones serve. */
export function rollout(input: RolloutInput): { from: Counts; to: Counts } {
  const { strategy, formation, batch } = input;
  const step = strategy === 'one-by-one' ? 1 : Math.max(1, batch);
  const to: Counts = {};
  const from: Counts = {};
  for (const type of input.to) {
    const want = formation[type] ?? 0;
    const serving = Math.min(want, input.serving[type] ?? 0);
    // Never fewer than are booked: a new job that stumbles is no reason to stop it.
    const allowed = strategy === 'all-at-once' ? want : Math.max(serving + step, input.booked[type] ?? 0);
    to[type] = Math.min(want, allowed);
  }
  for (const type of input.from ?? []) {
    const want = formation[type] ?? 0;
    const replaced = input.to.includes(type) ? Math.min(want, input.serving[type] ?? 0) : 0;
    from[type] = strategy === 'all-at-once' ? want : want - replaced;
  }
  return { from, to };
}

/** Number of steps a strategy takes: each has the deployment's whole timeout. */
export function stepsOf(strategy: Deployment['strategy'], formation: Counts, batch: number): number {
  if (strategy === 'all-at-once') return 1;
  const most = Math.max(1, ...Object.values(formation));
  return strategy === 'one-by-one' ? most : Math.ceil(most / Math.max(1, batch));
}

/** A job of the new release. */
export interface NewJobView {
  name: string;
  type: string;
  serving: boolean;
  failedStarts: number;
  /** It can never start: its agent gave up before a container ran (an image that cannot be had). */
  hopeless: boolean;
  reason?: string;
  tail?: readonly string[];
}

/** What a deployment is judged by. */
export interface JudgeInput {
  deployment: Pick<Deployment, 'startedAt' | 'timeoutMs' | 'failedStarts'>;
  formation: Counts;
  /** Process types of the new release. */
  types: readonly string[];
  jobs: readonly NewJobView[];
  steps: number;
  /** Wall clock, and how long this leader has been watching it; ms. */
  now: number;
  watchedMs: number;
  /** Why jobs are not placed, when that is known. */
  problem?: string;
}

/** The verdict. `waiting` carries the count of failed starts to be kept. */
export type Verdict =
  | { state: 'running'; failedStarts: number }
  | { state: 'complete' }
  | { state: 'failed'; failedStarts: number; reason: string; tail?: string[] };

/** Judges a deployment that is under way. */
export function judgeDeployment(input: JudgeInput): Verdict {
  const { deployment, formation, jobs } = input;
  const serving = (type: string) => jobs.filter((job) => job.type === type && job.serving).length;
  const short = input.types.filter((type) => serving(type) < (formation[type] ?? 0));
  if (short.length === 0) return { state: 'complete' };

  const counted = jobs.reduce((sum, job) => sum + job.failedStarts, 0);
  const failed = Math.max(deployment.failedStarts, counted);
  const worst = worstJob(jobs);
  const fail = (reason: string): Verdict => ({
    state: 'failed',
    failedStarts: failed,
    reason,
    ...(worst?.tail && worst.tail.length > 0 ? { tail: [...worst.tail] } : {}),
  });
  const hopeless = jobs.find((job) => job.hopeless);
  if (hopeless) return fail(`${hopeless.name} cannot start: ${hopeless.reason ?? 'its agent gave up'}`);
  if (failed >= maxFailedStarts) {
    return fail(
      `${failed} starts failed${worst ? `; ${worst.name}: ${worst.reason ?? 'no reason given'}` : ''}`,
    );
  }
  const limit = deployment.timeoutMs * input.steps;
  const elapsed = input.now - deployment.startedAt;
  // The start was written by another host's clock: one that is ahead must not end a deployment just taken over.
  const late =
    input.watchedMs >= limit || (elapsed >= limit && input.watchedMs >= Math.min(limit, takeoverMs));
  if (!late) return { state: 'running', failedStarts: failed };
  const counts = short.map((type) => `${type} ${serving(type)} of ${formation[type] ?? 0}`).join(', ');
  const cause = input.problem ?? (worst?.reason ? `${worst.name}: ${worst.reason}` : undefined);
  return fail(`not serving after ${Math.round(limit / 1000)} s: ${counts}${cause ? `; ${cause}` : ''}`);
}

/** The job whose words explain best: one with a tail, then one with a reason, then the one with most failed starts. */
function worstJob(jobs: readonly NewJobView[]): NewJobView | undefined {
  const rank = (job: NewJobView) =>
    (job.tail?.length ? 4 : 0) + (job.reason ? 2 : 0) + (job.failedStarts > 0 ? 1 : 0);
  return jobs
    .filter((job) => !job.serving && rank(job) > 0)
    .reduce<NewJobView | undefined>((best, job) => (!best || rank(job) > rank(best) ? job : best), undefined);
}

// Health of instances: the pure verdict, which containers are to be checked, and the monitor that checks them.
import type { Clock } from '../../util/clock.js';
import { healthPlan, type HealthPlan } from './ports.js';
import { claimsByJob, currentByJob, isRunning, type HostState, type Verdict } from './state.js';

/** How a check ended: undefined when it was good, else what was wrong. */
export type ProbeAnswer = string | undefined;

/** Carries out one check. Never throws for an unhealthy instance, and answers within the check's timeout. */
export type Probe = (
  plan: Extract<HealthPlan, { type: 'probe' }>,
  signal: AbortSignal,
) => Promise<ProbeAnswer>;

/** Carries out one `exec` check in that container, under the same rules. */
export type ExecProbe = (
  plan: Extract<HealthPlan, { type: 'exec' }>,
  container: string,
  signal: AbortSignal,
) => Promise<ProbeAnswer>;

/** Consecutive answers of one instance. */
export interface HealthState {
  verdict: Verdict;
  good: number;
  bad: number;
}

type ProbePlan = Extract<HealthPlan, { type: 'probe' | 'exec' }>;

/** The state after one more answer. A starting instance is not down, only not yet up; an adopted one can be. */
export const healthStep = (
  state: HealthState,
  ok: boolean,
  plan: Pick<ProbePlan, 'upAfter' | 'downAfter'>,
  adopted: boolean,
): HealthState => {
  const good = ok ? state.good + 1 : 0;
  const bad = ok ? 0 : state.bad + 1;
  if (good >= plan.upAfter) return { verdict: 'up', good, bad };
  const mayFall = state.verdict === 'up' || (state.verdict === 'unknown' && adopted);
  return { verdict: mayFall && bad >= plan.downAfter ? 'down' : state.verdict, good, bad };
};

/** Bad answers in a row after which a starting instance's problem is told. */
const startingBads = 20;
/** An instance that takes longer than this (ms) to start is asked at the steady interval. */
const startingMs = 60_000;

/** Pause in ms before the next check of an instance that has been watched for `ageMs`. */
export const nextCheckIn = (
  state: HealthState,
  check: ProbePlan['check'],
  adopted: boolean,
  ageMs: number,
): number => {
  const confirming = state.good > 0 && state.verdict !== 'up';
  const starting = state.verdict === 'unknown' && !adopted && ageMs < startingMs;
  return confirming || starting ? Math.min(check.startIntervalMs, check.intervalMs) : check.intervalMs;
};

/** A container that is to be checked. */
export interface HealthTarget {
  job: string;
  container: string;
  adopted: boolean;
  plan: HealthPlan;
}

/** The containers to be checked now: those that run, are known in full, and are not being stopped. */
export const healthTargets = (state: HostState): HealthTarget[] => {
  const current = currentByJob(state);
  const targets: HealthTarget[] = [];
  for (const [job, claim] of claimsByJob(state)) {
    const container = current.get(job);
    const record = state.jobs.get(job);
    const template = state.templates.get(claim.t);
    if (!container?.details || !record || !template || !isRunning(container)) continue;
    if (claim.w === 'stop' || record.container !== container.id) continue;
    const plan = healthPlan(template, state.host.address, container.details.ip);
    if (plan) targets.push({ job, container: container.id, adopted: record.adopted, plan });
  }
  return targets;
};

/** A bad answer that came this much (ms) later than it should have says something of us, not of the instance. */
const frozenMs = 1_000;

interface Watched {
  target: HealthTarget;
  stop: AbortController;
}

/** Checks targets, each in its own rhythm, and tells verdicts when they change. */
export class HealthMonitor {
  private readonly watched = new Map<string, Watched>();

  constructor(
    private readonly clock: Clock,
    private readonly probe: Probe,
    private readonly exec: ExecProbe,
    private readonly tell: (target: HealthTarget, verdict: Verdict, problem: string | undefined) => void,
  ) {}

  /** Checks exactly these from now on; a target that was there before goes on undisturbed. */
  sync(targets: HealthTarget[]): void {
    const wanted = new Map(targets.map((t) => [t.container, t]));
    for (const [container, { stop }] of this.watched) {
      if (wanted.has(container)) continue;
      stop.abort();
      this.watched.delete(container);
    }
    for (const target of targets) {
      if (this.watched.has(target.container)) continue;
      const stop = new AbortController();
      this.watched.set(target.container, { target, stop });
      if (target.plan.type === 'running') this.awaitRunning(target, target.plan.ms, stop.signal);
      else void this.follow(target, target.plan, stop.signal);
    }
  }

  /** Ends all checks. */
  close(): void {
    this.sync([]);
  }

  private awaitRunning(target: HealthTarget, ms: number, signal: AbortSignal): void {
    const cancel = this.clock.after(ms, () => this.tell(target, 'up', undefined));
    signal.addEventListener('abort', cancel, { once: true });
  }

  private async follow(target: HealthTarget, plan: ProbePlan, signal: AbortSignal): Promise<void> {
    const { clock } = this;
    const since = clock.mono();
    let state: HealthState = { verdict: 'unknown', good: 0, bad: 0 };
    let told = 'unknown ';
    for (let due = since; !signal.aborted;) {
      const begun = clock.mono();
      const problem = await this.ask(target, plan, signal);
      if (signal.aborted) return;
      const late = begun - due > frozenMs || clock.mono() - begun > plan.check.timeoutMs + frozenMs;
      if (problem === undefined || !late) {
        state = healthStep(state, problem === undefined, plan, target.adopted);
        // Refused connections are part of every start: they are worth telling only when they go on.
        const quiet = state.verdict === 'unknown' && state.bad < startingBads;
        const news = quiet ? told : `${state.verdict} ${problem ?? ''}`;
        if (news !== told) this.tell(target, state.verdict, problem);
        told = news;
      }
      const pause = nextCheckIn(state, plan.check, target.adopted, clock.mono() - since);
      due = clock.mono() + pause;
      await new Promise<void>((resolve) => {
        const cancel = clock.after(pause, done);
        function done(): void {
          signal.removeEventListener('abort', done);
          cancel();
          resolve();
        }
        signal.addEventListener('abort', done, { once: true });
      });
    }
  }

  private async ask(target: HealthTarget, plan: ProbePlan, signal: AbortSignal): Promise<ProbeAnswer> {
    try {
      return plan.type === 'exec'
        ? await this.exec(plan, target.container, signal)
        : await this.probe(plan, signal);
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }
}

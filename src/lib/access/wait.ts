// Waiting for what a command started, with a line for every change: a formation that serves, a deployment that ends.
import type { AppState, Deployment } from '../api/app.js';
import { FlynnError } from '../api/errors.js';
import { isServing, missing, transitions } from '../ui/progress.js';
import { seconds, type Reporter } from '../ui/report.js';
import type { Clock } from '../util/clock.js';
import { DeadlineError } from '../util/signal.js';
import type { ControllerClient } from './controller.js';
import { followApp, waitLimit } from './follow.js';

/** What a wait needs. */
export interface WaitOptions {
  controller: ControllerClient;
  app: string;
  report: Reporter;
  clock: Clock;
  /** Ctrl-C. */
  signal: AbortSignal;
  /** The state from before the change, so that no transition is missed; the first one seen otherwise. */
  from?: AppState;
  /** Bound of the wait, ms. */
  timeoutMs: number;
}

/**
 * Waits until the formation is `wanted` and serves. Returns the last state and the time it took in ms. Throws
 * `timeout` with what is missing, `interrupted` on Ctrl-C: the cluster goes on either way.
 */
export async function waitForFormation(
  wanted: Readonly<Record<string, number>>,
  options: WaitOptions,
): Promise<{ state: AppState; ms: number }> {
  let last: AppState | undefined;
  const start = options.clock.mono();
  const state = await until(options, (next) => {
    last = next;
    return Promise.resolve(isServing(next, wanted) ? next : undefined);
  }).catch((error: unknown) => {
    const short = last && missing(last, wanted);
    throw ended(error, options, {
      what: `the new formation of ${options.app}`,
      detail: [short, last?.problem].filter(Boolean).join('; '),
    });
  });
  const ms = options.clock.mono() - start;
  options.report.done(`serving after ${seconds(ms)}`);
  return { state, ms };
}

/** How long the routers are waited for to let go of the old release, ms. */
const settleMs = 15_000;

/**
 * Waits until a deployment has ended. Returns it when it is complete; throws `failed` with its reason and the last
 * lines of the container that failed, `timeout`, and `interrupted` on Ctrl-C: it goes on without us either way.
 */
export async function waitForDeployment(
  deployment: Deployment,
  options: WaitOptions,
): Promise<{ deployment: Deployment; ms: number }> {
  const { controller, app, clock, report } = options;
  const start = clock.mono();
  let endedAt: number | undefined;
  const done = await until(options, async (state) => {
    if (state.deployment?.id === deployment.id && state.deployment.state === 'running') return undefined;
    // The state shows what is under way; how a deployment ended is asked of itself.
    const current = await controller.deployment(app, deployment.id);
    if (current.state === 'running') return undefined;
    // Whoever asks next must not be answered by the old release.
    if (current.state === 'complete') endedAt ??= clock.mono();
    const letGo = endedAt === undefined || state.settled || clock.mono() >= endedAt + settleMs;
    return letGo ? current : undefined;
  }).catch((error: unknown) => {
    throw ended(error, options, { what: `the deployment of ${app} v${deployment.to}`, detail: '' });
  });
  const ms = clock.mono() - start;
  if (done.state === 'failed') throw failed(done);
  report.done(`v${done.to} serves after ${seconds(ms)}`);
  return { deployment: done, ms };
}

function failed(deployment: Deployment): FlynnError {
  const { app, to, from, reason, tail = [] } = deployment;
  const serving = from === undefined ? 'nothing serves' : `v${from} still serves`;
  return new FlynnError({
    code: 'failed',
    message: [
      `${app} v${to} failed: ${reason ?? 'no reason was recorded'}; ${serving}`,
      ...tail.map((line) => `    ${line}`),
    ].join('\n'),
    hint: `flynn logs -a ${app}`,
  });
}

async function until<T>(
  options: WaitOptions,
  judge: (state: AppState) => Promise<T | undefined>,
): Promise<T> {
  const { controller, app, clock, report, timeoutMs } = options;
  const limit = waitLimit(clock, timeoutMs, options.signal, 'waiting');
  let previous = options.from;
  try {
    for await (const state of followApp(controller, app, { clock, signal: limit.signal })) {
      for (const line of transitions(previous, state, clock.now())) report.line(line);
      previous = state;
      const verdict = await judge(state);
      if (verdict !== undefined) return verdict;
    }
  } finally {
    limit.clear();
  }
  throw new FlynnError({ code: 'internal', message: `the watch of ${app} ended by itself` });
}

function ended(error: unknown, options: WaitOptions, wait: { what: string; detail: string }): unknown {
  const { app, signal, timeoutMs } = options;
  if (signal.aborted) {
    return new FlynnError({
      code: 'interrupted',
      message: `${wait.what} goes on without this command`,
      hint: `flynn ps -a ${app}`,
      cause: error,
    });
  }
  if (error instanceof DeadlineError) {
    return new FlynnError({
      code: 'timeout',
      message: `${wait.what} is not done after ${seconds(timeoutMs)}, and goes on${wait.detail ? `: ${wait.detail}` : ''}`,
      hint: `flynn ps -a ${app}`,
      cause: error,
    });
  }
  return error;
}

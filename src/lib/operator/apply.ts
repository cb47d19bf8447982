// Carries out a plan: every operation once its predecessors are done, several hosts at once, at most so many.
import { FlynnError, toFlynnError } from '../api/errors.js';
import type { Clock } from '../util/clock.js';
import type { OperatorReporter } from './events.js';
import type { Operation, OperationKind } from './operation.js';

/** What an operation gets to talk with. */
export interface OperationHandle {
  operation: Operation;
  /** Says how it goes. */
  progress(text: string): void;
  signal: AbortSignal;
}

/** Carries out one kind of operation; false when there was nothing to do. Called again, it does nothing. */
export type Executor = (handle: OperationHandle) => Promise<boolean>;

/** How a plan is carried out. */
export interface ApplyOptions {
  executors: Readonly<Record<OperationKind, Executor>>;
  reporter: OperatorReporter;
  clock: Pick<Clock, 'mono'>;
  /** Operations under way at once. Default 16. */
  parallel?: number;
  signal?: AbortSignal;
}

/** How an operation went. `changed` false: it was done before. */
export interface OperationResult {
  id: string;
  changed: boolean;
  ms: number;
}

/**
 * Runs the plan to its end and returns what each operation did. After the first failure nothing new is begun, what
 * is under way is finished, and the failure is thrown (with the names of further ones). The plan can be run again.
 */
export async function apply(
  operations: readonly Operation[],
  options: ApplyOptions,
): Promise<OperationResult[]> {
  const { executors, reporter, clock, parallel = 16 } = options;
  const stop = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal;
  const waiting = new Map(operations.map((operation) => [operation.id, operation]));
  const done = new Map<string, OperationResult>();
  const running = new Map<string, Promise<void>>();
  const failures: { operation: Operation; error: unknown }[] = [];

  const run = async (operation: Operation): Promise<void> => {
    const { id, title, host } = operation;
    const start = clock.mono();
    const named = { id, title, ...(host ? { host } : {}) };
    reporter.event({ type: 'operation.start', ...named });
    try {
      const changed = await executors[operation.kind]({
        operation,
        signal,
        progress: (text) =>
          reporter.event({ type: 'operation.progress', id, text, ...(host ? { host } : {}) }),
      });
      const result = { id, changed, ms: Math.round(clock.mono() - start) };
      done.set(id, result);
      reporter.event({ type: 'operation.done', ...named, changed, ms: result.ms });
    } catch (error) {
      failures.push({ operation, error });
      reporter.event({ type: 'operation.failed', ...named, message: toFlynnError(error).message });
    } finally {
      running.delete(id);
    }
  };

  for (;;) {
    options.signal?.throwIfAborted();
    if (failures.length === 0) {
      for (const operation of waiting.values()) {
        if (running.size >= parallel) break;
        if (!operation.after.every((id) => done.has(id))) continue;
        waiting.delete(operation.id);
        running.set(operation.id, run(operation));
      }
    }
    if (running.size === 0) break;
    await Promise.race(running.values());
  }
  const [first, ...others] = failures;
  if (first) throw failureOf(first, others);
  if (waiting.size > 0) throw new Error(`the plan goes in a circle: ${[...waiting.keys()].join(', ')}`);
  return operations.flatMap((operation) => done.get(operation.id) ?? []);
}

function failureOf(
  first: { operation: Operation; error: unknown },
  others: readonly { operation: Operation; error: unknown }[],
): FlynnError {
  const error = toFlynnError(first.error);
  const where = first.operation.host ? `${first.operation.host}: ` : '';
  const also = others.length > 0 ? ` (also failed: ${others.map((f) => f.operation.id).join(', ')})` : '';
  return new FlynnError({
    code: error.code,
    message: `${where}${first.operation.title}: ${error.message}${also}`,
    hint: error.hint ?? 'run the same command again: it goes on where it stopped',
    cause: first.error,
  });
}

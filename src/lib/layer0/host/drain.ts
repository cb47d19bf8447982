// Letting go of an instance: whether the routers have stopped using it.
import type { Consumer } from '../../api/grid.js';
import { keys, partsAfter } from '../../api/keys.js';

/** How long (ms) a stopping job waits for its consumers at most (RULES 5). */
export const drainCapMs = 10_000;

/**
 * Whether every live consumer of the service has applied the withdrawal and has no open request on the job.
 * True without consumers; false with consumers when the revision of the withdrawal is not known.
 */
export const isDrained = (
  consumers: ReadonlyMap<string, Consumer>,
  service: string | undefined,
  job: string,
  revision: number | undefined,
): boolean => {
  for (const [key, consumer] of consumers) {
    const of = partsAfter(keys.consumers, key)[0];
    if (of !== '*' && of !== service) continue;
    if (revision === undefined || consumer.applied < revision) return false;
    if ((consumer.draining[job] ?? 0) > 0) return false;
  }
  return true;
};

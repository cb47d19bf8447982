// A leader job: stands for election on the control hosts and acts while it leads, on its own and through fenced writes.
import { runElection } from '../../src/lib/store/election.js';
import { fencedTxn } from '../../src/lib/store/fenced.js';
import { silentLog } from '../../src/lib/util/log.js';
import type { SimHost } from './host.js';
import type { Process } from './process.js';

/** The resource that leaders write to, with their epoch. */
export const cronKey = 'sim/cron';
const actEveryMs = 1_000;

/** Starts a candidate; everything ends with its process. */
export const startCron = (host: SimHost, process: Process): void => {
  const { clock, rng } = process;
  const { checker } = host.world;
  const store = host.client(process);
  void runElection({
    ...{ store, clock, rng, log: silentLog, name: 'cron', value: host.name, ttlSeconds: 6 },
    signal: new AbortController().signal,
    onElected: async (leadership) => {
      while (!leadership.signal.aborted) {
        await clock.sleep(actEveryMs);
        if (!leadership.isLeader()) continue;
        checker.acted(leadership.epoch);
        // Work between the look and the write, in which the term may end.
        await clock.sleep(300 * rng.next());
        const then = [{ op: 'put' as const, key: cronKey, value: String(leadership.epoch) }];
        await fencedTxn(store, [leadership.guard()], { compare: [], then }).catch(() => undefined);
      }
    },
  });
};

// Ports of the agent: served until it ends, and tried again while they cannot be had.
import type { Server } from 'node:http';
import type { Log } from '../../appliance/log.js';
import { systemClock } from '../../util/clock.js';
import { backoff } from '../../util/retry.js';
import { cryptoRng } from '../../util/rng.js';
import type { HealthServer } from './health-port.js';

/** Serves until the signal is aborted; a port that is taken is tried again, because its old owner may be on its way out. */
export const listen = async (
  port: number | string,
  open: () => Promise<Server | HealthServer>,
  log: Log,
  stop: AbortSignal,
): Promise<void> => {
  for (let failures = 0; !stop.aborted;) {
    try {
      const server = await open();
      await new Promise<void>((resolve) => {
        if (stop.aborted) resolve();
        else stop.addEventListener('abort', () => resolve(), { once: true });
      });
      server.close();
      server.closeAllConnections();
      return;
    } catch (error) {
      failures += 1;
      log.error({ port, error: String(error) }, 'port not open, trying again');
      await systemClock.sleep(backoff(failures, cryptoRng), stop).catch(() => undefined);
    }
  }
};

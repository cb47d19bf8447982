// The sampi appliance: stateless over etcd, one copy on each control host.
import { ports } from '../../api/grid.js';
import type { ApplianceConfig } from '../../appliance/config.js';
import { createLog } from '../../appliance/log.js';
import { aborted, untilTerminated } from '../../appliance/run.js';
import { serve } from '../../appliance/server.js';
import { openApplianceStore } from '../../appliance/store.js';
import { systemClock } from '../../util/clock.js';
import { cryptoRng } from '../../util/rng.js';
import { sampiApi } from './api.js';
import { BookCache } from './load.js';

/** Books that a copy remembers: with 100 ports each, some 10 MB. */
const remembered = 2_000;

/** Serves until the process is told to end. */
export async function runSampi(config: ApplianceConfig): Promise<void> {
  const host = config.host();
  const log = createLog('sampi', host.host);
  const stop = untilTerminated(log);
  const identity = config.identity('control');
  const store = await openApplianceStore(config, 'control');
  const own = { clock: systemClock, rng: cryptoRng, books: new BookCache(remembered) };
  const server = await serve({
    app: sampiApi(store, own, log, undefined, stop),
    host: host.address,
    port: ports.sampi,
    identity,
  });
  log.info({ port: ports.sampi }, 'sampi serves');
  await aborted(stop);
  server.close();
  await store.close();
}

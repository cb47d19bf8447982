// The gateway as an appliance: its configuration, the store, and an orderly end.
import { join } from 'node:path';
import type { ApplianceConfig } from '../../appliance/config.js';
import { configDirs, hostPaths } from '../../appliance/config.js';
import { createLog } from '../../appliance/log.js';
import { aborted, untilTerminated } from '../../appliance/run.js';
import { openApplianceStore } from '../../appliance/store.js';
import { systemClock } from '../../util/clock.js';
import { startGateway } from './index.js';

/** How long requests under way may go on after SIGTERM, ms: watchers reconnect to another gateway by themselves. */
const graceMs = 5_000;

/** Runs a gateway until SIGTERM; throws `missing` when the host has no host key for it. */
export async function runGateway(config: ApplianceConfig): Promise<void> {
  const host = config.host();
  const log = createLog('gateway', host.host);
  const signal = untilTerminated(log);
  const identity = config.identity('control');
  const store = await openApplianceStore(config, 'control');
  const gateway = await startGateway(
    {
      store,
      identity,
      hostKey: config.file(configDirs.control, 'gateway_host_key'),
      local: { name: host.host, address: host.address },
      clock: systemClock,
      git: { dir: join(hostPaths.data, 'gateway') },
      log,
    },
    host.gatewayPort,
    '0.0.0.0',
  );
  log.info({ port: gateway.port }, 'listening');
  await aborted(signal);
  await gateway.close(graceMs);
  await store.close();
}

// The controller appliance: one copy on each control host; every copy answers, one of them plans.
import { FlynnError } from '../../api/errors.js';
import { ports } from '../../api/grid.js';
import { ApplianceClients } from '../../appliance/client.js';
import { configDirs, type ApplianceConfig } from '../../appliance/config.js';
import { createLog } from '../../appliance/log.js';
import { aborted, untilTerminated } from '../../appliance/run.js';
import { callerOf, serve } from '../../appliance/server.js';
import { SampiClient } from '../../layer0/index.js';
import { openStore } from '../../store/index.js';
import { registryClients } from '../registry/client.js';
import { systemClock } from '../../util/clock.js';
import { cryptoRng } from '../../util/rng.js';
import { onlyControl } from './api.js';
import { createController } from './controller.js';
import { agentLogs } from './logs.js';
import type { Picture } from './state.js';

/** Serves and stands for election until the process is told to end; streams are ended, the candidacy is given up. */
export async function runController(config: ApplianceConfig): Promise<void> {
  const host = config.host();
  const log = createLog('controller', host.host);
  const stop = untilTerminated(log);
  const identity = config.identity('control');
  const clusterKey = readClusterKey(config);
  const store = await openStore({ endpoints: host.etcd, tls: identity });
  const clients = new ApplianceClients(identity);
  const registries = registryClients(identity);
  let known: Picture | undefined;
  const sampi = new SampiClient(clients, () => sampiAddresses(host.address, known));

  const controller = createController({
    host: host.host,
    store,
    sampi,
    jobLogs: (picture) => agentLogs(clients, (name) => picture.hosts().get(name)?.info.address),
    work: {
      agent: (address) => clients.at(address, ports.agent),
      registry: registries.at,
      checkUpgrade: (request) => {
        if (callerOf(request) === 'control') return;
        throw new FlynnError({ code: 'forbidden', message: 'only the gateway may upgrade a request here' });
      },
    },
    clusterKey,
    clock: systemClock,
    rng: cryptoRng,
    log,
    checkCaller: onlyControl,
    signal: stop,
  });
  controller.ready.catch(() => undefined);
  const onUpgrade = controller.work?.onUpgrade;
  const server = await serve({
    app: controller.api,
    host: host.address,
    port: ports.controller,
    identity,
    ...(onUpgrade ? { onUpgrade } : {}),
  });
  // A pushed source may be larger, or wait longer for its turn, than node's five minutes for a body.
  if ('requestTimeout' in server) server.requestTimeout = 0;
  log.info({ port: ports.controller }, 'controller serves');
  await aborted(stop);
  server.close();
  await controller.stopped;
  await controller.work?.settled();
  // Streams have ended by the signal; what is still open after that is a reader that does not read.
  if ('closeAllConnections' in server) server.closeAllConnections();
  clients.close();
  registries.close();
  await store.close();
}

/** The local copy first, then those of the other control hosts. */
function sampiAddresses(local: string, picture: Picture | undefined): string[] {
  const others = [...(picture?.hosts().values() ?? [])]
    .filter(({ info }) => info.roles.includes('control') && info.address !== local)
    .map(({ info }) => info.address);
  return [local, ...others];
}

function readClusterKey(config: ApplianceConfig): Buffer {
  const key = Buffer.from(config.file(configDirs.control, 'cluster.key').trim(), 'base64');
  if (key.length === 32) return key;
  throw new FlynnError({
    code: 'missing',
    message: `${configDirs.control}/cluster.key holds ${key.length} bytes, not 32 in base64`,
    hint: 'flynn cluster bootstrap   (run it again: it writes what is missing)',
  });
}

// The host appliance: wires the agent to etcd, Docker, disk and network, and serves its two ports.
import { dirname, join } from 'node:path';
import { ports } from '../../api/grid.js';
import { configDirs, hostPaths, type ApplianceConfig } from '../../appliance/config.js';
import { ApplianceClients } from '../../appliance/client.js';
import { createLog } from '../../appliance/log.js';
import { untilTerminated } from '../../appliance/run.js';
import { serve } from '../../appliance/server.js';
import { openApplianceStore } from '../../appliance/store.js';
import { openDocker } from '../../docker/index.js';
import { systemClock } from '../../util/clock.js';
import { cryptoRng } from '../../util/rng.js';
import { releaseClaim, SampiClient, transact } from '../sampi/index.js';
import { HostAgent } from './agent.js';
import { attachUpgrade } from './attach.js';
import { hostApi, mayCommandAgent } from './api.js';
import { findBridge } from './bridge.js';
import { openDiscovery } from './discovery.js';
import { openHostDoor } from './door-host.js';
import { serveHealth } from './health-port.js';
import { fileCopy } from './disk.js';
import { membersFile, startFirewall } from './firewall/index.js';
import { granting } from './grants.js';
import { controlAddresses, followHostInfos } from './host-infos.js';
import { listen } from './listen.js';
import { openNames } from './names.js';
import { holdLease, refreshInfo } from './presence.js';
import { networkProbe } from './probe.js';
import { startRegistryForward } from './registry-forward.js';
import { registryHosts } from './registry-hosts.js';
import { emptyState } from './state.js';
import { bringTool } from './tool.js';

/** Lies beside the appliances' bundle. */
const ownTool = { dir: join(dirname(process.argv[1] ?? ''), 'sdutil'), node: process.execPath };

/** Runs the agent until the process is told to end; containers go on as they are. */
export async function runHost(config: ApplianceConfig): Promise<void> {
  const file = config.host();
  const log = createLog('host', file.host);
  const stop = untilTerminated(log);
  const identity = config.identity('host');
  const wrapPrivateKey = config.file(configDirs.host, 'wrap.key').trim();
  const store = await openApplianceStore(config, 'host');
  const docker = openDocker({ socketPath: process.env.FLYNN_DOCKER_SOCKET });
  const clock = systemClock;
  const rng = cryptoRng;
  const data = join(process.env.FLYNN_DATA ?? hostPaths.data, 'agent');
  const copyPath = join(data, 'state.json');
  const hosts = followHostInfos({ store, clock, rng, log }, stop);
  const firewall = await startFirewall(
    {
      ...{ hosts, file, docker, clock, log, lock: process.env.FLYNN_XTABLES_LOCK },
      copy: membersFile(join(data, 'members.json'), (error) =>
        log.error({ error: String(error) }, 'the copy of the members cannot be read: it is left aside'),
      ),
    },
    stop,
  );
  const host = { name: file.host, address: file.address, control: file.roles.includes('control') };
  const state = emptyState(host, clock.mono());
  const bridge = findBridge(docker);
  const discovery = await openDiscovery({ state, store, docker, bridge, clock, rng, log, dir: data }, stop);
  const names = openNames({
    ...{ state, directory: discovery.directory, docker, bridge, clock, rng, log },
    dir: join(dirname(data), 'dns'),
  });
  const agent = new HostAgent({
    state,
    grant: granting({
      discovery: discovery.grant,
      tool: () => bringTool(join(dirname(data), 'sdutil'), ownTool),
      resolvers: names.resolvers,
    }),
    store,
    docker,
    sampi: { transact, releaseClaim },
    clock,
    rng,
    log,
    wrapPrivateKey,
    probe: networkProbe,
    firewall,
    disk: fileCopy(copyPath, (error) =>
      log.error(
        { error: String(error), copyPath },
        'the copy of the claims cannot be read: it is left aside',
      ),
    ),
  });
  const presence = { store, clock, rng, log, file, wrapPrivateKey };
  const addresses = registryHosts(file, hosts);
  const forward = startRegistryForward({ identity, addresses, log, clock });
  const clients = new ApplianceClients(identity);
  const sampi = new SampiClient(clients, () => controlAddresses(hosts.infos(), file.host));
  const api = {
    app: hostApi(agent, {
      log,
      putTemplate: (input) => sampi.putTemplate(input),
      guarded: true,
      directory: discovery.directory,
    }),
    onUpgrade: attachUpgrade(agent, (name) => mayCommandAgent(name, file.host), stop),
  };
  // A dockerd that was restarted has built its chains anew.
  agent.watch(firewall.dockerNews(agent.deps.state));
  agent.watch(discovery.prune);
  const running = Promise.all([
    agent.run(stop),
    discovery.run(stop),
    names.run(stop),
    holdLease(presence, stop),
    refreshInfo(presence, stop),
    listen(ports.agent, () => serve({ ...api, host: file.address, port: ports.agent, identity }), log, stop),
    listen('door', () => openHostDoor({ config, file, hosts, store, clock, log }), log, stop),
    listen(ports.agentHealth, () => serveHealth(file.address, ports.agentHealth), log, stop),
  ]);
  log.info({ host: file.host, port: ports.agent }, 'host agent runs');
  await running;
  clients.close();
  await forward.close();
  docker.close();
  await store.close();
}

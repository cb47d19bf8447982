// The router appliance: wires the store, the prober, HAProxy and the consumer record together.
import { mkdir, readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { HostInfo, ports } from '../../api/grid.js';
import { keys, partsAfter } from '../../api/keys.js';
import { hostPaths, type ApplianceConfig } from '../../appliance/config.js';
import { createLog } from '../../appliance/log.js';
import { untilTerminated } from '../../appliance/run.js';
import { openApplianceStore } from '../../appliance/store.js';
import { HostProber } from '../../layer0/index.js';
import { createInformer } from '../../store/informer.js';
import type { Store } from '../../store/port.js';
import { systemClock, type Clock } from '../../util/clock.js';
import type { Log } from '../../util/log.js';
import { cryptoRng, type Rng } from '../../util/rng.js';
import type { RouterBackend } from './backend.js';
import { maxconnFor, routerFiles, type RouterSettings } from './config.js';
import { ConsumerRecord } from './consumer.js';
import { loadState, saveState, type SavedState } from './disk.js';
import { HaproxyBackend } from './haproxy.js';
import { buildTable, parseInstance, parseRoute } from './state.js';
import { Syncer, type View } from './syncer.js';

/** Drives this host's HAProxy until the process is told to end; HAProxy itself goes on. */
export async function runRouter(config: ApplianceConfig): Promise<void> {
  const host = config.host();
  const log = createLog('router', host.host);
  const stop = untilTerminated(log);
  const dir = process.env.FLYNN_ROUTER_DIR ?? `${hostPaths.data}/router`;
  const store = await openApplianceStore(config, 'router');
  const settings: RouterSettings = {
    dir,
    httpAddress: '0.0.0.0',
    httpPort: host.httpPort,
    monitorAddress: host.address,
    monitorPort: ports.routerMonitor,
    maxconn: maxconnFor(await openFilesLimit()),
    threads: Math.min(availableParallelism(), 8),
    // HAProxy's Debian package brings this user; workers give up root once their ports are open.
    ...(process.getuid?.() === 0 ? { user: 'haproxy' } : {}),
  };
  try {
    await followRoutes({ store, settings, host: host.host, clock: systemClock, log }, stop);
  } finally {
    await store.close();
  }
}

export interface RouterOptions {
  store: Pick<Store, 'list' | 'watch' | 'grant' | 'keepAliveOnce' | 'revoke' | 'put' | 'delete'>;
  settings: RouterSettings;
  /** Name of the host that the router runs on. */
  host: string;
  clock: Clock;
  log: Log;
  binary?: string;
  rng?: Rng;
  /** Tells which hosts are silent; the real prober when left out. */
  prober?: Pick<HostProber, 'start' | 'suspects' | 'onChange'>;
  /** What carries the traffic; HAProxy when left out. */
  backend?: RouterBackend;
  /** Where the last state is kept; a file below the settings' directory when left out. */
  copy?: StateCopy;
}

/** Where a router keeps its last state. */
export interface StateCopy {
  load(): Promise<SavedState | undefined>;
  save(state: SavedState, durable: boolean): Promise<void>;
}

/** The state in a file below that directory, which is made. */
async function stateFile(dir: string, log: Log): Promise<StateCopy> {
  const path = routerFiles(dir).state;
  await mkdir(dir, { recursive: true, mode: 0o700 });
  return { load: () => loadState(path, log), save: (state, durable) => saveState(path, state, durable) };
}

/** The router with its parts handed in; resolves after the signal, when the consumer record is gone. */
export async function followRoutes(options: RouterOptions, signal: AbortSignal): Promise<void> {
  const { store, settings, clock, log, host, rng = cryptoRng } = options;
  const copy = options.copy ?? (await stateFile(settings.dir, log));
  const onRegress = (): void => syncer.regressed();
  const common = { store, clock, log, rng };
  const routes = createInformer({ ...common, prefix: keys.routes, parse: parseRoute, onRegress });
  const instances = createInformer({ ...common, prefix: keys.instances, parse: parseInstance, onRegress });
  const hosts = createInformer({ ...common, prefix: keys.hosts, parse: parseHost });
  const informers = [routes, instances, hosts];

  let listed = 0;
  let known: View | undefined;
  const view = (): View | undefined => {
    // What was listed once stays true while the store is away.
    if (listed < informers.length) return undefined;
    known ??= {
      table: buildTable(values(routes), values(instances)),
      revision: instances.revision,
      registered: new Set(values(instances).map((server) => server.host)),
      hosts: values(hosts).filter((found) => found !== null),
    };
    known.revision = instances.revision;
    return known;
  };

  const consumer = new ConsumerRecord({ store, clock, log, rng, host });
  const prober: Pick<HostProber, 'start' | 'suspects' | 'onChange'> =
    options.prober ?? new HostProber({ hosts: () => syncer.hosts(), clock, self: host });
  const syncer: Syncer = new Syncer({
    backend: options.backend ?? new HaproxyBackend({ settings, clock, log, binary: options.binary }),
    view,
    revision: () => instances.revision,
    suspects: () => prober.suspects(),
    publish: (state) => consumer.publish(state),
    withdraw: () => consumer.withdraw(),
    save: (state, durable) => copy.save(state, durable),
    last: await copy.load(),
    clock,
    log,
  });
  for (const informer of informers) {
    informer.onChange((changed) => {
      // Books and leases of hosts change with every claim and mean nothing here.
      if (informer === hosts && !changed.some((key) => key.endsWith('/info'))) return;
      known = undefined;
      syncer.poke();
    });
    // The first list may be empty and then changes nothing: it is news all the same.
    informer.ready.then(
      () => {
        listed += 1;
        syncer.poke();
      },
      // Ended before the first list: nobody asks any more.
      () => undefined,
    );
    informer.start(signal);
  }
  prober.onChange((name, suspect) => {
    log.warn({ host: name, suspect }, suspect ? 'host does not answer' : 'host answers again');
    syncer.poke();
  });
  prober.start(signal);
  await Promise.all([syncer.run(signal), consumer.run(signal)]);
}

/** `hosts/H/info` as a host to probe; null for the other records of a host. */
function parseHost(key: string, value: string): { name: string; address: string } | null {
  if (partsAfter(keys.hosts, key)[1] !== 'info') return null;
  const { name, address } = HostInfo.parse(JSON.parse(value));
  return { name, address };
}

function values<T>(informer: { items(): ReadonlyMap<string, { value: T }> }): T[] {
  return [...informer.items().values()].map((item) => item.value);
}

/** The hard limit of open files of this process, which HAProxy inherits and raises its own to. */
async function openFilesLimit(): Promise<number> {
  const limits = await readFile('/proc/self/limits', 'utf8');
  const hard = /^Max open files\s+\S+\s+(\S+)/m.exec(limits)?.[1];
  return hard === undefined || hard === 'unlimited' ? 1_000_000 : Number(hard);
}

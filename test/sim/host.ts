// A simulated host: the machine, its engine and disk, and the real loops of its agent and router as processes on it.
import { setMaxListeners } from 'node:events';
import {
  createController,
  type Controller,
  type ControllerPorts,
} from '../../src/lib/layer1/controller/controller.js';
import { followRoutes, type StateCopy } from '../../src/lib/layer1/router/run.js';
import type { SavedState } from '../../src/lib/layer1/router/disk.js';
import { keys } from '../../src/lib/api/keys.js';
import { HostAgent } from '../../src/lib/layer0/host/agent.js';
import type { CopyStore, DiskCopy } from '../../src/lib/layer0/host/disk.js';
import { hostLeaseSeconds } from '../../src/lib/layer0/host/presence.js';
import { emptyState } from '../../src/lib/layer0/host/state.js';
import { BookCache } from '../../src/lib/layer0/sampi/load.js';
import { releaseClaim, transact } from '../../src/lib/layer0/sampi/index.js';
import { SampiClient } from '../../src/lib/layer0/sampi/client.js';
import { keepSession } from '../../src/lib/store/session.js';
import { silentLog } from '../../src/lib/util/log.js';
import { startCron } from './cron.js';
import { SimDocker } from './docker.js';
import type { Node } from './net.js';
import { Process, type ProcessKind } from './process.js';
import { SimProber } from './prober.js';
import { SimProxy } from './proxy.js';
import { sampiClients } from './rpc.js';
import { SimStore } from './store-client.js';
import type { World } from './world.js';

/** What the cluster runs on a host. */
export type Service = 'agent' | 'router' | 'controller' | 'sampi' | 'cron';

/** A copy of the controller with the process that it is. */
export interface Copy {
  process: Process;
  controller: Controller;
  sampi: SampiClient;
  store: SimStore;
}

/** A signal of its own for each process: a killed one is not told to end. */
const never = (): AbortSignal => {
  const { signal } = new AbortController();
  setMaxListeners(0, signal);
  return signal;
};

/** The machine. What is on its disk, its containers and its proxy outlive its processes. */
export class SimHost implements Node {
  up = true;
  frozen = false;
  wallOffset = 0;
  held: Node['held'] = [];
  /** Ready to be put back into the cluster or gone for good. */
  removed = false;
  /** Its records are written. */
  joined = false;
  readonly docker: SimDocker;
  readonly processes = new Map<ProcessKind, Process>();
  readonly clients = new Set<SimStore>();
  proxy: SimProxy;
  prober: SimProber | undefined;
  copy: Copy | undefined;
  agent: HostAgent | undefined;
  private agentCopy: DiskCopy | undefined;
  private routerCopy: SavedState | undefined;

  constructor(
    readonly world: World,
    readonly name: string,
    readonly address: string,
    readonly control: boolean,
  ) {
    this.docker = new SimDocker(
      world.timeline,
      this,
      world.seed(),
      world.checker,
      world.images,
      world.behaviour,
    );
    this.proxy = new SimProxy(world.dice());
  }

  private readonly launch: Record<Service, (process: Process) => void> = {
    agent: (process) => this.startAgent(process),
    router: (process) => this.startRouter(process),
    controller: (process) => this.startController(process),
    sampi: (process) => this.startSampi(process),
    cron: (process) => startCron(this, process),
  };

  /** Services that belong on this host. */
  get services(): Service[] {
    return this.control ? ['sampi', 'controller', 'agent', 'router', 'cron'] : ['agent', 'router'];
  }

  /** Starts a service as a new process, unless it runs. */
  start(service: Service): void {
    if (!this.up || this.processes.get(service)?.alive) return;
    const process = new Process(this.world.timeline, this, service, this.world.seed());
    this.processes.set(service, process);
    this.launch[service](process);
    this.world.changed();
  }

  /** Kills a process of the host. */
  kill(kind: ProcessKind): void {
    const process = this.processes.get(kind);
    if (!process?.alive) return;
    process.alive = false;
    if (kind === 'controller') this.copy = undefined;
    if (kind === 'router') this.prober = undefined;
    if (kind === 'agent') this.agent = undefined;
    this.world.changed();
  }

  /** The power goes: nothing runs any more, the disk stays. */
  crash(): void {
    this.up = false;
    if (this.frozen) this.world.timeline.thaw(this);
    for (const kind of this.processes.keys()) this.kill(kind);
    const member = this.world.memberOf(this);
    if (member) member.alive = false;
    this.docker.powerCut();
    this.proxy = new SimProxy(this.world.dice());
    this.world.changed();
  }

  /** The power is back: Docker brings etcd and the agent, and with them the rest. */
  boot(): void {
    this.up = true;
    this.docker.resume();
    const member = this.world.memberOf(this);
    if (member) member.alive = true;
    for (const service of this.services) this.start(service);
    this.world.changed();
  }

  /** Forgets what the agent and the router keep on disk, as an operator does who confirms a restored store. */
  clearDisk(): void {
    this.agentCopy = undefined;
    this.routerCopy = undefined;
  }

  /** A client of the store for a process of this host. */
  client(process: Process): SimStore {
    const client = new SimStore(this.world.etcd, process, process.name);
    this.clients.add(client);
    return client;
  }

  private agentDisk(): CopyStore {
    return {
      load: () => Promise.resolve(this.agentCopy),
      save: (copy) => {
        // As text: the copy shares nothing with the state that it was made from.
        this.agentCopy = JSON.parse(JSON.stringify(copy)) as DiskCopy;
        return Promise.resolve();
      },
    };
  }

  private routerDisk(): StateCopy {
    return {
      load: () => Promise.resolve(this.routerCopy),
      save: (state) => {
        this.routerCopy = state;
        return Promise.resolve();
      },
    };
  }

  private startSampi(process: Process): void {
    this.world.sampis.set(this.address, { process, store: this.client(process), books: new BookCache() });
  }

  private startRouter(process: Process): void {
    const { world, name, proxy } = this;
    const store = this.client(process);
    const prober = new SimProber(
      process,
      () => world.registered(),
      (host, endpoint) => world.answers(this, host, endpoint),
    );
    this.prober = prober;
    void followRoutes(
      {
        ...{ store, clock: process.clock, rng: process.rng, log: world.log(process), host: name, prober },
        backend: proxy.backend(process),
        copy: this.routerDisk(),
        settings: {
          dir: '',
          httpAddress: '',
          httpPort: 80,
          monitorAddress: '',
          monitorPort: 1,
          maxconn: 1,
          threads: 1,
        },
      },
      never(),
    );
  }

  private startController(process: Process): void {
    const { world } = this;
    const { clock, rng } = process;
    const store = this.client(process);
    const clients = sampiClients(world, process);
    const addresses = (): string[] => [
      this.address,
      ...[...world.sampis.keys()].filter((address) => address !== this.address),
    ];
    const sampi = new SampiClient(clients, addresses);
    const controller = createController({
      ...{ host: this.name, store, sampi, clock, rng },
      log: world.log(process) as ControllerPorts['log'],
      jobLogs: () => async function* () {},
      clusterKey: world.clusterKey,
      checkCaller: () => undefined,
      signal: never(),
    });
    controller.ready.catch(() => undefined);
    this.copy = { process, controller, store, sampi };
  }

  private agentOf(process: Process): HostAgent {
    const { world, name, address, control } = this;
    const { clock, rng } = process;
    return new HostAgent({
      state: emptyState({ name, address, control }, clock.mono()),
      store: this.client(process),
      docker: this.docker.client(process),
      sampi: { transact, releaseClaim },
      ...{ clock, rng, log: world.log(process) },
      wrapPrivateKey: 'private',
      probe: ({ address: at, port }) =>
        Promise.resolve(
          this.docker.answers(at === address ? undefined : at) ? undefined : `${at}:${port} refused`,
        ),
      disk: this.agentDisk(),
    });
  }

  private startAgent(process: Process): void {
    const { clock, rng } = process;
    this.agent = this.agentOf(process);
    void this.agent.run(never());
    const { store } = this.agent.deps;
    void keepSession({
      ...{ store, clock, rng, log: silentLog, signal: never(), ttlSeconds: hostLeaseSeconds },
      onOpen: async (session) => {
        const lease = { boot: this.name, since: clock.now() };
        await store.put(keys.hostLease(this.name), JSON.stringify(lease), { lease: session.leaseId });
      },
    });
  }
}

// What runs once on the grid, put together: builds of pushes and one-off runs, as parts of one copy of the controller.
import type { Hono } from 'hono';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { HttpClient } from '../../api/http.js';
import type { Sampi } from '../../layer0/index.js';
import type { RegistryClient } from '../registry/client.js';
import { Builds } from './builds.js';
import type { ApiContext } from './context.js';
import { OneOffs } from './oneoffs.js';
import { buildRoutes } from './routes/builds.js';
import { runUpgrades } from './routes/run.js';

/** What it takes beside the API's own context. */
export interface WorkPorts {
  sampi: Pick<Sampi, 'transact' | 'putTemplate'>;
  /** The agent at a host's address. */
  agent(address: string): Pick<HttpClient, 'upgrade' | 'call'>;
  /** The copy of the registry at a host's address. */
  registry(address: string): RegistryClient;
  /** Name of the host that this copy runs on. */
  local: string;
  /** Refuses upgrades by callers that are not appliances of ours. */
  checkUpgrade(request: IncomingMessage): void;
  /** Bytes of source that one push may have; 200 MiB when left out. */
  maxSourceBytes?: number;
}

/** Builds and runs of one copy. */
export interface Work {
  routes: (api: Hono) => void;
  onUpgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => void;
  /** Resolves when the jobs that were let go of are stopped, or left to the leader. */
  settled(): Promise<void>;
}

/** Puts it together. */
export function createWork(context: ApiContext, ports: WorkPorts): Work {
  const { sampi, agent, registry, local, checkUpgrade } = ports;
  const oneOffs = new OneOffs({ ...context, sampi, agent });
  const builds = new Builds(context, oneOffs, { agent, registry, local }, ports.maxSourceBytes);
  return {
    routes: (api) => buildRoutes(api, context, builds),
    onUpgrade: runUpgrades({ context, oneOffs, checkCaller: checkUpgrade }),
    settled: () => oneOffs.settled(),
  };
}

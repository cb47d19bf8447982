// Discovery as a host's agent serves it: to its jobs by their tokens, to root by a socket, and what jobs are given for it.
import { randomBytes } from 'node:crypto';
import { chmod, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { localPorts } from '../../api/grid.js';
import { FlynnError } from '../../api/errors.js';
import { keys } from '../../api/keys.js';
import type { Log } from '../../appliance/log.js';
import { serve } from '../../appliance/server.js';
import type { Docker } from '../../docker/port.js';
import type { Store } from '../../store/port.js';
import type { Clock } from '../../util/clock.js';
import type { Rng } from '../../util/rng.js';
import { DeadlineError } from '../../util/signal.js';
import { poll } from '../../util/retry.js';
import { endpointApi } from '../discovery/api.js';
import { Directory } from '../discovery/directory.js';
import type { Caller } from '../discovery/policy.js';
import { Registrar } from '../discovery/registrar.js';
import { jobTokens } from '../discovery/token.js';
import type { Bridge } from './bridge.js';
import { writeWhole } from './disk.js';
import { drainCapMs, isDrained } from './drain.js';
import { wantsDiscovery, type Grant } from './grants.js';
import { listen } from './listen.js';
import { currentOf, isRunning, type HostState } from './state.js';

/** What discovery on a host needs. */
export interface HostDiscoveryDeps {
  state: HostState;
  store: Store;
  docker: Pick<Docker, 'networks'>;
  bridge: () => Promise<Bridge | undefined>;
  clock: Clock;
  rng: Rng;
  log: Log;
  /** The agent's own directory: the tokens' secret lies there, and the socket for root. */
  dir: string;
  /** Where jobs call; 1119. */
  port?: number;
}

/** Discovery on a host. */
export interface HostDiscovery {
  directory: Directory;
  /** A job's token and where it calls, for jobs that may use discovery. */
  grant: (...job: Parameters<Grant>) => Promise<Record<string, string>>;
  /** Lets go of what jobs that are over have registered; to be called after changes of the state. */
  prune(): void;
  /** Serves jobs and root until the signal is aborted. */
  run(signal: AbortSignal): Promise<void>;
}

/** Name of the socket in the agent's directory. */
const socketName = 'discovery.sock';

/** The secret that tokens are made from: made once, and kept, or jobs that run would have to be restarted. */
const tokenSecret = async (dir: string): Promise<Buffer> => {
  const path = join(dir, 'token.secret');
  const kept = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
    return '';
  });
  const secret = Buffer.from(kept.trim(), 'base64');
  if (secret.length === 32) return secret;
  const made = randomBytes(32);
  await writeWhole(path, `${made.toString('base64')}\n`);
  return made;
};

/** Opens discovery of a host: its view begins to follow the store at once. */
export const openDiscovery = async (deps: HostDiscoveryDeps, signal: AbortSignal): Promise<HostDiscovery> => {
  const { state, store, clock, log, port = localPorts.discovery } = deps;
  const tokens = jobTokens(await tokenSecret(deps.dir));
  const directory = new Directory(deps, signal);
  const registrar = new Registrar({ store, log });

  const callerOf = (authorization: string | undefined): Caller => {
    const job = tokens.jobOf(authorization);
    const claim = state.claims.get(keys.claim(state.host.name, job))?.value;
    if (!claim) {
      throw new FlynnError({
        code: 'refused',
        message: `job ${job} is not on host ${state.host.name} any more`,
      });
    }
    return { kind: 'job', job, claim, template: state.templates.get(claim.t) };
  };
  const drained = async (service: string, id: string, revision: number): Promise<void> => {
    const done = () => isDrained(state.consumers, service, id, revision) || undefined;
    await poll(clock, done, { timeoutMs: drainCapMs, signal }).catch((error: unknown) => {
      if (!(error instanceof DeadlineError)) throw error;
    });
  };
  const common = { directory, registrar, store, host: state.host, clock, log, drained };
  const forJobs = endpointApi({ ...common, caller: callerOf });
  const forRoot = endpointApi({ ...common, caller: () => ({ kind: 'host' }) });

  const isOver = (job: string): boolean => {
    const claim = state.claims.get(keys.claim(state.host.name, job))?.value;
    if (claim?.w === 'stop' || (!claim && state.claimsFrom === 'store')) return true;
    return state.dockerUp && !isRunning(currentOf(state, job));
  };
  const letting = new Set<string>();

  return {
    directory,
    grant: async (job, template): Promise<Record<string, string>> => {
      if (!wantsDiscovery(template)) return {};
      const bridge = await deps.bridge();
      if (!bridge && !template.discovery) return {};
      if (!bridge) {
        throw new FlynnError({
          code: 'missing',
          message: `host ${state.host.name} has no Docker bridge: its jobs cannot use discovery`,
          hint: 'remove "bridge": "none" from /etc/docker/daemon.json',
        });
      }
      return { FLYNN_DISCOVERY: `http://${bridge.address}:${port}`, FLYNN_TOKEN: tokens.of(job) };
    },
    prune: () => {
      for (const owner of registrar.owners()) {
        if (owner === state.host.name || letting.has(owner) || !isOver(owner)) continue;
        letting.add(owner);
        void registrar.dropAll(owner).finally(() => letting.delete(owner));
      }
    },
    run: async (stop) => {
      const socket = join(deps.dir, socketName);
      const openSocket = async () => {
        await rm(socket, { force: true });
        const server = await serve({ app: forRoot, path: socket });
        await chmod(socket, 0o600);
        return server;
      };
      const openPort = async () => {
        const bridge = await deps.bridge();
        if (!bridge) throw new Error('Docker has no default bridge');
        const server = await serve({ app: forJobs, host: bridge.address, port });
        server.maxConnections = 4_000;
        return server;
      };
      await Promise.all([listen(socket, openSocket, log, stop), listen(port, openPort, log, stop)]);
    },
  };
};

// Names for the jobs of a host: the agent's name server, and what the resolver beside it reads and is asked.
import type { Docker } from '../../docker/port.js';
import { localPorts } from '../../api/grid.js';
import type { Log } from '../../appliance/log.js';
import type { Clock } from '../../util/clock.js';
import { backoff } from '../../util/retry.js';
import type { Rng } from '../../util/rng.js';
import type { Directory } from '../discovery/directory.js';
import { ResolverFiles } from '../discovery/dns/resolver-files.js';
import { serveNames } from '../discovery/dns/server.js';
import { warm } from '../discovery/dns/warm.js';
import type { Bridge } from './bridge.js';
import { claimsByJob, currentOf, isRunning, type HostState } from './state.js';

/** What names need. */
export interface HostNamesDeps {
  state: HostState;
  directory: Directory;
  docker: Pick<Docker, 'containers'>;
  bridge: () => Promise<Bridge | undefined>;
  clock: Clock;
  rng: Rng;
  log: Log;
  /** Directory that the resolver reads. */
  dir: string;
}

/** Names on a host. */
export interface HostNames {
  /** Resolvers for jobs: the host's own, if it has one that works. */
  resolvers(): Promise<string[]>;
  /** Serves and keeps the files until the signal is aborted. */
  run(signal: AbortSignal): Promise<void>;
}

/** Owner of the resolver's job. */
const resolverOwner = 'omni/dns';
/** Changes that come together are written together, ms. */
const gatherMs = 20;
/** What the resolver knows of us is asked anew before it runs out, ms. */
const rewarmMs = 900_000;
/** Time between looks at whether the resolver was started anew, ms. */
const lookMs = 1_000;

/** The resolver's job with its container, when it is there and not ended. */
const resolverOf = (state: HostState): { job: string; container: string | undefined } | undefined => {
  for (const [job, claim] of claimsByJob(state)) {
    if (claim.o !== resolverOwner || claim.w !== 'run') continue;
    const current = currentOf(state, job);
    // One that has not started yet will; one that has ended may not be able to.
    if (isRunning(current)) return { job, container: current?.id };
    if (!state.jobs.get(job)?.exit) return { job, container: undefined };
  }
  return undefined;
};

/** Opens the names of a host. */
export const openNames = (deps: HostNamesDeps): HostNames => {
  const { state, directory, docker, clock, rng, log } = deps;
  const files = new ResolverFiles(deps.dir);

  const pause = (ms: number, signal: AbortSignal) => clock.sleep(ms, signal).catch(() => undefined);
  const untilDone = async (what: string, work: () => Promise<void>, signal: AbortSignal): Promise<void> => {
    for (let failures = 0; !signal.aborted;) {
      try {
        return await work();
      } catch (error) {
        if (signal.aborted) return;
        failures += 1;
        log.error({ error: String(error) }, `${what}, trying again`);
        await pause(backoff(failures, rng), signal);
      }
    }
  };

  const serve = (signal: AbortSignal): Promise<void> =>
    untilDone(
      'the port of the name server is not open',
      async () => {
        const onFault = (error: unknown): void => log.error({ err: error }, 'a name was not answered');
        const server = await serveNames({
          ...{ source: directory, rng, onFault },
          ...{ host: '127.0.0.1', port: localPorts.names },
        });
        if (signal.aborted) server.close();
        else signal.addEventListener('abort', () => server.close(), { once: true });
      },
      signal,
    );

  /** Settings that have changed are read at a start only: the job is ended, and its agent starts it again. */
  const configure = async (): Promise<Bridge | undefined> => {
    const bridge = await deps.bridge();
    if (!bridge) return undefined;
    const changed = await files.configure({ interface: bridge.name, port: localPorts.names });
    const container = changed ? resolverOf(state)?.container : undefined;
    if (container) await docker.containers.kill(container, 'SIGTERM');
    return bridge;
  };

  const follow = async (bridge: Bridge | undefined, signal: AbortSignal): Promise<void> => {
    const dirty = new Set<string>();
    let wake = (): void => undefined;
    directory.onChange((services) => {
      for (const service of services) dirty.add(service);
      wake();
    });
    signal.addEventListener('abort', () => wake(), { once: true });
    await directory.ready;
    await untilDone('the names are not written', () => files.sync(directory), signal);
    let known: string | undefined;
    let allAt = Number.NEGATIVE_INFINITY;
    while (!signal.aborted) {
      const changed = [...dirty];
      dirty.clear();
      if (changed.length > 0) {
        await untilDone('names are not written', () => files.sync(directory, changed), signal);
      }
      const container = resolverOf(state)?.container;
      const all = container !== known || clock.mono() - allAt >= rewarmMs;
      if (all) allAt = clock.mono();
      known = container;
      if (bridge && container && (all || changed.length > 0)) {
        const asked = all ? directory.names() : changed;
        void warm(clock, bridge.address, asked, signal).catch((error: unknown) =>
          log.debug({ error: String(error) }, 'the resolver was not asked'),
        );
      }
      const woken = new Promise<void>((resolve) => (wake = resolve));
      if (dirty.size === 0) await Promise.race([woken, pause(lookMs, signal)]);
      await pause(gatherMs, signal);
    }
  };

  return {
    resolvers: async () => {
      if (!resolverOf(state)) return [];
      const bridge = await deps.bridge();
      return bridge ? [bridge.address] : [];
    },
    run: async (signal) => {
      let bridge: Bridge | undefined;
      const settle = untilDone(
        'the resolver is not configured',
        async () => void (bridge = await configure()),
        signal,
      );
      await Promise.all([serve(signal), settle]);
      await follow(bridge, signal).catch((error: unknown) => {
        if (!signal.aborted) throw error;
      });
    },
  };
};

// One copy of the controller: picture, judgement of hosts, API, and the election whose winner plans.
import { setMaxListeners } from 'node:events';
import type { Hono } from 'hono';
import type { Sampi } from '../../layer0/index.js';
import { runElection, type Store } from '../../store/index.js';
import type { Clock } from '../../util/clock.js';
import type { Log } from '../../appliance/log.js';
import type { Rng } from '../../util/rng.js';
import { controllerApi } from './api.js';
import type { ApiContext } from './context.js';
import { Freshness } from './fresh.js';
import { HostWatch } from './hostwatch.js';
import { lead } from './leader.js';
import type { JobLogs } from './logs.js';
import { electionName } from './records.js';
import { Picture } from './state.js';
import { createWork, type Work, type WorkPorts } from './work.js';

/** What a copy of the controller is made of. */
export interface ControllerPorts {
  /** Name of the host it runs on: what the election shows. */
  host: string;
  store: Store;
  sampi: Pick<Sampi, 'transact' | 'putTemplate'>;
  jobLogs: (picture: Picture) => JobLogs;
  /** What builds and one-off runs need; absent: this copy offers neither. */
  work?: Omit<WorkPorts, 'sampi' | 'local'>;
  clusterKey: Buffer;
  clock: Clock;
  rng: Rng;
  log: Log;
  checkCaller: ApiContext['checkCaller'];
  signal: AbortSignal;
}

/** A copy that runs until its signal is aborted. */
export interface Controller {
  api: Hono;
  /** Upgrades of this copy; absent without the ports for it. */
  work?: Work;
  picture: Picture;
  hosts: HostWatch;
  /** Resolves when the copy knows the whole store for the first time. */
  ready: Promise<void>;
  /** Resolves when it has given up its candidacy after the signal. */
  stopped: Promise<void>;
}

/** Session of the leader, seconds: how long nobody plans after a leader's death. */
const sessionSeconds = 2;

/** Starts a copy. Nothing of it fails because the store is away: it waits, and answers from what it knows. */
export function createController(ports: ControllerPorts): Controller {
  const { store, clock, rng, log, clusterKey, signal } = ports;
  // One listener per informer and stream: many, and each taken away when it ends.
  setMaxListeners(0, signal);
  const picture = new Picture({ store, clock, rng, log });
  const hosts = new HostWatch(picture, clock, ports.host);
  let work: Work | undefined;
  const api = controllerApi(
    {
      picture,
      hosts,
      store,
      fresh: new Freshness(store, picture, clock),
      clock,
      rng,
      log,
      clusterKey,
      jobLogs: ports.jobLogs(picture),
      stop: signal,
      checkCaller: ports.checkCaller,
    },
    (mounted, context) => {
      if (!ports.work) return;
      work = createWork(context, { ...ports.work, sampi: ports.sampi, local: ports.host });
      work.routes(mounted);
    },
  );
  picture.start(signal);
  hosts.start(signal);
  const stopped = runElection({
    store,
    clock,
    rng,
    log,
    name: electionName,
    value: ports.host,
    ttlSeconds: sessionSeconds,
    signal,
    onElected: (leadership) =>
      lead({ picture, hosts, store, sampi: ports.sampi, clock, rng, log, clusterKey }, leadership),
  });
  return { api, ...(work ? { work } : {}), picture, hosts, ready: picture.ready(), stopped };
}

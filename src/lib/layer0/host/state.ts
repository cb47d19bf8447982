// The agent's state: all that the plan is made from, and nothing else.
import type { Consumer, Instance, OmniJob } from '../../api/grid.js';
import { keys, partsAfter } from '../../api/keys.js';
import type { Claim, JobStatus, JobTemplate } from '../../api/job.js';
import type { VolumeRecord } from '../../api/volume.js';
import type { ContainerState } from '../../docker/port.js';
import { isSelfRegistered } from '../discovery/records.js';
import type { Action } from './actions.js';
import { Mirror } from './mirror.js';

/** The moment of a decision: `mono` (ms, monotonic) for everything that waits, `wall` (ms since 1970) for people. */
export interface Now {
  mono: number;
  wall: number;
}

/** What an inspection of a container brought. Valid for the state it was made in. */
export interface Details {
  /** Address on the bridge; absent on the host network. */
  ip?: string;
  exitCode: number;
  oom: boolean;
  /** Docker's own message. */
  error: string;
  /** ms since 1970. */
  startedAt?: number;
  /** The last lines, for an ended container only. */
  tail: string[];
}

/** A container of ours as Docker listed it. */
export interface SeenContainer {
  id: string;
  name: string;
  job: string;
  owner: string;
  template: string;
  state: ContainerState;
  createdAt: number;
  /** Which start of its job it is, and how many of them in a row were crashes: from its labels. */
  starts: number;
  attempts: number;
  /** The epoch that a singleton was started with: from its label. */
  epoch?: number;
  /** Mono time of our own last action on it: an older list does not overrule it. */
  touched: number;
  /** Docker told that the kernel killed a process in it. */
  oomHint?: boolean;
  details?: Details;
}

/** What is known of an instance's health. */
export type Verdict = 'unknown' | 'up' | 'down';

/** How a container of a job ended, or why there was none. */
export interface Exit {
  /** Absent when no container came into being. */
  container?: string;
  code: number | null;
  reason: string;
  tail: string[];
}

/** A singleton's lease, as its host holds it. */
export interface Lease {
  id: string;
  /** Mono time at which the last successful renewal was *sent*. */
  sentAt: number;
  /** Create revision of the key that hangs on it. */
  epoch: number;
  /** Mono time since which no other key of the name is older. */
  firstSince?: number;
  /** Mono time at which the store said that it is gone. */
  lostAt?: number;
}

/** A singleton's key in the store. */
export interface SeenSingleton {
  name: string;
  epoch: number;
  lease: string;
}

/** What the agent remembers of a claimed job between plans. */
export interface JobRecord {
  job: string;
  /** Starts of a container, failed ones included. */
  starts: number;
  /** Ends in a row without five minutes up in between. */
  attempts: number;
  /** The present container that the rest of the record is about. */
  container?: string;
  /** Its container ran before this agent did: its health is taken for granted until checks say otherwise. */
  adopted: boolean;
  verdict: Verdict;
  /** Mono time since which it is up. */
  upSince?: number;
  /** What the last check complained about. */
  problem?: string;
  /** Mono time at which its container was created, to be started by an attach. */
  waitSince?: number;
  exit?: Exit;
  /** Not started before this moment; the wall time is for people. */
  restartAt?: Now;
  /** The image is not on this host. */
  imageMissing: boolean;
  /** When its instance was withdrawn, and at which revision (unknown after a restart of the agent); `byOther`: not by us. */
  withdrawn?: { revision?: number; at: number; byOther?: boolean };
  termAt?: number;
  killAt?: number;
  /** Of a singleton. */
  lease?: Lease;
  /** Its container is being ended because its lease is not held. */
  fenced?: boolean;
  /** The claim is deleted and credited; the informer has not told yet. */
  released: boolean;
}

/** Everything the plan is made from. Changed by the functions of reduce.ts only. */
export interface HostState {
  host: { name: string; address: string; control: boolean };
  /** Where the claims came from: nothing yet, our copy on disk, or the store. */
  claimsFrom: 'none' | 'disk' | 'store';
  /** Mono time at which this agent began. */
  bootedAt: number;
  /** With claims from disk: mono time from which jobs may be started from them. */
  diskStartsAt: number;
  /** The store was restored or emptied: nothing is stopped until an operator confirms. */
  adoptMode: boolean;
  /** Complete lists of these were seen in this life of the agent. */
  listed: {
    instances: boolean;
    statuses: boolean;
    consumers: boolean;
    omnis: boolean;
    volumes: boolean;
    singletons: boolean;
  };
  /** Docker answered our last list. */
  dockerUp: boolean;
  claims: Mirror<Claim>;
  instances: Mirror<Instance>;
  statuses: Mirror<JobStatus>;
  consumers: Map<string, Consumer>;
  omnis: Map<string, OmniJob>;
  /** Records of this host's volumes in the store. */
  volumeRecords: Mirror<VolumeRecord>;
  /** Volumes that Docker has, by name; complete once `volumesListed`. */
  volumes: Map<string, VolumeRecord>;
  volumesListed: boolean;
  /** Volumes that a call is changing: no job is started on them meanwhile. */
  volumesBusy: Set<string>;
  /** Mono time of our own last change of a volume: an older list does not overrule it. */
  volumesTouched: Map<string, number>;
  /** Keys of all singletons of the grid. */
  singletons: Map<string, SeenSingleton>;
  templates: Map<string, JobTemplate>;
  containers: Map<string, SeenContainer>;
  jobs: Map<string, JobRecord>;
  /** Containers without a claim that were reported. */
  adopted: Set<string>;
  /** Actions under way, by key. */
  busy: Map<string, Action['do']>;
  /** Actions that failed: not tried again before `at` (mono). */
  retry: Map<string, { failures: number; at: number; error: string }>;
}

/** The state of an agent that knows nothing yet. */
export const emptyState = (host: HostState['host'], bootedAt = 0): HostState => ({
  host,
  bootedAt,
  claimsFrom: 'none',
  diskStartsAt: 0,
  adoptMode: false,
  listed: {
    instances: false,
    statuses: false,
    consumers: false,
    omnis: false,
    volumes: false,
    singletons: false,
  },
  dockerUp: false,
  claims: new Mirror(),
  instances: new Mirror(),
  statuses: new Mirror(),
  consumers: new Map(),
  omnis: new Map(),
  volumeRecords: new Mirror(),
  volumes: new Map(),
  volumesListed: false,
  volumesBusy: new Set(),
  volumesTouched: new Map(),
  singletons: new Map(),
  templates: new Map(),
  containers: new Map(),
  jobs: new Map(),
  adopted: new Set(),
  busy: new Map(),
  retry: new Map(),
});

/** A record of a job that nothing is known of. */
export const newRecord = (job: string): JobRecord => ({
  job,
  starts: 0,
  attempts: 0,
  adopted: false,
  verdict: 'unknown',
  imageMissing: false,
  released: false,
});

/** Name of a job's present container; an older one of the job carries its number behind a dot. */
export const containerName = (job: string): string => `flynn-${job}`;

/** Name of a container of the job that has ended and was replaced. */
export const retiredName = (job: string, starts: number): string => `flynn-${job}.${starts}`;

/** Whether a container's processes are there. */
export const isRunning = (container: Pick<SeenContainer, 'state'> | undefined): boolean =>
  container !== undefined && ['running', 'paused', 'restarting'].includes(container.state);

/** The job's present container, by name. */
export const currentOf = (state: HostState, job: string): SeenContainer | undefined => {
  const name = containerName(job);
  for (const container of state.containers.values()) if (container.name === name) return container;
  return undefined;
};

/** All present containers by job: for plans over all jobs. */
export const currentByJob = (state: HostState): Map<string, SeenContainer> => {
  const out = new Map<string, SeenContainer>();
  for (const c of state.containers.values()) if (c.name === containerName(c.job)) out.set(c.job, c);
  return out;
};

/** Claims by job id. */
export const claimsByJob = (state: HostState): Map<string, Claim> => {
  const prefix = keys.claimsAt(state.host.name);
  return new Map([...state.claims.entries()].map(([key, kept]) => [key.slice(prefix.length), kept.value]));
};

/** Whether a claim of this host says stop. */
export const isAnyStopping = (state: HostState): boolean => {
  for (const [, { value }] of state.claims.entries()) if (value.w === 'stop') return true;
  return false;
};

/** Registered instances by job id. */
export const instancesByJob = (
  state: HostState,
): Map<string, { key: string; value: Instance; revision: number }> => {
  const prefix = keys.instancesAt(state.host.name);
  const out = new Map<string, { key: string; value: Instance; revision: number }>();
  for (const [key, kept] of state.instances.entries()) {
    const job = partsAfter(prefix, key)[1];
    // What programs register by themselves hangs on leases: no plan withdraws it.
    if (job && !isSelfRegistered(job)) out.set(job, { key, value: kept.value, revision: kept.revision });
  }
  return out;
};

// What the plan can ask for: plain values that can be printed, tested and carried out.
import type { Claim, JobStatus, JobTemplate } from '../../api/job.js';
import type { Instance } from '../../api/grid.js';
import type { VolumeRecord } from '../../api/volume.js';

/** One step. Each is idempotent: after a lost answer the next plan asks for it again or finds it done. */
export type Action =
  /** Reads a job template from the store. */
  | { do: 'template'; hash: string }
  | { do: 'pull'; image: string }
  /** Creates and starts the job's container, moving an ended one out of its name first; one that waits for its attach is only created. */
  | {
      do: 'start';
      job: string;
      claim: Claim;
      template: JobTemplate;
      starts: number;
      attempts: number;
      /** Of a singleton. */
      epoch?: number;
      retire?: { id: string; name: string };
    }
  /** Looks at a container in full; with `tail`, its last lines too. */
  | { do: 'inspect'; job: string; container: string; tail: boolean }
  /** With `fence`, because a singleton's lease is not held. */
  | { do: 'signal'; job: string; container: string; signal: 'SIGTERM' | 'SIGKILL'; fence?: true }
  /** Gets a singleton's lease and queues up with it, after giving back what is left of earlier ones. */
  | { do: 'lease-open'; job: string; name: string; old: string[] }
  | { do: 'lease-renew'; job: string; lease: string; epoch: number }
  | { do: 'lease-close'; job: string; leases: string[] }
  /** Removes a dead container. */
  | { do: 'collect'; job: string; container: string }
  /** Removes a container that waited for its attach in vain; its job has failed. */
  | { do: 'abandon'; job: string; container: string }
  /** Reports a container that runs without a claim, and leaves it alone. */
  | { do: 'adopt'; job: string; container: string }
  | { do: 'register'; job: string; key: string; instance: Omit<Instance, 'since'> }
  | { do: 'deregister'; job: string; key: string }
  | { do: 'status'; job: string; status: JobStatus }
  /** Deletes the status of a job that is no more. */
  | { do: 'forget'; job: string }
  /** Deletes the claim and credits the book. */
  | { do: 'release'; job: string }
  /** Writes the record of a volume that is on this host. */
  | { do: 'record-volume'; record: VolumeRecord }
  /** Claims an omni job for this host. */
  | { do: 'claim-omni'; name: string; hash: string; template: JobTemplate };

/** What excludes what: actions with the same key never run at the same time. */
export const actionKey = (action: Action): string => {
  switch (action.do) {
    case 'template':
      return `template:${action.hash}`;
    case 'pull':
      return `pull:${action.image}`;
    case 'start':
    case 'inspect':
    case 'signal':
    case 'abandon':
      return `container:${action.job}`;
    case 'collect':
    case 'adopt':
      return `${action.do}:${action.container}`;
    case 'register':
    case 'deregister':
      return `instance:${action.job}`;
    case 'status':
    case 'forget':
      return `status:${action.job}`;
    case 'release':
      return `release:${action.job}`;
    case 'lease-open':
    case 'lease-renew':
    case 'lease-close':
      return `lease:${action.job}`;
    case 'record-volume':
      return `volume:${action.record.name}`;
    // One at a time: all of them change the same book.
    case 'claim-omni':
      return 'omni';
  }
};

/** Under which key a failure of the action is remembered; omni jobs are claimed one by one, but fail each on its own. */
export const retryKey = (action: Action): string =>
  action.do === 'claim-omni' ? `omni:${action.name}` : `${action.do}/${actionKey(action)}`;

/** Whether the action needs Docker, the store, or nothing that can be away. */
export const needs = (action: Action): 'docker' | 'store' | 'nothing' => {
  switch (action.do) {
    case 'pull':
    case 'start':
    case 'inspect':
    case 'signal':
    case 'collect':
    case 'abandon':
      return 'docker';
    case 'adopt':
      return 'nothing';
    default:
      return 'store';
  }
};

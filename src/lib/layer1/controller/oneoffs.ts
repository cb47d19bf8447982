// One-off jobs from beginning to end: placed, attached to, and stopped when whoever attached lets go.
import { attachJob, type AttachPorts, type RunningJob } from './attach.js';
import {
  endOneOff,
  placeOneOff,
  type OneOff,
  type OneOffPorts,
  type PlacedJob,
} from './schedulers/oneoff.js';

/** What running one-off jobs needs. */
export type OneOffsPorts = OneOffPorts & Pick<AttachPorts, 'agent'>;

/** Starts one-off jobs on one copy of the controller. */
export class OneOffs {
  private readonly ending = new Set<Promise<void>>();

  constructor(private readonly ports: OneOffsPorts) {}

  /**
   * Places a job and attaches to it before it starts. Throws `no_capacity`, `failed`, `timeout`, `unreachable`, and the
   * signal's reason; then nothing of it is left behind.
   */
  async start(wanted: OneOff, signal: AbortSignal): Promise<RunningJob> {
    const placed = await placeOneOff(this.ports, {
      ...wanted,
      template: { ...wanted.template, attach: true },
    });
    try {
      return await attachJob(this.ports, placed, () => this.end(placed), signal);
    } catch (error) {
      this.end(placed);
      throw error;
    }
  }

  /** Resolves when every job that was let go of is stopped in the store, or given up to the leader's sweep. */
  async settled(): Promise<void> {
    await Promise.all(this.ending);
  }

  private end(placed: PlacedJob): void {
    const { log } = this.ports;
    const done = endOneOff(this.ports, placed)
      .catch((error: unknown) =>
        log.warn({ job: placed.job, err: error }, 'a one-off is left to the leader to clear away'),
      )
      .finally(() => this.ending.delete(done));
    this.ending.add(done);
  }
}

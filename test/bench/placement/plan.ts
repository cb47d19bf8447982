// What the placement bench's processes tell one another.
import type { Identity } from '../../../src/lib/appliance/config.js';

/** What one scheduler is to do. */
export interface Job {
  endpoints: string[];
  seed: number;
  hosts: number;
  /** Claims that it books. */
  claims: number;
  /** Hosts of one transaction, and jobs of one transaction. */
  sample: number;
  batch: number;
  template: string;
  /** What a job takes: MiB, millicores. */
  memory: number;
  cpu: number;
  /** Over Sampi's HTTP API instead of its function. */
  http?: { port: number; identity: Identity };
}

/** What it did. */
export interface Report {
  placed: number;
  /** Hosts that refused their part. */
  refused: number;
  /** Child transactions, and those whose book had changed meanwhile. */
  attempts: number;
  conflicts: number;
  rssMb: number;
}

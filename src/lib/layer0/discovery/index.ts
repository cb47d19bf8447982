// What discovery offers to the rest: which hosts do not answer.
export { type Probe } from './probe.js';
export { HostProber, type HostProberOptions } from './prober.js';

// What discovery offers to the rest: which hosts do not answer.
export { HostProber } from './prober.js';

// The public module of Layer 0: all that Layer 1 and the operator may use of it as code.
export {
  createHostBook,
  gridView,
  putTemplate,
  releaseClaim,
  runSampi,
  SampiClient,
  setCordon,
  transact,
  type Sampi,
  type SampiPorts,
} from './sampi/index.js';
export {
  countOn,
  explain,
  place,
  Pool,
  seatOf,
  why,
  type Need,
  type Placement,
  type Seat,
  type SpreadKeys,
  type WhyFacts,
} from './placement/index.js';
export { HostProber } from './discovery/index.js';
export { removeFirewall } from './host/firewall/index.js';

// What placement offers to schedulers: seats of hosts, the choice among them, and the choice in words.
export { explain, needWords, reasons, tally, type HostReasons } from './explain.js';
export { exclude, place, type Excluded, type Placement } from './place.js';
export { Pool } from './pool.js';
export { why, type WhyAnswer, type WhyFacts } from './why.js';
export { countOn, seatOf, type Need, type Seat, type SpreadKeys } from './seat.js';

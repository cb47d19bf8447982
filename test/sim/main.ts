// The bundle's entry: what the command, the tests and the bench run.
export { invariants } from './checker.js';
export { runSeed } from './run.js';

import type { RunOptions } from '../run.js';

export const mutants: readonly {
  name: string;
  file: string;
  find: string;
  replace: string;
  invariant: string;
  run?: Partial<RunOptions>;
}[];

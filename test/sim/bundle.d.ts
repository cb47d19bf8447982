import type { RunOptions, RunResult } from './run.js';

export function bundleSim(mutant?: { file: string; find: string; replace: string }): Promise<string>;
export function loadSim(text: string): {
  runSeed(options: RunOptions): Promise<RunResult>;
  invariants: Record<string, string>;
};
/** The command that runs exactly this again. */
export function replay(options: Partial<RunOptions>): string;

// When a job that ended is started again (RULES, "crash restart").

/** Up this long (ms), a job's earlier ends are forgotten. */
export const resetAfterUpMs = 300_000;

/** Pause in ms before the next start after that many ends in a row: none below 5, 10 s below 15, then 30 s. */
export const restartDelay = (attempts: number): number =>
  attempts < 5 ? 0 : attempts < 15 ? 10_000 : 30_000;

/** Ends in a row, this one included, when the job had been up for `upMs` (undefined: it never was). */
export const nextAttempts = (attempts: number, upMs: number | undefined): number =>
  upMs !== undefined && upMs >= resetAfterUpMs ? 1 : attempts + 1;

/** Pause in ms before an action of ours that failed is tried again: 100 ms doubled up to 5 s, spread by `random` in [0, 1). */
export const retryDelay = (failures: number, random: number): number => {
  const full = Math.min(5_000, 100 * 2 ** Math.min(failures - 1, 10));
  return full / 2 + (full / 2) * random;
};

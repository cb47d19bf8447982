// Why a container ended, in words for people.
import type { JobTemplate } from '../../api/job.js';
import type { Details } from './state.js';

const MiB = 1024 * 1024;
const signalNames: Record<number, string> = {
  1: 'SIGHUP',
  2: 'SIGINT',
  6: 'SIGABRT',
  9: 'SIGKILL',
  11: 'SIGSEGV',
  15: 'SIGTERM',
};

/** Lines of output kept of a container that ended badly (JobStatus.tail). */
export const tailLines = 20;

/** Memory limit of a job in bytes; 0 for none. */
export const memoryLimitOf = (
  template: Pick<JobTemplate, 'memoryLimit'> | undefined,
  claimMiB: number,
): number => template?.memoryLimit ?? claimMiB * MiB;

/** The exit code and a sentence for it: `killed: out of memory at 512 MiB`, `exited with code 3`. */
export const exitReason = (
  details: Pick<Details, 'exitCode' | 'oom' | 'error'>,
  about: { oomHint: boolean; limitMiB: number | undefined; template: JobTemplate | undefined },
): { code: number; reason: string } => {
  const code = details.exitCode;
  // The kernel may have killed a child only: a process that then ended well was not killed itself.
  if (code !== 0 && (details.oom || (about.oomHint && code === 137))) {
    const limit = memoryLimitOf(about.template, about.limitMiB ?? 0);
    return {
      code,
      reason: limit > 0 ? `killed: out of memory at ${Math.round(limit / MiB)} MiB` : 'killed: out of memory',
    };
  }
  if (details.error !== '') return { code, reason: details.error };
  const signal = code > 128 ? signalNames[code - 128] : undefined;
  return { code, reason: signal ? `ended by ${signal} (code ${code})` : `exited with code ${code}` };
};

// Remembers which jobs could not start, so that their replacements come with growing pauses.
import { ownerOf } from '../../api/app.js';
import type { JobRecord } from './state.js';
import { isFailed } from './jobs.js';

/** A failure counts for so long, ms; the time after which a crash is forgiven, too. */
const forgetMs = 300_000;

/** The failures that this leader saw, by owner of the job. */
export class Failures {
  private readonly seen = new Map<string, { owner: string; at: number }>();

  /** Takes note of an app's jobs as they are now; monotonic ms. */
  note(jobs: readonly JobRecord[], now: number): void {
    for (const job of jobs) {
      if (isFailed(job) && !this.seen.has(job.id))
        this.seen.set(job.id, { owner: ownerOf(job.app, job.version, job.type), at: now });
    }
  }

  /** Forgets what is long ago and no longer there. */
  trim(now: number, exists: (job: string) => boolean): void {
    for (const [job, { at }] of this.seen) if (now - at > forgetMs && !exists(job)) this.seen.delete(job);
  }

  /** Times of the recent failures of a group, ascending. */
  of(app: string, version: number, type: string, now: number): number[] {
    const owner = ownerOf(app, version, type);
    const times = [...this.seen.values()].filter((item) => item.owner === owner && now - item.at <= forgetMs);
    return times.map(({ at }) => at).sort((a, b) => a - b);
  }
}

// The answer to "why is this job here, or nowhere": sentences for people, and every host with its reasons.
import { z } from 'zod';

export const WhyQuery = z.object({
  /** Job id, or with `app` the name that `flynn ps` shows (`web.1`), or a process type (`web`). */
  job: z.string().min(1).max(80),
  app: z.string().max(30).optional(),
});

export const Why = z.object({
  job: z.string(),
  sentences: z.array(z.string()),
  /** Those that fit in the order of preference, then the others; 100 at most. */
  hosts: z.array(z.object({ host: z.string(), fits: z.boolean(), reasons: z.array(z.string()) })),
});
export type Why = z.infer<typeof Why>;

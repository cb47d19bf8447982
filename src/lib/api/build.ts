// Builds: what `POST /v1/apps/APP/builds` takes and the lines that it answers with.
import { z } from 'zod';

/** Query of a build; the body is a tar of the source tree. */
export const BuildQuery = z.object({
  /** Commit that the source is of. */
  commit: z
    .string()
    .regex(/^[0-9a-f]{7,64}$/, 'a commit is 7 to 64 hexadecimal digits')
    .optional(),
});

/** What a push came to. */
export const BuildResult = z.object({
  app: z.string(),
  release: z.number().int(),
  image: z.string(),
  url: z.string(),
});
export type BuildResult = z.infer<typeof BuildResult>;

/** One line of the answer: text for the pusher, then the result as the last line (or `{error}`, which throws). */
export const BuildLine = z.union([z.object({ line: z.string() }), z.object({ result: BuildResult })]);
export type BuildLine = z.infer<typeof BuildLine>;

/** Bytes of source that one push may have. */
export const maxSourceBytes = 200 * 1024 * 1024;

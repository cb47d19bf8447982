// How an appliance describes its HTTP routes: schemas of what goes in and out, from which its OpenAPI document is made.
import type { z } from 'zod';
import type { ErrorCode } from './errors.js';
import type { Method } from './http.js';

/** One route. Paths have parameters as `:name`. */
export interface RouteContract {
  method: Method;
  path: string;
  /** One sentence for people. */
  summary: string;
  /** Schema of the path's parameters, by name. */
  params?: z.ZodObject;
  /** Schema of the query; numbers are coerced from text. */
  query?: z.ZodObject;
  /** Schema of the JSON body; absent: it takes none. */
  body?: z.ZodType;
  /** Schema of the answer, of each line of it when `stream` is set. */
  answer: z.ZodType;
  /** The answer is NDJSON: one JSON value per line, blank lines as signs of life. */
  stream?: boolean;
  /**
   * What goes in or out when it is no JSON: a tar stream, text, or the frames of the attach protocol after an upgrade
   * to `flynn`. `answer` is then not looked at.
   */
  raw?: { body?: 'tar'; answer?: 'tar' | 'text' | 'frames' };
  /** Whose certificates may call it; absent: everybody's of the cluster. */
  callers?: string;
  /** Codes that it refuses with, beside those that every route has (`forbidden`, `invalid`, `no_quorum`). */
  errors: readonly ErrorCode[];
}

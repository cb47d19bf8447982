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
  /** Codes that it refuses with, beside those that every route has (`forbidden`, `invalid`, `no_quorum`). */
  errors: readonly ErrorCode[];
}

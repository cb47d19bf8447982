// Validation at the edge: what a person typed, against the contract's schemas, with a sentence when it does not fit.
import type { z } from 'zod';
import { FlynnError } from '../api/errors.js';

/** The value as the schema gives it; throws `usage` with the schema's sentence, naming `what` was typed. */
export function check<S extends z.ZodType>(
  schema: S,
  value: unknown,
  what: string,
  hint?: string,
): z.infer<S> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const shown = typeof value === 'string' ? ` '${value.slice(0, 60)}'` : '';
  throw new FlynnError({
    code: 'usage',
    message: `${what}${shown}: ${result.error.issues[0]?.message ?? 'not valid'}`,
    ...(hint ? { hint } : {}),
    cause: result.error,
  });
}

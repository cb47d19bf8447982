// The schema of an error on the wire.
import { z } from 'zod';
import { isErrorCode, type ErrorCode } from '../api/errors.js';

/** A coded error body; an unknown code is read as `internal`. */
export const ErrorBodySchema = z.object({
  code: z.string().transform((code): ErrorCode => (isErrorCode(code) ? code : 'internal')),
  message: z.string(),
  hint: z.string().optional(),
});

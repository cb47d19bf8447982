// Bodies of requests: bounded while they are read, and checked.
import type { Context } from 'hono';
import type { z } from 'zod';
import { FlynnError } from '../../api/errors.js';

/** A job's template with all its environment is far below this, bytes. */
const maxBytes = 1024 * 1024;

const tooLarge = (): FlynnError =>
  new FlynnError({ code: 'too_large', message: `a body has at most ${maxBytes} bytes` });

/** The JSON body, as the schema takes it. Throws `too_large`, without having read more than that, and `invalid`. */
export const bodyOf = async <S extends z.ZodType>(c: Context, schema: S): Promise<z.infer<S>> => {
  if (Number(c.req.header('content-length') ?? 0) > maxBytes) throw tooLarge();
  const chunks: Uint8Array[] = [];
  let size = 0;
  // The length may be told wrong, or not at all.
  for await (const chunk of c.req.raw.body ?? []) {
    size += chunk.byteLength;
    if (size > maxBytes) throw tooLarge();
    chunks.push(chunk);
  }
  return schema.parse(JSON.parse(Buffer.concat(chunks).toString('utf8')));
};

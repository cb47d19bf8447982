// A request's body as JSON, read no further than it may be long.
import type { Context } from 'hono';
import { FlynnError } from '../../api/errors.js';

/** Throws `too_large` as soon as more than `max` bytes are announced or have come, `invalid` for what is not JSON. */
export async function jsonBody(c: Context, max: number): Promise<unknown> {
  const announced = Number(c.req.header('content-length') ?? 0);
  if (announced > max) throw tooLarge(max);
  const chunks: Uint8Array[] = [];
  let length = 0;
  const reader = c.req.raw.body?.getReader();
  for (let part = await reader?.read(); part && !part.done; part = await reader?.read()) {
    length += part.value.byteLength;
    if (length > max) {
      await reader?.cancel();
      throw tooLarge(max);
    }
    chunks.push(part.value);
  }
  const text = Buffer.concat(chunks).toString('utf8');
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new FlynnError({ code: 'invalid', message: 'the body is not JSON', cause });
  }
}

function tooLarge(max: number): FlynnError {
  return new FlynnError({
    code: 'too_large',
    message: `the body is larger than the ${max} bytes that are taken`,
  });
}

// Reading a request's body: JSON, bounded in size.
import type { Context } from 'hono';
import { FlynnError } from '../../../api/errors.js';

const maxBytes = 1024 * 1024;

/** The body as JSON; an empty one is an empty object. Throws `too_large` above 1 MiB, `invalid` when it is no JSON. */
export async function body(c: Context): Promise<unknown> {
  const length = Number(c.req.header('content-length') ?? 0);
  if (length > maxBytes) throw tooLarge(length);
  const text = await c.req.text();
  if (text.length > maxBytes) throw tooLarge(text.length);
  return text.trim() === '' ? {} : JSON.parse(text);
}

function tooLarge(bytes: number): FlynnError {
  return new FlynnError({
    code: 'too_large',
    message: `the request has ${bytes} bytes, at most ${maxBytes} are taken`,
  });
}

// An app's log over HTTP.
import type { Hono } from 'hono';
import { z } from 'zod';
import { ProcessType } from '../../../api/names.js';
import { appOf, knownApp, type ApiContext } from '../context.js';
import { writeAppLog } from '../logs.js';
import { ndjson } from '../ndjson.js';

const Query = z.object({
  follow: z.enum(['0', '1']).default('0'),
  lines: z.coerce.number().int().min(0).max(10_000).default(100),
  type: ProcessType.optional(),
});

/** Adds the route of logs. */
export function logRoutes(api: Hono, context: ApiContext): void {
  api.get('/v1/apps/:app/logs', async (c) => {
    const { name } = appOf(c, 'read');
    await context.fresh.app(name);
    knownApp(context, name);
    const { follow, lines, type } = Query.parse(c.req.query());
    const request = { app: name, lines, follow: follow === '1', ...(type === undefined ? {} : { type }) };
    return ndjson(context.clock, context.stop, (sink) => writeAppLog(context, request, sink));
  });
}

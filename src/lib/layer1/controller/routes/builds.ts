// Pushes over HTTP: source in, lines out as they come, the result or the error as the last line.
import type { Context, Hono } from 'hono';
import type { IncomingMessage } from 'node:http';
import { BuildQuery, maxSourceBytes } from '../../../api/build.js';
import { FlynnError } from '../../../api/errors.js';
import type { Builds } from '../builds.js';
import { appOf, currentApp, type ApiContext } from '../context.js';
import { LineQueue } from '../lines.js';
import { ndjson } from '../ndjson.js';

/** Adds the route of builds. */
export function buildRoutes(api: Hono, context: ApiContext, builds: Builds): void {
  api.post('/v1/apps/:app/builds', async (c) => {
    const { name, person } = appOf(c, 'deploy');
    const { commit } = BuildQuery.parse(c.req.query());
    const length = Number(c.req.header('content-length') ?? 0);
    if (length > maxSourceBytes)
      throw new FlynnError({
        code: 'too_large',
        message: `the source has ${length} bytes, at most ${maxSourceBytes} are taken`,
      });
    await currentApp(context, name);
    const source = sourceOf(c);
    return ndjson(context.clock, context.stop, async (sink) => {
      const lines = new LineQueue((line) => sink.write({ line }));
      try {
        const result = await builds.push({
          app: name,
          by: person.name,
          ...(commit === undefined ? {} : { commit }),
          source,
          say: (line) => lines.push(line),
          signal: sink.signal,
        });
        await lines.flush();
        await sink.write({ result });
      } finally {
        await lines.flush();
      }
    });
  });
}

/** The body as it arrives: the node request where there is one, since its reader may begin after the answer has. */
function sourceOf(c: Context): AsyncIterable<Buffer> {
  const { incoming } = c.env as { incoming?: IncomingMessage };
  if (incoming) return incoming as AsyncIterable<Buffer>;
  const body = c.req.raw.body as AsyncIterable<Uint8Array> | null;
  return (async function* () {
    for await (const chunk of body ?? []) yield Buffer.from(chunk);
  })();
}

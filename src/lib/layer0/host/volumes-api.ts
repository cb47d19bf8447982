// The volumes' part of the agent's API.
import { Readable } from 'node:stream';
import type { ReadableStream as NodeStream } from 'node:stream/web';
import type { Hono } from 'hono';
import { FlynnError } from '../../api/errors.js';
import type { HostAgent } from './agent.js';
import { bodyOf } from './body.js';
import { PutVolume } from './shapes.js';

/** Adds the calls to an agent's API. */
export const addVolumes = (app: Hono, { volumes }: Pick<HostAgent, 'volumes'>): void => {
  app.get('/v1/volumes', (c) => c.json({ volumes: volumes.list() }));
  app.get('/v1/volumes/:name', (c) => c.json(volumes.get(c.req.param('name'))));
  app.put('/v1/volumes/:name', async (c) => {
    const { owner, sizeLimit } = await bodyOf(c, PutVolume);
    const wish = { name: c.req.param('name'), owner, ...(sizeLimit === undefined ? {} : { sizeLimit }) };
    return c.json(await volumes.create(wish));
  });
  app.delete('/v1/volumes/:name', async (c) => {
    const name = c.req.param('name');
    await volumes.destroy(name);
    return c.json({ name, destroyed: true });
  });
  app.get('/v1/volumes/:name/snapshot', async (c) => {
    const stream = await volumes.snapshot(c.req.param('name'), c.req.raw.signal);
    return c.body(Readable.toWeb(stream) as ReadableStream<Uint8Array>, 200, {
      'content-type': 'application/x-tar',
    });
  });
  app.post('/v1/volumes/:name/restore', async (c) => {
    const { body, signal } = c.req.raw;
    if (!body)
      throw new FlynnError({ code: 'invalid', message: 'a volume is restored from a tar in the body' });
    const wish = { name: c.req.param('name'), owner: c.req.query('owner') ?? '' };
    return c.json(await volumes.restore(wish, Readable.fromWeb(body as NodeStream<Uint8Array>), signal));
  });
};

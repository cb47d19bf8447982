// `POST /v1/images/push`: puts an image of this host into the registry under a name of the system.
import type { Hono } from 'hono';
import { requireCaller } from '../../appliance/server.js';
import type { Docker } from '../../docker/port.js';
import type { Log } from '../../util/log.js';
import { bodyOf } from './body.js';
import { PushRequest, type PushAnswer } from './shapes.js';

const pushTimeoutMs = 900_000;

/** Only the control plane may decide what system images are. */
export const mayPushImages = (name: string): boolean => name === 'control';

/** Adds the call to an agent's API; `allow` is asked with the caller's certificate name. */
export const addImagesPush = (app: Hono, docker: Docker, log: Log, allow = mayPushImages): void => {
  app.post('/v1/images/push', async (c) => {
    requireCaller(c, allow);
    const { image, as } = await bodyOf(c, PushRequest);
    const { signal } = c.req.raw;
    await docker.images.tag(image, as, { signal });
    const digest = await docker.images.push(as, { signal, timeoutMs: pushTimeoutMs });
    log.info({ image, as, digest }, 'image pushed');
    return c.json({ digest } satisfies PushAnswer);
  });
};

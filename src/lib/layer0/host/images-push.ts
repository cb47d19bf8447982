// `POST /v1/images/push`: puts an image of this host into the registry under a name of the system.
import type { Hono } from 'hono';
import { z } from 'zod';
import { ports } from '../../api/grid.js';
import { requireCaller } from '../../appliance/server.js';
import type { Docker } from '../../docker/port.js';
import type { Log } from '../../util/log.js';

const target = new RegExp(
  `^127\\.0\\.0\\.1:${ports.registryLocal}/flynn/[a-z0-9]+(?:[._/-][a-z0-9]+)*(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?$`,
);

/** Body of `POST /v1/images/push`. */
export const PushRequest = z.object({
  /** An image that is on the host. */
  image: z.string().min(1).max(500),
  /** Name in the registry, `127.0.0.1:5555/flynn/NAME[:TAG]`. */
  as: z.string().max(500).regex(target, `must be 127.0.0.1:${ports.registryLocal}/flynn/NAME`),
});

/** Answer of `POST /v1/images/push`. */
export const PushAnswer = z.object({ digest: z.string() });
export type PushAnswer = z.infer<typeof PushAnswer>;

const pushTimeoutMs = 900_000;

/** Only the control plane may decide what system images are. */
export const mayPushImages = (name: string): boolean => name === 'control';

/** Adds the call to an agent's API; `allow` is asked with the caller's certificate name. */
export const addImagesPush = (app: Hono, docker: Docker, log: Log, allow = mayPushImages): void => {
  app.post('/v1/images/push', async (c) => {
    requireCaller(c, allow);
    const { image, as } = PushRequest.parse(await c.req.json());
    const { signal } = c.req.raw;
    await docker.images.tag(image, as, { signal });
    const digest = await docker.images.push(as, { signal, timeoutMs: pushTimeoutMs });
    log.info({ image, as, digest }, 'image pushed');
    return c.json({ digest } satisfies PushAnswer);
  });
};

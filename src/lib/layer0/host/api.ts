// The agent's API: facts, jobs, logs, signals and images of its host, for the controller and the other agents.
import { Hono } from 'hono';
import { z } from 'zod';
import { FlynnError, isFlynnError } from '../../api/errors.js';
import { JobId } from '../../api/names.js';
import type { Log } from '../../appliance/log.js';
import { answerError, requireCaller } from '../../appliance/server.js';
import { addServiceReads } from '../discovery/api.js';
import type { Directory } from '../discovery/directory.js';
import type { HostAgent } from './agent.js';
import { addImagesPush } from './images-push.js';
import { factsOf, healthOf, jobViews } from './facts.js';
import { jobLogs } from './logs.js';
import { ndjsonStream } from './ndjson.js';
import { currentOf, isRunning } from './state.js';

/** Body of `POST /v1/jobs/:id/signal`. */
export const SignalRequest = z.object({
  signal: z.enum(['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGKILL', 'SIGTERM', 'SIGUSR1', 'SIGUSR2', 'SIGWINCH']),
});

/** Body of `POST /v1/images/pull`. */
export const PullRequest = z.object({ image: z.string().min(1).max(500) });

const LogQuery = z.object({
  follow: z.enum(['0', '1']).default('0'),
  lines: z.coerce.number().int().min(0).max(100_000).optional(),
  since: z.string().max(40).optional(),
});

/** Whether a certificate of that name may call an agent. */
export const mayCallAgent = (name: string): boolean => name === 'control' || name.startsWith('host-');

/** The mTLS API of an agent. `allow` is asked with the caller's certificate name; without it everyone is let in (tests). */
export const hostApi = (
  agent: HostAgent,
  log: Log,
  allow?: (name: string) => boolean,
  directory?: Directory,
): Hono => {
  const app = new Hono();
  answerError(app, log);
  const { state, docker, clock } = agent.deps;
  if (allow) {
    app.use('*', async (c, next) => {
      requireCaller(c, allow);
      await next();
    });
  }

  app.get('/healthz', (c) => {
    const health = healthOf(agent);
    return c.json(health, health.ok ? 200 : 503);
  });
  app.get('/v1/facts', (c) => c.json(factsOf(agent)));
  app.get('/v1/jobs', (c) => c.json({ jobs: jobViews(state) }));
  app.get('/v1/jobs/:id', (c) => {
    const id = JobId.parse(c.req.param('id'));
    const view = jobViews(state).find((job) => job.id === id);
    if (!view) throw noSuchJob(state.host.name, id);
    return c.json(view);
  });

  app.get('/v1/jobs/:id/logs', async (c) => {
    const id = JobId.parse(c.req.param('id'));
    const query = LogQuery.parse(c.req.query());
    const gone = new AbortController();
    const lines = jobLogs({ docker, clock, alive: (job) => state.jobs.has(job) }, id, {
      follow: query.follow === '1',
      lines: query.lines,
      since: query.since,
      signal: AbortSignal.any([gone.signal, c.req.raw.signal]),
    });
    return c.body(
      ndjsonStream(lines, () => gone.abort()),
      200,
      {
        'content-type': 'application/x-ndjson',
        'cache-control': 'no-store',
      },
    );
  });

  app.post('/v1/jobs/:id/signal', async (c) => {
    const id = JobId.parse(c.req.param('id'));
    const { signal } = SignalRequest.parse(await c.req.json());
    const container = currentOf(state, id);
    if (!container) throw noSuchJob(state.host.name, id);
    if (!isRunning(container)) {
      throw new FlynnError({ code: 'conflict', message: `job ${id} does not run`, hint: 'flynn jobs' });
    }
    await docker.containers.kill(container.id, signal);
    log.info({ job: id, signal }, 'signal sent on request');
    return c.json({ job: id, signal });
  });

  app.get('/v1/images/:ref', async (c) => {
    const ref = c.req.param('ref');
    try {
      const { id } = await docker.images.inspect(ref);
      return c.json({ image: ref, present: true, id });
    } catch (error) {
      if (!isFlynnError(error, 'image_missing')) throw error;
      return c.json({ image: ref, present: false });
    }
  });
  app.post('/v1/images/pull', async (c) => {
    const { image } = PullRequest.parse(await c.req.json());
    await docker.images.pull(image, { timeoutMs: 900_000, signal: c.req.raw.signal });
    return c.json({ image, present: true });
  });
  addImagesPush(app, docker, log);
  if (directory) addServiceReads(app, directory);
  return app;
};

const noSuchJob = (host: string, id: string): FlynnError =>
  new FlynnError({ code: 'not_found', message: `host ${host} has no job ${id}`, hint: 'flynn jobs' });

// The agent's API: facts, jobs, logs, signals and images of its host, for the controller and the other agents.
import { Hono } from 'hono';
import { FlynnError, isFlynnError } from '../../api/errors.js';
import { keys } from '../../api/keys.js';
import { JobId } from '../../api/names.js';
import type { Log } from '../../appliance/log.js';
import { answerError, requireCaller } from '../../appliance/server.js';
import { addServiceReads } from '../discovery/api.js';
import type { Directory } from '../discovery/directory.js';
import type { HostAgent } from './agent.js';
import { bodyOf } from './body.js';
import { claimJob, stopJob, type PutTemplate } from './claim-job.js';
import { addImagesPush } from './images-push.js';
import { factsOf, healthOf, jobViews } from './facts.js';
import { jobLogs } from './logs.js';
import { ndjsonStream } from './ndjson.js';
import { isOver } from './restart.js';
import { LogQuery, PullRequest, PutJob, SignalRequest, type JobDetail } from './shapes.js';
import { currentOf, isRunning, type HostState } from './state.js';
import { addVolumes } from './volumes-api.js';

/** Whether a certificate of that name may call an agent. */
export const mayCallAgent = (name: string): boolean => name === 'control' || name.startsWith('host-');

/** Whether it may also change what runs on that host: another host's agent may not. */
export const mayCommandAgent = (name: string, host: string): boolean =>
  name === 'control' || name === `host-${host}`;

/** What an API is made with beside its agent. */
export interface HostApiOptions {
  log: Log;
  /** Has templates written, for jobs that are put here; without it none can be. */
  putTemplate: PutTemplate;
  /** Callers are recognised by certificate. False lets everyone in: for tests without TLS. */
  guarded: boolean;
  /** Services as this host knows them, for reading; absent: none are served. */
  directory?: Directory;
}

/** The mTLS API of an agent. */
export const hostApi = (agent: HostAgent, options: HostApiOptions): Hono => {
  const { log } = options;
  const app = new Hono();
  answerError(app, log);
  const { state, docker, clock } = agent.deps;
  if (options.guarded) {
    app.use('*', async (c, next) => {
      const commands =
        !(c.req.method === 'GET' || c.req.method === 'HEAD') || c.req.path.endsWith('/snapshot');
      requireCaller(c, commands ? (name) => mayCommandAgent(name, state.host.name) : mayCallAgent);
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
    const template = state.templates.get(view.claim.t);
    return c.json({ ...view, ...(template ? { template } : {}) } satisfies JobDetail);
  });
  app.put('/v1/jobs/:id', async (c) => {
    const id = JobId.parse(c.req.param('id'));
    return c.json(await claimJob(agent, options.putTemplate, id, await bodyOf(c, PutJob)));
  });
  app.delete('/v1/jobs/:id', async (c) => {
    const id = JobId.parse(c.req.param('id'));
    await stopJob(agent, id);
    log.info({ job: id }, 'job is to be stopped, on request');
    return c.json({ id, want: 'stop' });
  });

  app.get('/v1/jobs/:id/logs', async (c) => {
    const id = JobId.parse(c.req.param('id'));
    const query = LogQuery.parse(c.req.query());
    const gone = new AbortController();
    const lines = jobLogs({ docker, clock, alive: (job) => goesOn(state, job) }, id, {
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
    const { signal } = await bodyOf(c, SignalRequest);
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
    const { image } = await bodyOf(c, PullRequest);
    await docker.images.pull(image, { timeoutMs: 900_000, signal: c.req.raw.signal });
    return c.json({ image, present: true });
  });
  addImagesPush(app, docker, log);
  if (options.directory) addServiceReads(app, options.directory);
  addVolumes(app, agent);
  return app;
};

/** Whether a job may still get another container; false for one that has ended for good, claimed or not. */
const goesOn = (state: HostState, job: string): boolean => {
  const record = state.jobs.get(job);
  const claim = state.claims.get(keys.claim(state.host.name, job))?.value;
  if (!record || !claim) return false;
  const template = state.templates.get(claim.t);
  const reported = state.statuses.get(keys.status(state.host.name, job))?.value.state;
  return !template || !isOver(template, record.exit, reported);
};

const noSuchJob = (host: string, id: string): FlynnError =>
  new FlynnError({ code: 'not_found', message: `host ${host} has no job ${id}`, hint: 'flynn jobs' });

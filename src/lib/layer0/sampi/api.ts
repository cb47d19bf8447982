// Sampi's HTTP API: the view, claims, transactions, templates and the operators' changes of books, for any scheduler.
import { Hono, type Context } from 'hono';
import type { RouteContract } from '../../api/contract.js';
import { FlynnError } from '../../api/errors.js';
import { Overcommit } from '../../api/grid.js';
import { HostName } from '../../api/names.js';
import { ClaimsQuery, SetCordon, SetTags, TransactionRequest, ViewStreamQuery } from '../../api/sampi.js';
import { maxSampiBody, sampiRoutes } from '../../api/sampi-routes.js';
import { JobTemplate } from '../../api/job.js';
import { answerError, callerOf, incomingOf } from '../../appliance/server.js';
import type { Log } from '../../appliance/log.js';
import type { Store } from '../../store/port.js';
import { ndjsonStream } from '../host/ndjson.js';
import { jsonBody } from './body.js';
import { getTemplate, gridView, putTemplate, setCordon, setOvercommit, setTags } from './books.js';
import { claimsPage } from './claims.js';
import { transact, type SampiPorts } from './transact.js';
import { viewStream } from './view-stream.js';

/** A transaction is not carried out any more when it is as old as this, ms: no caller waits so long for one answer. */
const maxAgeMs = 5_000;

/** Name of the certificate that a request came with; undefined: none. */
export type CallerOf = (c: Context) => string | undefined;

/**
 * The API's routes. Callers are recognised by certificate: `control` may do everything, a host's own (`host-NAME`)
 * may read, and may change what is booked on that host alone.
 */
export function sampiApi(
  store: Store,
  ports: SampiPorts,
  log: Log,
  caller: CallerOf = (c) => callerOf(incomingOf(c)),
  /** Ends the streams: the process stops. */
  stop: AbortSignal = new AbortController().signal,
): Hono {
  const app = new Hono();
  answerError(app, log);
  app.get('/healthz', async (c) => {
    await store.status();
    return c.json({ ok: true });
  });
  app.use('/v1/*', async (c, next) => {
    const name = caller(c);
    if (name !== 'control' && !name?.startsWith('host-')) throw forbidden(name, c);
    await next();
  });
  const control = (c: Context): void => {
    const name = caller(c);
    if (name !== 'control') throw forbidden(name, c);
  };
  const body = (c: Context) => jsonBody(c, maxSampiBody);
  const on = (route: RouteContract, handler: (c: Context) => Response | Promise<Response>) =>
    app.on(route.method, route.path, handler);

  on(sampiRoutes.view, async (c) => c.json(await gridView(store)));
  on(sampiRoutes.viewStream, (c) => {
    const end = new AbortController();
    const signal = AbortSignal.any([end.signal, stop]);
    const events = viewStream(store, ViewStreamQuery.parse(c.req.query()), signal);
    return new Response(
      ndjsonStream(events, () => end.abort()),
      { headers: { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' } },
    );
  });
  on(sampiRoutes.claims, async (c) => c.json(await claimsPage(store, ClaimsQuery.parse(c.req.query()))));
  on(sampiRoutes.transact, async (c) => {
    const request = TransactionRequest.parse(await body(c));
    const name = caller(c) ?? '';
    const foreign =
      name === 'control' ? undefined : Object.keys(request.hosts).find((host) => name !== `host-${host}`);
    if (foreign !== undefined)
      throw new FlynnError({
        code: 'forbidden',
        message: `${name} may not change what is booked on ${foreign}`,
      });
    const begun = ports.clock.mono();
    const { signal } = c.req.raw;
    const wanted = (): boolean => !signal.aborted && ports.clock.mono() - begun < maxAgeMs;
    return c.json(await transact(store, request, { ...ports, wanted }));
  });
  on(sampiRoutes.putTemplate, async (c) => {
    control(c);
    return c.json(await putTemplate(store, JobTemplate.parse(await body(c))));
  });
  on(sampiRoutes.template, async (c) => {
    const { hash } = sampiRoutes.template.params.parse(c.req.param());
    return c.json(await getTemplate(store, hash));
  });
  const host = (c: Context): string => {
    control(c);
    return HostName.parse(c.req.param('name'));
  };
  on(sampiRoutes.cordon, async (c) => {
    const name = host(c);
    const { cordoned } = SetCordon.parse(await body(c));
    return c.json(await setCordon(store, name, cordoned, ports));
  });
  on(sampiRoutes.tags, async (c) => {
    const name = host(c);
    return c.json(await setTags(store, name, SetTags.parse(await body(c)), ports));
  });
  on(sampiRoutes.overcommit, async (c) => {
    const name = host(c);
    return c.json(await setOvercommit(store, name, Overcommit.parse(await body(c)), ports));
  });
  return app;
}

function forbidden(name: string | undefined, c: Context): FlynnError {
  return new FlynnError({
    code: 'forbidden',
    message: `${name ?? 'an unknown caller'} may not call ${c.req.path}`,
  });
}

// The controller's HTTP API: the routes of each resource, and what holds for all of them.
import { Hono } from 'hono';
import { answerError, requireCaller } from '../../appliance/server.js';
import type { Context } from 'hono';
import { isFlynnError } from '../../api/errors.js';
import type { Store } from '../../store/index.js';
import type { ApiContext } from './context.js';
import { appRoutes } from './routes/apps.js';
import { deployRoutes } from './routes/deploys.js';
import { eventRoutes } from './routes/events.js';
import { keyRoutes } from './routes/keys.js';
import { logRoutes } from './routes/logs.js';
import { routeRoutes } from './routes/routes.js';
import { statusRoutes } from './routes/status.js';
import { whyRoutes } from './routes/why.js';
import { storeAway } from './write.js';

/** The API over a context. It answers reads while the store is away, from what is known. */
export function controllerApi(context: ApiContext, more?: (api: Hono, context: ApiContext) => void): Hono {
  const api = new Hono();
  answerError(api, context.log);

  api.get('/healthz', (c) => {
    const { picture } = context;
    const behind = Object.entries(picture.records).filter(([, informer]) => !informer.synced);
    if (behind.length === 0) return c.json({ ok: true });
    // It serves what it knows all the same: this names the dependency that is broken.
    const message = `etcd is not being followed: ${behind.map(([kind]) => kind).join(', ')}`;
    return c.json({ ok: false, broken: 'etcd', message }, 503);
  });
  api.use('/v1/*', async (c, next) => {
    context.checkCaller(c);
    await next();
  });
  const mounted = { ...context, store: reportingStore(context.store) };
  const routes = [appRoutes, deployRoutes, routeRoutes, keyRoutes, eventRoutes, logRoutes, statusRoutes];
  for (const add of [...routes, whyRoutes]) add(api, mounted);
  more?.(api, mounted);
  return api;
}

/** Only the gateway (and other control appliances) may call: it says who the person is. */
export function onlyControl(c: Context): void {
  requireCaller(c, (name) => name === 'control');
}

/** The store for handlers: when it cannot be reached, callers hear `no_quorum` and that reads go on. */
function reportingStore(store: ApiContext['store']): ApiContext['store'] {
  const report = async <T>(call: Promise<T>): Promise<T> => {
    try {
      return await call;
    } catch (cause) {
      if (!isFlynnError(cause, 'unreachable') && !isFlynnError(cause, 'no_quorum')) throw cause;
      throw storeAway(cause);
    }
  };
  const wrapped: Pick<Store, 'txn' | 'get' | 'list' | 'status' | 'members'> = {
    txn: (txn, opts) => report(store.txn(txn, opts)),
    get: (key, opts) => report(store.get(key, opts)),
    list: (prefix, opts) => report(store.list(prefix, opts)),
    status: (opts) => store.status(opts),
    members: (opts) => store.members(opts),
  };
  return wrapped;
}

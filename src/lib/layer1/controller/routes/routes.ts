// Routes over HTTP: which domain leads to which app. One key per domain, so a domain has one owner.
import type { Hono } from 'hono';
import { AddRoute, Route, serviceOf } from '../../../api/app.js';
import { FlynnError } from '../../../api/errors.js';
import { keys } from '../../../api/keys.js';
import { AppName, Domain } from '../../../api/names.js';
import { appOf, currentApp, type ApiContext } from '../context.js';
import { eventOp } from '../events.js';
import { mayApp, personOf } from '../../shared/person.js';
import { commit, contend, put, unchanged } from '../write.js';
import { takenDomain } from './apps.js';
import { body } from './body.js';

/** Adds the routes of routes. */
export function routeRoutes(api: Hono, context: ApiContext): void {
  api.get('/v1/routes', (c) => {
    const person = personOf(c);
    const asked = c.req.query('app');
    const app = asked === undefined || asked === '' ? undefined : AppName.parse(asked);
    const routes = context.picture
      .routes()
      .filter((route) => (app === undefined || route.app === app) && mayApp(person, route.app, 'read'))
      .sort((a, b) => (a.domain < b.domain ? -1 : 1));
    return c.json({ routes });
  });

  api.post('/v1/apps/:app/routes', async (c) => {
    const { name, person } = appOf(c, 'change');
    const request = AddRoute.parse(await body(c));
    const key = keys.route(request.domain);
    const service = serviceOf(name, request.process);
    const route = await contend(context, `domain ${request.domain}`, async () => {
      const { entry, entries } = await currentApp(context, name, [key]);
      const taken = entries.get(key);
      const existing = taken && Route.parse(JSON.parse(taken.value));
      if (existing && existing.app !== name) throw takenDomain(request.domain, existing.app);
      if (existing?.service === service) return existing;
      if (existing) {
        throw new FlynnError({
          code: 'exists',
          message: `domain ${request.domain} leads to ${existing.service} of ${name} already`,
          hint: `flynn routes:remove ${request.domain} -a ${name}   (then add it again)`,
        });
      }
      const made: Route = {
        domain: request.domain,
        app: name,
        service,
        createdAt: context.clock.now(),
        auto: false,
      };
      const message = `${person.name} routed ${request.domain} to ${name}`;
      const done = await commit(context, {
        // The app's record is compared too: a route of an app that is being destroyed would outlive it.
        compare: [unchanged(key, undefined), unchanged(entry.key, entry)],
        then: [
          put(key, made),
          eventOp(context, { type: 'route.added', app: name, message, by: person.name }),
        ],
      });
      return done ? made : undefined;
    });
    return c.json(route);
  });

  api.delete('/v1/apps/:app/routes/:domain', async (c) => {
    const { name, person } = appOf(c, 'change');
    const domain = Domain.parse(c.req.param('domain'));
    const key = keys.route(domain);
    await contend(context, `domain ${domain}`, async () => {
      const { entries } = await currentApp(context, name, [key]);
      const entry = entries.get(key);
      if (!entry || Route.parse(JSON.parse(entry.value)).app !== name) {
        throw new FlynnError({
          code: 'not_found',
          message: `app ${name} has no route ${domain}`,
          hint: `flynn routes -a ${name}`,
        });
      }
      const message = `${person.name} removed the route ${domain} of ${name}`;
      const done = await commit(context, {
        compare: [unchanged(key, entry)],
        then: [
          { op: 'delete', key },
          eventOp(context, { type: 'route.removed', app: name, message, by: person.name }),
        ],
      });
      return done || undefined;
    });
    return c.json({ removed: true });
  });
}

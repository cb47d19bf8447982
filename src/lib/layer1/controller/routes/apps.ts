// Apps over HTTP: create, list, look at, watch, scale, destroy.
import type { Hono } from 'hono';
import {
  App,
  CreateApp,
  Deployment,
  Route,
  ScaleRequest,
  serviceOf,
  type CreatedApp,
} from '../../../api/app.js';
import type { z } from 'zod';
import { FlynnError } from '../../../api/errors.js';
import { keys } from '../../../api/keys.js';
import { AppName } from '../../../api/names.js';
import type { Op } from '../../../store/index.js';
import { ulid } from '../../../util/ulid.js';
import { appOf, currentApp, knownApp, type ApiContext } from '../context.js';
import { eventOp } from '../events.js';
import { randomName } from '../names.js';
import { mayApp, personOf, requireApp, requireRole, type Person } from '../../shared/person.js';
import { appState } from '../view.js';
import { commit, contend, put, readNow, unchanged } from '../write.js';
import { body } from './body.js';
import { watchApp } from './watch.js';

/** Adds the routes of apps. */
export function appRoutes(api: Hono, context: ApiContext): void {
  const { picture } = context;

  api.get('/v1/apps', (c) => {
    const person = personOf(c);
    const apps = picture.apps().filter(({ name, destroying }) => !destroying && mayApp(person, name, 'read'));
    return c.json({ apps: apps.sort((a, b) => (a.name < b.name ? -1 : 1)) });
  });

  api.post('/v1/apps', async (c) => {
    const person = personOf(c);
    requireRole(person, 'creating an app', 'admin', 'developer');
    const request = CreateApp.parse(await body(c));
    return c.json(await createApp(context, person, request));
  });

  api.get('/v1/apps/:app', async (c) => {
    const { name } = appOf(c, 'read');
    await context.fresh.app(name);
    return c.json(appState(context, knownApp(context, name)));
  });

  api.get('/v1/apps/:app/watch', async (c) => {
    const { name } = appOf(c, 'read');
    await context.fresh.app(name);
    knownApp(context, name);
    return watchApp(context, name);
  });

  api.post('/v1/apps/:app/scale', async (c) => {
    const { name, person } = appOf(c, 'change');
    const { processes } = ScaleRequest.parse(await body(c));
    return c.json(await scaleApp(context, person, name, processes));
  });

  api.delete('/v1/apps/:app', async (c) => {
    const { name, person } = appOf(c, 'change');
    await destroyApp(context, person, name);
    return c.json({ destroyed: true });
  });
}

/** Creates an app with its route `APP.DOMAIN`. Throws `exists` when name or domain are taken. */
async function createApp(
  context: ApiContext,
  person: Person,
  request: z.infer<typeof CreateApp>,
): Promise<z.infer<typeof CreatedApp>> {
  const { clock, rng, picture } = context;
  const cluster = picture.cluster();
  if (!cluster) {
    throw new FlynnError({
      code: 'missing',
      message: 'the cluster has no settings yet: its domain is not known',
      hint: 'flynn cluster status',
    });
  }
  return contend(context, 'the name', async () => {
    const name = request.name ?? AppName.parse(randomName(rng));
    requireApp(person, name, 'change');
    const domain = `${name}.${cluster.domain}`;
    const found = await readNow(context.store, [keys.app(name), keys.route(domain)]);
    const existing = found.get(keys.app(name));
    if (existing) {
      const app = App.parse(JSON.parse(existing.value));
      if (request.name === undefined) return undefined;
      if (request.ifMissing && !app.destroying) return { app, created: false, domain };
      throw takenName(app);
    }
    const taken = found.get(keys.route(domain));
    if (taken) throw takenDomain(domain, Route.parse(JSON.parse(taken.value)).app);
    const createdAt = clock.now();
    const app = App.parse({ name, id: ulid(createdAt, rng), createdAt });
    const route: Route = { domain, app: name, service: serviceOf(name, 'web'), createdAt, auto: true };
    const done = await commit(context, {
      compare: [unchanged(keys.app(name), undefined), unchanged(keys.route(domain), undefined)],
      then: [
        put(keys.app(name), app),
        put(keys.route(domain), route),
        eventOp(context, {
          type: 'app.created',
          app: name,
          message: `${person.name} created app ${name}`,
          by: person.name,
        }),
      ],
    });
    return done ? { app, created: true, domain } : undefined;
  });
}

function takenName(app: App): FlynnError {
  if (!app.destroying) {
    return new FlynnError({
      code: 'exists',
      message: `app ${app.name} exists`,
      hint: `flynn apps:create ${app.name} --if-missing`,
    });
  }
  return new FlynnError({
    code: 'conflict',
    message: `an app named ${app.name} is being destroyed: its name is free when its last job is gone`,
    hint: 'flynn cluster status   (shows its jobs; try again in a moment)',
  });
}

/** The error for a domain that leads to another app. */
export function takenDomain(domain: string, app: string): FlynnError {
  return new FlynnError({
    code: 'exists',
    message: `domain ${domain} is in use by app ${app}`,
    hint: `flynn routes -a ${app}`,
  });
}

async function scaleApp(
  context: ApiContext,
  person: Person,
  name: string,
  processes: Record<string, number>,
): Promise<{ before: Record<string, number>; after: Record<string, number>; changed: boolean }> {
  return contend(context, `the formation of ${name}`, async () => {
    const formationKey = keys.formation(name);
    const { app, entry, entries } = await currentApp(context, name, [formationKey]);
    const types = await typesOf(context, app);
    const unknown = Object.keys(processes).find((type) => !types.has(type));
    if (unknown !== undefined) throw unknownType(name, unknown, types);
    const stored = entries.get(formationKey);
    const before = stored
      ? (JSON.parse(stored.value) as { processes: Record<string, number> }).processes
      : {};
    const after = { ...before, ...processes };
    const changes = Object.keys(processes).filter((type) => (before[type] ?? 0) !== after[type]);
    if (changes.length === 0) return { before, after, changed: false };
    const message = `${person.name} scaled ${name}: ${changes.map((t) => `${t} ${before[t] ?? 0} => ${after[t]}`).join(', ')}`;
    const done = await commit(context, {
      compare: [unchanged(entry.key, entry), unchanged(formationKey, stored)],
      then: [
        put(formationKey, { processes: after, updatedAt: context.clock.now() }),
        eventOp(context, { type: 'app.scaled', app: name, message, by: person.name }),
      ],
    });
    return done ? { before, after, changed: true } : undefined;
  });
}

/** Process types of the current release, and of the one that is being deployed. */
async function typesOf({ store }: ApiContext, app: App): Promise<Set<string>> {
  const versions = new Set<number>(app.release === undefined ? [] : [app.release]);
  if (app.deployment !== undefined) {
    const entry = await store.get(keys.deployment(app.name, app.deployment));
    if (entry) versions.add(Deployment.parse(JSON.parse(entry.value)).to);
  }
  const found = await readNow(
    store,
    [...versions].map((version) => keys.release(app.name, version)),
  );
  const types = [...found.values()].flatMap(({ value }) =>
    Object.keys((JSON.parse(value) as { processes: object }).processes),
  );
  return new Set(types);
}

function unknownType(app: string, type: string, types: ReadonlySet<string>): FlynnError {
  if (types.size === 0) {
    return new FlynnError({
      code: 'invalid',
      message: `app ${app} has no release yet, so there is no process type ${type} to scale`,
      hint: `flynn deploy --image IMAGE -a ${app}`,
    });
  }
  const known = [...types].sort().join(', ');
  return new FlynnError({
    code: 'invalid',
    message: `app ${app} has no process type ${type}; it has: ${known}`,
    hint: `flynn scale ${[...types].sort()[0]}=1 -a ${app}`,
  });
}

/** Marks an app as going away: routes and formation go now, the leader stops its jobs and then removes the rest. */
async function destroyApp(context: ApiContext, person: Person, name: string): Promise<void> {
  await contend(context, `app ${name}`, async () => {
    const key = keys.app(name);
    const found = await readNow(context.store, [key]);
    const entry = found.get(key);
    if (!entry)
      throw new FlynnError({ code: 'not_found', message: `there is no app ${name}`, hint: 'flynn apps' });
    const app = App.parse(JSON.parse(entry.value));
    if (app.destroying) return true;
    const { entries } = await context.store.list(keys.routes);
    const routes = entries.filter(({ value }) => Route.parse(JSON.parse(value)).app === name);
    const running =
      app.deployment === undefined
        ? undefined
        : await context.store.get(keys.deployment(name, app.deployment));
    const then: Op[] = [
      put(key, { ...app, destroying: true, deployment: undefined }),
      // Those beyond the limit of one transaction are taken away by the leader.
      ...routes.slice(0, 100).map((route): Op => ({ op: 'delete', key: route.key })),
      { op: 'delete', key: keys.formation(name) },
      eventOp(context, {
        type: 'app.destroying',
        app: name,
        message: `${person.name} destroys app ${name}`,
        by: person.name,
      }),
    ];
    if (running) {
      const deployment = Deployment.parse(JSON.parse(running.value));
      const reason = `${person.name} destroyed the app`;
      then.push(
        put(running.key, { ...deployment, state: 'failed', finishedAt: context.clock.now(), reason }),
      );
    }
    return (await commit(context, { compare: [unchanged(key, entry)], then })) ? true : undefined;
  });
}

// Discovery's HTTP routes: reading for whoever may call at all, registering and standing for election for programs.
import { Hono, type Context } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { RegisterRequest, StandRequest, type Election, type Registration } from '../../api/discovery.js';
import { registrationTimes } from '../../api/discovery-times.js';
import { FlynnError } from '../../api/errors.js';
import type { Instance } from '../../api/grid.js';
import { keys } from '../../api/keys.js';
import { ServiceName } from '../../api/names.js';
import { answerError } from '../../appliance/server.js';
import type { Log } from '../../appliance/log.js';
import type { Store } from '../../store/port.js';
import type { Clock } from '../../util/clock.js';
import { ndjsonStream } from '../host/ndjson.js';
import type { Directory } from './directory.js';
import { assertMayRegister, hostPortOf, ownerKey, ownerOf, type Caller } from './policy.js';
import { candidateKey, registrationId, serviceElections, type Candidate } from './records.js';
import type { Registrar } from './registrar.js';
import { watchService } from './watch.js';

const maxBodyBytes = 16 * 1024;
/** Watches that are open at once on one host; each is a connection and a little memory. */
const maxWatches = 1_000;
/** Watches of one job: what a program follows is a handful of services. */
const maxWatchesEach = 32;

/** `GET /v1/services…`: the same for members of the cluster and for jobs. `who` names the caller, to count its watches. */
export const addServiceReads = (
  app: Hono,
  directory: Directory,
  who: (c: Context) => string | undefined = () => undefined,
): void => {
  let watches = 0;
  const each = new Map<string, number>();
  const count = (caller: string | undefined, by: number): void => {
    watches += by;
    if (caller === undefined) return;
    const own = (each.get(caller) ?? 0) + by;
    if (own > 0) each.set(caller, own);
    else each.delete(caller);
  };
  app.get('/v1/services', (c) => {
    directory.assertKnown();
    return c.json(directory.list());
  });
  app.get('/v1/services/:name', (c) => {
    const name = nameOf(c);
    directory.assertKnown();
    return c.json(directory.view(name));
  });
  app.get('/v1/services/:name/watch', (c) => {
    const name = nameOf(c);
    directory.assertKnown();
    const caller = who(c);
    if (watches >= maxWatches || (caller !== undefined && (each.get(caller) ?? 0) >= maxWatchesEach)) {
      throw new FlynnError({
        code: 'no_capacity',
        message: `too many watches are open: ${name} is not followed`,
      });
    }
    const gone = new AbortController();
    count(caller, 1);
    gone.signal.addEventListener('abort', () => count(caller, -1), { once: true });
    c.req.raw.signal.addEventListener('abort', () => gone.abort(), { once: true });
    const lines = watchService(directory, name, gone.signal);
    return c.body(
      ndjsonStream(lines, () => gone.abort()),
      200,
      { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' },
    );
  });
};

const nameOf = (c: Context): string => ServiceName.parse(c.req.param('name'));

/** A job that is told to end may withdraw what it has registered, and register nothing more. */
const assertGoesOn = (caller: Caller): void => {
  if (caller.kind === 'host' || caller.claim.w !== 'stop') return;
  throw new FlynnError({ code: 'conflict', message: `job ${caller.job} is being stopped` });
};

/** What the endpoint of programs is made from. */
export interface EndpointDeps {
  directory: Directory;
  registrar: Registrar;
  store: Pick<Store, 'list'>;
  host: { name: string; address: string };
  clock: Pick<Clock, 'now'>;
  log: Log;
  /** Who calls; throws `refused` when that cannot be told. */
  caller(authorization: string | undefined): Caller;
  /** Resolves when every live consumer has let go of what was withdrawn at that revision, or has had its time. */
  drained(service: string, id: string, revision: number): Promise<void>;
}

/** The endpoint of programs: each may register its own services, resolve, watch and stand for election; nothing else. */
export const endpointApi = (deps: EndpointDeps): Hono => {
  const { directory, registrar, host, clock } = deps;
  const app = new Hono();
  answerError(app, deps.log);
  const callerOf = (c: Context): Caller => deps.caller(c.req.header('authorization'));
  const idOf = (caller: Caller): string => (caller.kind === 'job' ? caller.job : host.name);
  app.use('*', async (c, next) => {
    callerOf(c);
    await next();
  });
  app.use(
    '*',
    bodyLimit({
      maxSize: maxBodyBytes,
      onError: () => {
        throw new FlynnError({ code: 'too_large', message: `a body has at most ${maxBodyBytes} bytes` });
      },
    }),
  );
  addServiceReads(app, directory, (c) => idOf(callerOf(c)));

  const place = (caller: Caller, service: string, port: number) => {
    const id = registrationId(caller.kind === 'job' ? caller.job : undefined, port);
    return { id, key: keys.instance(host.name, service, id) };
  };

  app.put('/v1/services/:name/registration', async (c) => {
    const service = nameOf(c);
    const caller = callerOf(c);
    const { port, meta } = RegisterRequest.parse(await c.req.json());
    assertGoesOn(caller);
    const hostPort = hostPortOf(caller, port);
    directory.assertKnown();
    assertMayRegister(caller, service, directory.view(service).instances);
    const { id, key } = place(caller, service, port);
    const value = {
      address: host.address,
      port: hostPort,
      meta: { ...meta, [ownerKey]: ownerOf(caller) },
    };
    await registrar.hold(idOf(caller), key, (before) =>
      JSON.stringify({ ...value, since: sinceOf(before) ?? clock.now() } satisfies Instance),
    );
    const answer: Registration = {
      ...{ service, id, address: value.address, port: hostPort },
      ttlMs: registrationTimes.ttlMs,
    };
    return c.json(answer);
  });

  app.delete('/v1/services/:name/registration/:port', async (c) => {
    const service = nameOf(c);
    const caller = callerOf(c);
    const { port } = RegisterRequest.pick({ port: true }).parse({ port: Number(c.req.param('port')) });
    const { id, key } = place(caller, service, port);
    const revision = await registrar.drop(key);
    await deps.drained(service, id, revision);
    return c.json({ service, id });
  });

  app.put('/v1/elections/:name', async (c) => {
    const name = nameOf(c);
    const caller = callerOf(c);
    const { port } = StandRequest.parse(await c.req.json());
    assertGoesOn(caller);
    const at = port === undefined ? {} : { address: host.address, port: hostPortOf(caller, port) };
    directory.assertKnown();
    assertMayRegister(caller, name, directory.view(name).instances);
    const id = idOf(caller);
    await registrar.hold(id, candidateKey(name, id), (before) =>
      JSON.stringify({
        id,
        host: host.name,
        ...at,
        since: sinceOf(before) ?? clock.now(),
      } satisfies Candidate),
    );
    return c.json(await electionNow(deps, name, id));
  });
  app.get('/v1/elections/:name', async (c) => c.json(await electionNow(deps, nameOf(c), idOf(callerOf(c)))));
  app.delete('/v1/elections/:name', async (c) => {
    const name = nameOf(c);
    const id = idOf(callerOf(c));
    await registrar.drop(candidateKey(name, id));
    return c.json(await electionNow(deps, name, id));
  });
  return app;
};

/** Read from the store itself: whoever asks acts on the answer. */
const electionNow = async (deps: EndpointDeps, name: string, id: string): Promise<Election> => {
  const { entries } = await deps.store.list(`${serviceElections}${name}/`, { timeoutMs: 2_000 });
  const [first] = entries.sort((a, b) => a.createRevision - b.createRevision);
  const leader = first ? first.key.slice(`${serviceElections}${name}/`.length) : null;
  return {
    ...{ name, leader, epoch: first?.createRevision ?? null },
    elected: leader === id,
    ttlMs: registrationTimes.ttlMs,
  };
};

/** When what is registered was first, so that repeating it changes nothing. */
const sinceOf = (before: string | undefined): number | undefined => {
  if (before === undefined) return undefined;
  try {
    const { since } = JSON.parse(before) as { since?: unknown };
    return typeof since === 'number' ? since : undefined;
  } catch {
    return undefined;
  }
};

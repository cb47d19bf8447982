// What the API's routes are given, and the few things that most of them do first.
import type { Context } from 'hono';
import { AppName } from '../../api/names.js';
import { App } from '../../api/app.js';
import { FlynnError } from '../../api/errors.js';
import { keys } from '../../api/keys.js';
import type { Entry, Store } from '../../store/index.js';
import type { Clock } from '../../util/clock.js';
import type { Log } from '../../appliance/log.js';
import type { Rng } from '../../util/rng.js';
import type { Freshness } from './fresh.js';
import type { HostWatch } from './hostwatch.js';
import type { JobLogs } from './logs.js';
import { personOf, requireApp, type Action, type Person } from '../shared/person.js';
import type { Picture } from './state.js';
import { readNow } from './write.js';

/** Everything that answering needs. */
export interface ApiContext {
  picture: Picture;
  hosts: HostWatch;
  store: Pick<Store, 'txn' | 'get' | 'list' | 'status' | 'members'>;
  fresh: Freshness;
  clock: Clock;
  rng: Rng;
  log: Log;
  clusterKey: Buffer;
  /** Logs of single jobs, from the agents. */
  jobLogs: JobLogs;
  /** Aborted when the process stops: streams end. */
  stop: AbortSignal;
  /** Refuses callers that are not appliances of ours; by certificate, except in tests. */
  checkCaller: (c: Context) => void;
}

/** The app that a path names, and who asks; throws `invalid` and `forbidden`. */
export function appOf(c: Context, action: Action): { name: string; person: Person } {
  const person = personOf(c);
  const name = AppName.parse(c.req.param('app'));
  requireApp(person, name, action);
  return { name, person };
}

/** An app in the picture, not being destroyed. Throws `not_found`. */
export function knownApp({ picture }: ApiContext, name: string): App {
  const app = picture.app(name);
  if (!app || app.destroying) throw noApp(name, app?.destroying);
  return app;
}

/** An app as the majority of the store has it, with other keys read at the same revision. Throws `not_found`. */
export async function currentApp(
  { store }: Pick<ApiContext, 'store'>,
  name: string,
  others: readonly string[] = [],
): Promise<{ app: App; entry: Entry; entries: Map<string, Entry> }> {
  const entries = await readNow(store, [keys.app(name), ...others]);
  const entry = entries.get(keys.app(name));
  const app = entry && App.parse(JSON.parse(entry.value));
  if (!app || app.destroying) throw noApp(name, app?.destroying);
  return { app, entry, entries };
}

function noApp(name: string, destroying?: boolean): FlynnError {
  return new FlynnError({
    code: 'not_found',
    message: destroying ? `app ${name} is being destroyed` : `there is no app ${name}`,
    hint: destroying ? 'flynn apps' : `flynn apps:create ${name}`,
  });
}

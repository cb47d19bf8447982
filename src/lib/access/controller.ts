// The controller's API, typed: one method per endpoint.
import type { Duplex } from 'node:stream';
import { z } from 'zod';
import {
  AddKey,
  AddRoute,
  App,
  AppState,
  CreatedApp,
  CreateApp,
  DeployAnswer,
  DeployRequest,
  Deployment,
  EnvAnswer,
  EnvRequest,
  Event,
  GridStatus,
  LogLine,
  Release,
  RollbackRequest,
  Role,
  Route,
  ScaleAnswer,
  ScaleRequest,
  SshKey,
} from '../api/app.js';
import type { HttpClient } from '../api/http.js';
import { Why } from '../api/why.js';
import { runPath, type RunRequest } from '../api/run.js';

/** Who the gateway says we are. */
export const WhoAmI = z.object({
  fingerprint: z.string(),
  name: z.string(),
  role: Role,
  apps: z.array(z.string()),
});
export type WhoAmI = z.infer<typeof WhoAmI>;

/** A release without what is sealed. */
export const OpenRelease = Release.omit({ sealedEnv: true, sealedKey: true });
export type OpenRelease = z.infer<typeof OpenRelease>;

const Apps = z.object({ apps: z.array(App) });
const Releases = z.object({ releases: z.array(OpenRelease), current: z.number().int().optional() });
const Routes = z.object({ routes: z.array(Route) });
const Keys = z.object({ keys: z.array(SshKey) });
const EnvChanged = DeployAnswer.extend({ env: z.record(z.string(), z.string()) });
const Destroyed = z.object({ destroyed: z.boolean() });
const Removed = z.looseObject({});

/** Bounds of a stream. */
export interface StreamOptions {
  signal?: AbortSignal;
}

/** How much of the logs is wanted. */
export interface LogQuery extends StreamOptions {
  follow?: boolean;
  /** Lines of the past. */
  lines?: number;
  type?: string;
}

/** Which events are wanted. */
export interface EventQuery extends StreamOptions {
  app?: string;
  /** Id of the last event that is known already. */
  since?: string;
  follow?: boolean;
}

/** The methods throw FlynnErrors: the controller's own, or `unreachable`, `timeout`, `interrupted`. */
export class ControllerClient {
  constructor(private readonly http: HttpClient) {}

  /** The whole grid. */
  status(options: StreamOptions = {}): Promise<GridStatus> {
    return this.http.call('GET', '/v1/status', GridStatus, options);
  }

  /** Why a job is where it is; `job` is its id, or with an app the name that `ps` shows. */
  why(job: string, app?: string): Promise<Why> {
    const query = new URLSearchParams({ job, ...(app === undefined ? {} : { app }) });
    return this.http.call('GET', `/v1/why?${query.toString()}`, Why);
  }

  /** Which key we came with and what it may do. */
  whoami(): Promise<WhoAmI> {
    return this.http.call('GET', '/v1/whoami', WhoAmI);
  }

  /** All apps that our key may see. */
  async apps(): Promise<App[]> {
    return (await this.http.call('GET', '/v1/apps', Apps)).apps;
  }

  /** Makes an app; with `ifMissing`, one that exists is no error and `created` is false. */
  createApp(body: z.input<typeof CreateApp>): Promise<z.infer<typeof CreatedApp>> {
    return this.http.call('POST', '/v1/apps', CreatedApp, { body });
  }

  /** An app as it is now. */
  app(app: string): Promise<AppState> {
    return this.http.call('GET', at(app), AppState);
  }

  /** Removes an app with everything that is its own. */
  destroyApp(app: string): Promise<{ destroyed: boolean }> {
    return this.http.call('DELETE', at(app), Destroyed, { timeoutMs: 60_000 });
  }

  /** The app's state, now and on every change, until the stream breaks. */
  watchApp(app: string, options: StreamOptions = {}): AsyncGenerator<AppState> {
    return this.http.stream('GET', `${at(app)}/watch`, AppState, options);
  }

  /** Changes the formation of the named types alone. */
  scale(app: string, body: z.input<typeof ScaleRequest>): Promise<z.infer<typeof ScaleAnswer>> {
    return this.http.call('POST', `${at(app)}/scale`, ScaleAnswer, { body });
  }

  /** Makes a release of an image and starts its deployment; an equal one changes nothing. */
  deploy(app: string, body: z.input<typeof DeployRequest>): Promise<z.infer<typeof DeployAnswer>> {
    return this.http.call('POST', `${at(app)}/deploy`, DeployAnswer, { body, timeoutMs: 60_000 });
  }

  /** Deploys an older release again: the previous one, or the one named. */
  rollback(app: string, body: z.input<typeof RollbackRequest>): Promise<z.infer<typeof DeployAnswer>> {
    return this.http.call('POST', `${at(app)}/rollback`, DeployAnswer, { body });
  }

  /** The releases that are kept, and which one is current. */
  releases(app: string): Promise<z.infer<typeof Releases>> {
    return this.http.call('GET', `${at(app)}/releases`, Releases);
  }

  /** The environment of the current release. */
  async env(app: string): Promise<Record<string, string>> {
    return (await this.http.call('GET', `${at(app)}/env`, EnvAnswer)).env;
  }

  /** Makes a release with a changed environment and starts its deployment; no change makes none. */
  changeEnv(app: string, body: z.input<typeof EnvRequest>): Promise<z.infer<typeof EnvChanged>> {
    return this.http.call('POST', `${at(app)}/env`, EnvChanged, { body });
  }

  /** One deployment. */
  deployment(app: string, id: string): Promise<Deployment> {
    return this.http.call('GET', `${at(app)}/deployments/${encodeURIComponent(id)}`, Deployment);
  }

  /** Lines of the app's log, oldest first; with `follow` the stream goes on. */
  logs(app: string, query: LogQuery): AsyncGenerator<LogLine> {
    const path = `${at(app)}/logs${search({ follow: query.follow, lines: query.lines, type: query.type })}`;
    return this.http.stream('GET', path, LogLine, { signal: query.signal });
  }

  /** Starts a one-off job; the stream carries the frames of the attach protocol. */
  run(app: string, request: RunRequest, options: StreamOptions = {}): Promise<Duplex> {
    return this.http.upgrade('POST', runPath(app, request), options);
  }

  /** Routes of one app, or of all. */
  async routes(app?: string): Promise<Route[]> {
    return (await this.http.call('GET', `/v1/routes${search({ app })}`, Routes)).routes;
  }

  /** Leads a domain to an app; the same one twice changes nothing. */
  addRoute(app: string, body: z.input<typeof AddRoute>): Promise<Route> {
    return this.http.call('POST', `${at(app)}/routes`, Route, { body });
  }

  /** Takes a domain from an app. */
  async removeRoute(app: string, domain: string): Promise<void> {
    await this.http.call('DELETE', `${at(app)}/routes/${encodeURIComponent(domain)}`, Removed);
  }

  /** The keys that may use the gateway. */
  async keys(): Promise<SshKey[]> {
    return (await this.http.call('GET', '/v1/keys', Keys)).keys;
  }

  /** Lets a public key in; the same one twice changes nothing. */
  addKey(body: z.input<typeof AddKey>): Promise<SshKey> {
    return this.http.call('POST', '/v1/keys', SshKey, { body });
  }

  /** Shuts a public key out. */
  async removeKey(fingerprint: string): Promise<void> {
    await this.http.call('DELETE', `/v1/keys/${encodeURIComponent(fingerprint)}`, Removed);
  }

  /** What happened, oldest first; with `follow` the stream goes on. */
  events(query: EventQuery): AsyncGenerator<Event> {
    const path = `/v1/events${search({ app: query.app, since: query.since, follow: query.follow })}`;
    return this.http.stream('GET', path, Event, { signal: query.signal });
  }
}

function at(app: string): string {
  return `/v1/apps/${encodeURIComponent(app)}`;
}

function search(values: Record<string, string | number | boolean | undefined>): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (value === undefined || value === false) continue;
    query.set(name, value === true ? '1' : String(value));
  }
  const text = query.toString();
  return text === '' ? '' : `?${text}`;
}

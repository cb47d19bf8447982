// HAProxy's configuration and map as text, from the desired state. Pure: the same state gives the same bytes.
import { createHash } from 'node:crypto';
import { takenOut, type Desired, type Server } from './state.js';

/** What does not change while a router lives. */
export interface RouterSettings {
  /** Directory of the sockets, configuration and map; absolute. */
  dir: string;
  /** Address and port of the public listener. */
  httpAddress: string;
  httpPort: number;
  /** Address and port of the monitor that other hosts probe. */
  monitorAddress: string;
  monitorPort: number;
  maxconn: number;
  threads: number;
  /** User that the workers run as; absent: the one that starts them. */
  user?: string;
}

/** Files and sockets of a router below its directory. */
export const routerFiles = (dir: string) => ({
  config: `${dir}/haproxy.cfg`,
  map: `${dir}/hosts.map`,
  state: `${dir}/state.json`,
  master: `${dir}/master.sock`,
  worker: `${dir}/worker.sock`,
  pid: `${dir}/haproxy.pid`,
  /** What HAProxy itself says, since its last start or reload. */
  output: `${dir}/haproxy.log`,
});

/** Variable of the workers' environment that names the settings they run with. */
export const skeletonVariable = 'FLYNN_ROUTER';

/** Backend of a request whose host has no route; no service is called so, because of the underscore. */
export const unknownBackend = '_unknown';

const body = (code: string, message: string, hint: string): string =>
  `"{\\"code\\":\\"${code}\\",\\"message\\":\\"${message}\\",\\"hint\\":\\"${hint}\\"}\\n"`;
const host = '%[var(txn.host),json(utf8s)]';
const json = 'content-type application/json lf-string';
const address = (ip: string, port: number): string => `${ip.includes(':') ? `[${ip}]` : ip}:${port}`;

/**
 * The part that depends on the settings alone. Times are RULES' figures where it has them. In a worker that is
 * stopping every `nbsrv` is 0 while its servers still take the requests of kept connections.
 */
function skeleton(settings: RouterSettings): string {
  const files = routerFiles(settings.dir);
  const asUser = settings.user ? `  user ${settings.user}\n  group ${settings.user}\n` : '';
  return `global
  maxconn ${settings.maxconn}
  nbthread ${settings.threads}
${asUser}  stats socket ${files.worker} mode 600 level admin expose-fd listeners
  hard-stop-after 30m
  mworker-max-reloads 20

defaults base
  mode http
  timeout connect 250ms
  timeout client 60s
  timeout server 60s
  timeout tunnel 1h
  timeout client-fin 30s
  timeout server-fin 30s
  timeout queue 5s
  timeout http-request 10s
  timeout http-keep-alive 15s
  retries 3
  retry-on conn-failure
  option redispatch 1
  option idle-close-on-response
  option splice-auto
  http-reuse safe
  http-error status 502 ${json} ${body('failed', `an instance of ${host} ended the connection without an answer`, 'flynn logs')}
  http-error status 503 ${json} ${body('unreachable', `no instance of ${host} could be reached`, 'flynn ps')}
  http-error status 504 ${json} ${body('timeout', `an instance of ${host} did not answer in time`, 'flynn logs')}

frontend http from base
  bind ${address(settings.httpAddress, settings.httpPort)}
  http-request set-var(txn.host) req.hdr(host),field(1,:),lower,rtrim(.)
  http-request set-var(txn.service) var(txn.host),map_str(${files.map})
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Port %[dst_port]
  http-request set-header X-Request-Start t=%[date(0,ms)]
  http-request set-header X-Request-Id %[uuid()] unless { req.hdr(x-request-id) -m reg ^[A-Za-z0-9._=-]{8,128}$ }
  option forwardfor
  use_backend %[var(txn.service)] if { var(txn.service) -m found }
  default_backend ${unknownBackend}

frontend monitor from base
  bind ${address(settings.monitorAddress, settings.monitorPort)}
  http-request return status 200 content-type text/plain string ok if { path /healthz }
  http-request return status 404 content-type text/plain string "only /healthz is here"

backend ${unknownBackend} from base
  http-request return status 404 ${json} ${body('not_found', `no app is routed at ${host}`, 'flynn routes')}

defaults app from base
  balance leastconn
  http-request return status 503 ${json} ${body('unreachable', `${host} has no running instance`, 'flynn ps')} if { nbsrv eq 0 } !{ stopping }
`;
}

/** Identifies the settings: workers that run with other ones need a reload. */
export function skeletonId(settings: RouterSettings): string {
  return createHash('sha256').update(skeleton(settings)).digest('hex').slice(0, 16);
}

const serverLine = (server: Server, out: boolean): string =>
  `  server ${server.id} ${address(server.address, server.port)}${out ? ' disabled' : ''}\n`;

/** The whole configuration: what HAProxy does after a reload is what the runtime commands left it doing. */
export function renderConfig(settings: RouterSettings, desired: Omit<Desired, 'dead'>): string {
  // The variable is set first: the global section is parsed from top to bottom.
  const parts = [
    skeleton(settings).replace('global\n', `global\n  setenv ${skeletonVariable} ${skeletonId(settings)}\n`),
  ];
  for (const [service, servers] of desired.services) {
    const out = takenOut(servers, desired.suspects);
    parts.push(`\nbackend ${service} from app\n`);
    for (const server of servers) parts.push(serverLine(server, out.has(server.id)));
  }
  return parts.join('');
}

/** The map of domains to services, one line each. */
export function renderMap(desired: Pick<Desired, 'routes'>): string {
  return [...desired.routes].map(([domain, service]) => `${domain} ${service}\n`).join('');
}

/**
 * Connections that fit into a limit of open files: two each, half a file more for the pipes of splicing, a few
 * for HAProxy itself, which refuses to start above the limit; 50,000 at most, because it takes memory in advance.
 */
export function maxconnFor(openFiles: number): number {
  return Math.max(100, Math.min(50_000, Math.floor((openFiles - 300) / 2.55)));
}

// From what HAProxy has to what it should have: runtime commands where they suffice, a reload where they do not. Pure.
import { takenOut, type Desired, type Server } from './state.js';

/** A server as HAProxy has it. `out`: in maintenance, takes no new requests. */
export interface RunningServer {
  address: string;
  port: number;
  out: boolean;
  /** Its open sessions were closed since it was taken out. */
  cut?: boolean;
}

/** What a worker of HAProxy has. */
export interface Running {
  skeleton: string;
  backends: Map<string, Map<string, RunningServer>>;
  map: Map<string, string>;
}

/** One step at run time. */
export type Change =
  | { op: 'add'; backend: string; server: Server; out: boolean }
  | { op: 'move'; backend: string; server: Server }
  | { op: 'up'; backend: string; id: string }
  | { op: 'out'; backend: string; id: string }
  /** Closes the open sessions of a server that is out: nobody will answer them. */
  | { op: 'cut'; backend: string; id: string }
  | { op: 'map-add' | 'map-set'; domain: string; service: string }
  | { op: 'map-del'; domain: string };

/** What to do. A reload needs the configuration and map on disk, as every plan does. */
export type Plan = { kind: 'reload'; why: string } | { kind: 'runtime'; changes: Change[] };

/** More steps than this take longer one by one than a reload does. */
const maxRuntimeChanges = 1_000;

/** The plan. Capacity comes before it goes: servers are added, then domains moved, then servers taken out. */
export function plan(desired: Desired, running: Running, skeleton: string): Plan {
  if (running.skeleton !== skeleton) return { kind: 'reload', why: 'the settings changed' };
  for (const service of desired.services.keys()) {
    if (!running.backends.has(service)) return { kind: 'reload', why: `${service} is new` };
  }
  const servers = planServers(desired, running);
  const isOut = (change: Change): boolean => change.op === 'out' || change.op === 'cut';
  const changes = [
    ...servers.filter((change) => !isOut(change)),
    ...planMap(desired.routes, running.map),
    ...servers.filter(isOut),
  ];
  if (changes.length > maxRuntimeChanges) return { kind: 'reload', why: `${changes.length} changes` };
  return { kind: 'runtime', changes };
}

/** The changes of the servers alone, in the backends that the worker has. */
export function planServers(desired: Desired, running: Pick<Running, 'backends'>): Change[] {
  return [...running.backends].flatMap(([name, has]) =>
    planBackend(name, desired.services.get(name) ?? [], has, desired),
  );
}

function planBackend(
  backend: string,
  wanted: readonly Server[],
  has: ReadonlyMap<string, RunningServer>,
  { suspects, dead }: Pick<Desired, 'suspects' | 'dead'>,
): Change[] {
  const changes: Change[] = [];
  const out = takenOut(wanted, suspects);
  const known = new Set<string>();
  for (const server of wanted) {
    known.add(server.id);
    const now = has.get(server.id);
    const shouldBeOut = out.has(server.id);
    if (!now) {
      changes.push({ op: 'add', backend, server, out: shouldBeOut });
      continue;
    }
    if (now.address !== server.address || now.port !== server.port)
      changes.push({ op: 'move', backend, server });
    if (now.out && !shouldBeOut) changes.push({ op: 'up', backend, id: server.id });
    if (!now.out && shouldBeOut) changes.push({ op: 'out', backend, id: server.id });
    // Not at once: a host that was only slow to answer a probe still answers its requests.
    if (shouldBeOut && dead.has(server.host) && !now.cut) changes.push({ op: 'cut', backend, id: server.id });
  }
  for (const [id, server] of has) {
    if (known.has(id)) continue;
    if (!server.out) changes.push({ op: 'out', backend, id });
    if (dead.has(hostOfJob(id)) && !server.cut) changes.push({ op: 'cut', backend, id });
  }
  return changes;
}

/** The host in a job's id, `HOST-ULID`; of any other id a name that no host has. */
const hostOfJob = (id: string): string => id.slice(0, -27);

function planMap(wanted: ReadonlyMap<string, string>, has: ReadonlyMap<string, string>): Change[] {
  const changes: Change[] = [];
  for (const [domain, service] of wanted) {
    const now = has.get(domain);
    // `add map` of a key that is there would make a second entry behind the first.
    if (now === undefined) changes.push({ op: 'map-add', domain, service });
    else if (now !== service) changes.push({ op: 'map-set', domain, service });
  }
  for (const domain of has.keys()) if (!wanted.has(domain)) changes.push({ op: 'map-del', domain });
  return changes;
}

/** Servers that a worker has and that nobody wants any more, by id with their backend. */
export function withdrawn(desired: Desired, running: Pick<Running, 'backends'>): Map<string, string> {
  const found = new Map<string, string>();
  for (const [backend, has] of running.backends) {
    const wanted = new Set(desired.services.get(backend)?.map((server) => server.id));
    for (const id of has.keys()) if (!wanted.has(id)) found.set(id, backend);
  }
  return found;
}

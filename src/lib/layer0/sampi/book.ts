// The arithmetic of a host's book: pure judgement of a change, and the credit when a job is gone.
import { bookable, jobPorts, type HostBook } from '../../api/grid.js';
import type { Claim } from '../../api/job.js';
import { hostOfJob } from '../../api/names.js';
import type { ClaimRequest, HostChange, Rejection } from '../../api/sampi.js';
import { Ports } from './ports.js';

const MiB = 1024 * 1024;

/** What a change is judged against. */
export interface BookContext {
  host: string;
  txn: string;
  /** ms since the epoch; only to keep freed ports quiet for an hour. */
  now: number;
  book: HostBook;
  /** The claims that the change names and that exist. */
  existing: ReadonlyMap<string, Claim>;
}

/** What a change does to a host when it fits. */
export interface BookResult {
  book: HostBook;
  /** Claims to write, by job: new ones and ones with a new intention. */
  writes: Map<string, Claim>;
  /** All claims that the change names as they are afterwards. */
  claims: Record<string, Claim>;
}

/** A book in the course of a change. */
interface Draft {
  used: { m: number; c: number };
  readonly limit: { m: number; c: number };
  jobs: number;
  readonly ports: Ports;
}

/**
 * Judges a change of one host. Claims that exist with the same transaction id are done already (a repeated call);
 * everything else must fit as a whole: a host takes all of a change or nothing.
 */
export function judgeChange(context: BookContext, change: HostChange): BookResult | Rejection {
  const { book } = context;
  const draft: Draft = {
    used: { ...book.used },
    limit: bookable(book),
    jobs: book.jobs,
    ports: new Ports(book, context.now),
  };
  const writes = new Map<string, Claim>();
  const claims: Record<string, Claim> = {};
  for (const request of change.claims) {
    const existing = context.existing.get(request.job) ?? writes.get(request.job);
    if (existing) {
      if (existing.x !== context.txn || writes.has(request.job))
        return reject(request.job, 'exists', `job ${request.job} exists`, 'job');
      claims[request.job] = existing;
      continue;
    }
    const claim = admit(context, draft, request);
    if ('code' in claim) return claim;
    writes.set(request.job, claim);
    claims[request.job] = claim;
  }
  for (const { job, want } of change.want) {
    const existing = writes.get(job) ?? context.existing.get(job);
    // A job that is gone already is what a stop wanted.
    if (!existing) {
      if (want === 'stop') continue;
      return reject(job, 'not_found', `job ${job} does not exist`, 'job');
    }
    // A stop is final: the agent may have begun to carry it out.
    if (existing.w === want || existing.w === 'stop') {
      claims[job] = existing;
      continue;
    }
    const changed = { ...existing, w: want };
    writes.set(job, changed);
    claims[job] = changed;
  }
  const { ports, used, jobs } = draft;
  return { book: { ...book, used, jobs, ...ports.fields() }, writes, claims };
}

/** True when `judgeChange` refused. */
export function isRejection(result: BookResult | Rejection): result is Rejection {
  return 'code' in result;
}

/** Books one request on `draft` (changed in place) and returns its claim, or why it does not fit. */
function admit(context: BookContext, draft: Draft, request: ClaimRequest): Claim | Rejection {
  const { host, book } = context;
  const { job } = request;
  if (hostOfJob(job) !== host)
    return reject(job, 'not_found', `job ${job} does not name host ${host}`, 'job');
  if (book.cordoned && !request.owner.startsWith('omni/'))
    return reject(job, 'cordoned', `host ${host} is cordoned`, 'cordon');
  if (book.disk !== undefined && !request.owner.startsWith('omni/'))
    return reject(job, 'no_capacity', `host ${host}: ${book.disk}`, 'disk');
  const memory = Math.ceil(request.resources.memory / MiB);
  const { cpu } = request.resources;
  const free = { m: draft.limit.m - draft.used.m, c: draft.limit.c - draft.used.c };
  if (memory > free.m) {
    const text = `${job} needs ${memory} MiB, host ${host} has ${Math.max(0, free.m)} MiB free`;
    return reject(job, 'no_capacity', text, 'memory', memory - free.m);
  }
  if (cpu > free.c) {
    const text = `${job} needs ${cpu} millicores, host ${host} has ${Math.max(0, free.c)} free`;
    return reject(job, 'no_capacity', text, 'cpu', cpu - free.c);
  }
  const busy = draft.ports.take(request.fixedPorts);
  if (busy.length > 0) {
    const text = `${busy.length === 1 ? 'port' : 'ports'} ${busy.join(', ')} of host ${host} ${busy.length === 1 ? 'is' : 'are'} taken`;
    return reject(job, 'no_capacity', text, 'port', busy.length);
  }
  const handed = draft.ports.handOut(request.ports);
  if (handed.length < request.ports) {
    const text = `${job} needs ${request.ports} job ports, host ${host} has ${handed.length} free`;
    return reject(job, 'no_capacity', text, 'port', request.ports - handed.length);
  }
  draft.used = { m: draft.used.m + memory, c: draft.used.c + cpu };
  draft.jobs += 1;
  return {
    t: request.template,
    o: request.owner,
    m: memory,
    c: cpu,
    p: [...request.fixedPorts, ...handed],
    w: 'run',
    x: context.txn,
    ...(request.wrappedKey ? { k: request.wrappedKey } : {}),
  };
}

/** Remembered freed ports; older ones are further from reuse anyway, because ports are handed out in a ring. */
const maxFreed = 512;

/** The book after a claim is gone: its resources are free again, its job ports stay quiet for an hour. */
export function credit(book: HostBook, claim: Claim, now: number): HostBook {
  const gone = new Set(claim.p);
  const inRange = claim.p.filter((port) => port >= jobPorts.first && port <= jobPorts.last);
  const freed = book.freed.filter(([, at]) => now - at < jobPorts.quietMs);
  return {
    ...book,
    used: { m: Math.max(0, book.used.m - claim.m), c: Math.max(0, book.used.c - claim.c) },
    ports: book.ports.filter((port) => !gone.has(port)),
    freed: [...freed, ...inRange.map((port): [number, number] => [port, now])].slice(-maxFreed),
    jobs: Math.max(0, book.jobs - 1),
  };
}

function reject(
  job: string,
  code: Rejection['code'],
  message: string,
  constraint: Rejection['constraint'],
  short?: number,
): Rejection {
  return {
    code,
    message,
    job,
    ...(constraint ? { constraint } : {}),
    ...(short === undefined ? {} : { short }),
  };
}

/** The book of a host that has just joined. Capacity is what is left after the system reserve. */
export function newBook(capacity: HostBook['capacity']): HostBook {
  return {
    capacity,
    used: { m: 0, c: 0 },
    ports: [],
    freed: [],
    nextPort: jobPorts.first,
    cordoned: false,
    tags: {},
    jobs: 0,
  };
}

// The arithmetic of a host's book: pure judgement of a change, and the credit when a job is gone.
import { hostOfJob } from '../../api/names.js';
import { jobPorts, type HostBook } from '../../api/grid.js';
import type { Claim } from '../../api/job.js';
import type { ClaimRequest, HostChange, Rejection } from '../../api/sampi.js';

const MiB = 1024 * 1024;
/** Remembered freed ports; older ones are further from reuse anyway, because ports are handed out in a ring. */
const maxFreed = 512;

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

/**
 * Judges a change of one host. Claims that exist with the same transaction id are done already (a repeated call);
 * everything else must fit as a whole: a host takes all of a change or nothing.
 */
export function judgeChange(context: BookContext, change: HostChange): BookResult | Rejection {
  const book = prune(context.book, context.now);
  const writes = new Map<string, Claim>();
  const claims: Record<string, Claim> = {};
  for (const request of change.claims) {
    const existing = context.existing.get(request.job);
    if (existing) {
      if (existing.x !== context.txn) return reject('exists', `job ${request.job} exists`, 'job');
      claims[request.job] = existing;
      continue;
    }
    const claim = admit(context, book, request);
    if ('code' in claim) return claim;
    writes.set(request.job, claim);
    claims[request.job] = claim;
  }
  for (const { job, want } of change.want) {
    const existing = writes.get(job) ?? context.existing.get(job);
    // A job that is gone already is what a stop wanted.
    if (!existing) {
      if (want === 'stop') continue;
      return reject('not_found', `job ${job} does not exist`, 'job');
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
  return { book, writes, claims };
}

/** True when `judgeChange` refused. */
export function isRejection(result: BookResult | Rejection): result is Rejection {
  return 'code' in result;
}

/** Books one request on `book` (changed in place) and returns its claim, or why it does not fit. */
function admit(context: BookContext, book: HostBook, request: ClaimRequest): Claim | Rejection {
  if (hostOfJob(request.job) !== context.host) {
    return reject('not_found', `job ${request.job} does not name host ${context.host}`, 'job');
  }
  if (book.cordoned && !request.owner.startsWith('omni/')) {
    return reject('cordoned', `host ${context.host} is cordoned`, 'cordon');
  }
  if (book.disk !== undefined && !request.owner.startsWith('omni/')) {
    return reject('no_capacity', `host ${context.host}: ${book.disk}`, 'disk');
  }
  const memory = Math.ceil(request.resources.memory / MiB);
  const cpu = request.resources.cpu;
  const freeMemory = book.capacity.m - book.used.m;
  const freeCpu = book.capacity.c - book.used.c;
  if (memory > freeMemory) {
    const text = `${request.job} needs ${memory} MiB, host ${context.host} has ${freeMemory} MiB free`;
    return reject('no_capacity', text, 'memory', memory - freeMemory);
  }
  if (cpu > freeCpu) {
    const text = `${request.job} needs ${cpu} millicores, host ${context.host} has ${freeCpu} free`;
    return reject('no_capacity', text, 'cpu', cpu - freeCpu);
  }
  const taken = new Set(book.ports);
  const busy = request.fixedPorts.find((port) => taken.has(port));
  if (busy !== undefined) {
    return reject('no_capacity', `port ${busy} of host ${context.host} is taken`, 'port', 1);
  }
  const handed = handOutPorts(book, taken, request.ports);
  if (!handed) {
    return reject(
      'no_capacity',
      `host ${context.host} has no ${request.ports} free job ports`,
      'port',
      request.ports,
    );
  }
  const ports = [...request.fixedPorts, ...handed];
  book.ports = [...book.ports, ...ports].sort((a, b) => a - b);
  book.used = { m: book.used.m + memory, c: book.used.c + cpu };
  book.jobs += 1;
  return {
    t: request.template,
    o: request.owner,
    m: memory,
    c: cpu,
    p: ports,
    w: 'run',
    x: context.txn,
    ...(request.wrappedKey ? { k: request.wrappedKey } : {}),
  };
}

/** Takes `count` ports from the ring after the last one handed out: the least recently used first. */
function handOutPorts(book: HostBook, taken: ReadonlySet<number>, count: number): number[] | undefined {
  const quiet = new Set(book.freed.map(([port]) => port));
  const size = jobPorts.last - jobPorts.first + 1;
  const found: number[] = [];
  let next = book.nextPort;
  for (let looked = 0; looked < size && found.length < count; looked++) {
    if (!taken.has(next) && !quiet.has(next)) found.push(next);
    next = next >= jobPorts.last ? jobPorts.first : next + 1;
  }
  if (found.length < count) return undefined;
  book.nextPort = next;
  return found;
}

/** The book after a claim is gone: its resources are free again, its job ports stay quiet for an hour. */
export function credit(book: HostBook, claim: Claim, now: number): HostBook {
  const pruned = prune(book, now);
  const gone = new Set(claim.p);
  const inRange = claim.p.filter((port) => port >= jobPorts.first && port <= jobPorts.last);
  return {
    ...pruned,
    used: { m: Math.max(0, book.used.m - claim.m), c: Math.max(0, book.used.c - claim.c) },
    ports: book.ports.filter((port) => !gone.has(port)),
    freed: [...pruned.freed, ...inRange.map((port): [number, number] => [port, now])].slice(-maxFreed),
    jobs: Math.max(0, book.jobs - 1),
  };
}

/** A copy of the book without freed ports that have been quiet long enough. */
function prune(book: HostBook, now: number): HostBook {
  return {
    ...book,
    used: { ...book.used },
    ports: [...book.ports],
    freed: book.freed.filter(([, at]) => now - at < jobPorts.quietMs),
  };
}

function reject(
  code: Rejection['code'],
  message: string,
  constraint: Rejection['constraint'],
  short?: number,
): Rejection {
  return { code, message, ...(constraint ? { constraint } : {}), ...(short === undefined ? {} : { short }) };
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

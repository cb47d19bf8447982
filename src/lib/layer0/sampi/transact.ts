// Sampi's transaction function: the only writer of books and claims. One child transaction per host, guarded by its book.
import { FlynnError, isFlynnError } from '../../api/errors.js';
import { keys } from '../../api/keys.js';
import { TransactionRequest, type TransactionAnswer, type TransactionInput } from '../../api/sampi.js';
import type { Store } from '../../store/port.js';
import type { Clock } from '../../util/clock.js';
import { backoff } from '../../util/retry.js';
import type { Rng } from '../../util/rng.js';
import { commitAll, commitEach, giveUp, refuse } from './commit.js';
import { load, type BookCache, type Open } from './load.js';

export interface SampiPorts {
  clock: Clock;
  rng: Rng;
  /** Books that the caller keeps in mind: they save a read, and every transaction brings them up to date. */
  books?: BookCache;
  /**
   * Whether the caller still waits: asked before each write. A request that a frozen copy carries out when its caller
   * has long had the answer of another copy would book a job again that has ended meanwhile.
   */
  wanted?: () => boolean;
}

/** Claims and intentions of one host in one transaction: etcd takes 128 operations per level. */
const maxJobsPerHost = 120;
/** Hosts of one transaction: what a caller may keep waiting. */
const maxHosts = 1_000;
const maxAtomicHosts = 64;
const maxAtomicJobs = 63;
/** Rounds against hosts whose book changed meanwhile. */
const maxRounds = 12;

/**
 * Commits a transaction of claims. *incremental*: each host takes its whole change or none of it, and the answer says
 * which; *all-or-nothing*: every host or none. A host whose book changed meanwhile is judged again against the new one.
 * The same id again finds what it did: call it again with the same id after a lost answer.
 * Throws `invalid`, `too_large`, `timeout` when nobody waits for it any more, and what the store throws (`no_quorum`, `ambiguous` when even the retries had no answer).
 */
export async function transact(
  store: Store,
  input: TransactionInput,
  ports: SampiPorts,
): Promise<TransactionAnswer> {
  const request = TransactionRequest.parse(input);
  bound(request);
  const answer: TransactionAnswer = { id: request.id, fenced: false, revision: 0, hosts: {} };
  const unknown = await unknownTemplates(store, request);
  let open: Open[] = [];
  for (const [host, change] of Object.entries(request.hosts)) {
    const missing = change.claims.find((claim) => unknown.has(claim.template));
    if (missing) {
      answer.hosts[host] = refuse({
        code: 'not_found',
        message: `template ${missing.template} of job ${missing.job} does not exist`,
        constraint: 'template',
        job: missing.job,
      });
    } else {
      open.push({ host, change });
    }
  }
  const atomic = request.mode === 'all-or-nothing';
  if (atomic && open.length < Object.keys(request.hosts).length) return giveUp(answer, open);
  // All-or-nothing guards books alone, so it never begins with remembered ones: their claims are not known.
  let cache = atomic ? undefined : ports.books;
  for (let round = 1; open.length > 0; round++) {
    try {
      const ready = await load(store, open, cache);
      if (ports.wanted?.() === false) throw tooLate(request.id);
      const work = { store, request, answer, now: ports.clock.now(), cache: ports.books };
      open = atomic ? await commitAll(work, ready) : await commitEach(work, ready);
    } catch (error) {
      // The write may have happened: reading the claims again by id tells, and the next round starts with that.
      if (!isFlynnError(error, 'ambiguous') || round >= maxRounds) throw error;
      open = open.map(({ host, change }) => ({ host, change }));
    }
    cache = undefined;
    if (answer.fenced) return answer;
    if (open.length === 0) break;
    if (round >= maxRounds) {
      for (const { host } of open) {
        answer.hosts[host] = refuse({
          code: 'conflict',
          message: `the book of host ${host} changed ${round} times meanwhile`,
        });
      }
      break;
    }
    await ports.clock.sleep(backoff(round, ports.rng, 4, 250));
  }
  return answer;
}

function tooLate(id: string): FlynnError {
  return new FlynnError({
    code: 'timeout',
    message: `transaction ${id} was given up: its caller waits no more`,
    hint: 'send it again with the same id',
  });
}

function bound(request: TransactionRequest): void {
  const atomic = request.mode === 'all-or-nothing';
  const hosts = Object.entries(request.hosts);
  const [most, jobs] = atomic ? [maxAtomicHosts, maxAtomicJobs] : [maxHosts, maxJobsPerHost];
  if (hosts.length > most) {
    throw new FlynnError({
      code: 'too_large',
      message: `${atomic ? 'an all-or-nothing' : 'a'} transaction takes at most ${most} hosts, this one names ${hosts.length}`,
      hint: 'send it in parts: each part is a transaction with an id of its own',
    });
  }
  for (const [host, change] of hosts) {
    const count = change.claims.length + change.want.length;
    if (count > jobs) {
      throw new FlynnError({
        code: 'too_large',
        message: `${atomic ? 'an all-or-nothing' : 'a'} transaction takes at most ${jobs} jobs per host, this one has ${count} for ${host}`,
        hint: 'send it in parts: each part is a transaction with an id of its own',
      });
    }
    const ids = new Set(change.claims.map((claim) => claim.job));
    if (ids.size < change.claims.length) {
      throw new FlynnError({ code: 'invalid', message: `the transaction claims a job of ${host} twice` });
    }
  }
}

async function unknownTemplates(store: Store, request: TransactionRequest): Promise<Set<string>> {
  const named = new Set(
    Object.values(request.hosts).flatMap((change) => change.claims.map((claim) => claim.template)),
  );
  const found = await Promise.all(
    [...named].map(async (hash) => ({ hash, there: (await store.get(keys.template(hash))) !== undefined })),
  );
  return new Set(found.filter(({ there }) => !there).map(({ hash }) => hash));
}

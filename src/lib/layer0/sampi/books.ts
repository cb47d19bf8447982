// The other changes of books: a host joins, is cordoned, credits a job that is gone. All guarded by the book's revision.
import { isDeepStrictEqual } from 'node:util';
import { FlynnError, isFlynnError } from '../../api/errors.js';
import { keys } from '../../api/keys.js';
import { HostBook, HostInfo, HostLease, Overcommit } from '../../api/grid.js';
import { Claim, JobTemplate, type JobTemplateInput } from '../../api/job.js';
import { SetTags, type BookAnswer, type GridView, type SetTags as SetTagsInput } from '../../api/sampi.js';
import { nameTemplate } from '../../api/template.js';
import type { Op, Store } from '../../store/port.js';
import { backoff } from '../../util/retry.js';
import { credit, newBook } from './book.js';
import type { SampiPorts } from './transact.js';

const maxRounds = 30;

/**
 * Changes a host's book under its guard, together with `others`; tried again while somebody else was faster.
 * `change` returns undefined when there is nothing to do. Throws `not_found` for a host that never joined.
 */
async function changeBook(
  store: Store,
  host: string,
  ports: SampiPorts,
  change: (book: HostBook) => Promise<{ book: HostBook; others: Op[] } | undefined>,
): Promise<boolean> {
  for (let round = 1; round <= maxRounds; round++) {
    const entry = await store.get(keys.hostBook(host));
    if (!entry)
      throw new FlynnError({ code: 'not_found', message: `host ${host} is not part of the cluster` });
    const next = await change(HostBook.parse(JSON.parse(entry.value)));
    if (!next) return false;
    try {
      const result = await store.txn({
        compare: [{ key: entry.key, target: 'mod', op: '=', value: entry.modRevision }],
        then: [{ op: 'put', key: entry.key, value: JSON.stringify(next.book) }, ...next.others],
      });
      if (result.succeeded) return true;
    } catch (error) {
      // Whether it was written shows in the next round: `change` looks again.
      if (!isFlynnError(error, 'ambiguous')) throw error;
    }
    await ports.clock.sleep(backoff(round, ports.rng, 4, 250));
  }
  throw new FlynnError({
    code: 'conflict',
    message: `the book of host ${host} changed ${maxRounds} times meanwhile`,
  });
}

/**
 * Deletes a claim and credits its host's book, in one transaction. Only the host's own agent may call it, and only
 * once the container is gone: resources are never sold while the old one drains. `gone`: somebody did it before.
 */
export async function releaseClaim(
  store: Store,
  host: string,
  job: string,
  ports: SampiPorts,
): Promise<'released' | 'gone'> {
  const key = keys.claim(host, job);
  const done = await changeBook(store, host, ports, async (book) => {
    const entry = await store.get(key);
    if (!entry) return undefined;
    return {
      book: credit(book, Claim.parse(JSON.parse(entry.value)), ports.clock.now()),
      others: [{ op: 'delete', key }],
    };
  });
  return done ? 'released' : 'gone';
}

/** Writes `templates/HASH` if it is not there; returns the hash and the whole template. Repeating it changes nothing. */
export async function putTemplate(
  store: Store,
  input: JobTemplateInput,
): Promise<{ hash: string; template: JobTemplate }> {
  const { hash, template, text } = nameTemplate(input);
  await store.txn({
    compare: [{ key: keys.template(hash), target: 'create', op: '=', value: 0 }],
    then: [{ op: 'put', key: keys.template(hash), value: text }],
  });
  return { hash, template };
}

/** The template of that hash. Throws `not_found`. */
export async function getTemplate(
  store: Store,
  hash: string,
): Promise<{ hash: string; template: JobTemplate }> {
  const entry = await store.get(keys.template(hash));
  if (!entry) throw new FlynnError({ code: 'not_found', message: `there is no template ${hash}` });
  return { hash, template: JobTemplate.parse(JSON.parse(entry.value)) };
}

/** Lets a host join with this capacity, or changes the capacity of one that joined before; claims stay as they are. */
export async function createHostBook(
  store: Store,
  host: string,
  capacity: HostBook['capacity'],
  ports: SampiPorts,
): Promise<void> {
  const created = await store.txn({
    compare: [{ key: keys.hostBook(host), target: 'create', op: '=', value: 0 }],
    then: [{ op: 'put', key: keys.hostBook(host), value: JSON.stringify(newBook(capacity)) }],
  });
  if (created.succeeded) return;
  await changeBook(store, host, ports, async (book) =>
    book.capacity.m === capacity.m && book.capacity.c === capacity.c
      ? undefined
      : { book: { ...book, capacity }, others: [] },
  );
}

/** A change of a book by an operator: what it is afterwards, and whether it was changed. */
async function adjustBook(
  store: Store,
  host: string,
  ports: SampiPorts,
  adjust: (book: HostBook) => HostBook,
): Promise<BookAnswer> {
  let after: HostBook | undefined;
  const changed = await changeBook(store, host, ports, async (book) => {
    after = adjust(book);
    return isDeepStrictEqual(after, book) ? undefined : { book: after, others: [] };
  });
  return { changed, book: after as HostBook };
}

/** Stops or resumes placements on a host; what runs there goes on. */
export function setCordon(
  store: Store,
  host: string,
  cordoned: boolean,
  ports: SampiPorts,
): Promise<BookAnswer> {
  return adjustBook(store, host, ports, (book) => ({ ...book, cordoned }));
}

/** Tags of one host at most. */
const maxTags = 64;

/** Sets and takes away tags of a host; the others stay. Throws `invalid`, and `too_large` above 64 tags. */
export function setTags(
  store: Store,
  host: string,
  input: SetTagsInput,
  ports: SampiPorts,
): Promise<BookAnswer> {
  const { set, remove } = SetTags.parse(input);
  return adjustBook(store, host, ports, (book) => {
    const gone = new Set(remove);
    const kept = Object.entries(book.tags).filter(([tag]) => !gone.has(tag));
    const tags = { ...Object.fromEntries(kept), ...set };
    const count = Object.keys(tags).length;
    if (count > maxTags)
      throw new FlynnError({
        code: 'too_large',
        message: `host ${host} would have ${count} tags, a host has at most ${maxTags}`,
      });
    return { ...book, tags };
  });
}

/**
 * Declares by which factors a host may be booked beyond its capacity; 1 and 1 takes that back. What is booked stays
 * booked, also when it is more than is allowed now.
 */
export function setOvercommit(
  store: Store,
  host: string,
  factors: Overcommit,
  ports: SampiPorts,
): Promise<BookAnswer> {
  const overcommit = Overcommit.parse(factors);
  return adjustBook(store, host, ports, ({ overcommit: _before, ...book }) =>
    overcommit.m === 1 && overcommit.c === 1 ? book : { ...book, overcommit },
  );
}

/** Lets a host's disk take nothing more, for that reason, or opens it again. Returns false when it was so already. */
export function setDisk(
  store: Store,
  host: string,
  full: string | undefined,
  ports: SampiPorts,
): Promise<boolean> {
  return changeBook(store, host, ports, async (book) => {
    const { disk, ...rest } = book;
    return disk === full ? undefined : { book: { ...rest, ...(full ? { disk: full } : {}) }, others: [] };
  });
}

/** All hosts with book and sign of life, at one revision. */
export async function gridView(store: Store): Promise<GridView> {
  const { entries, revision } = await store.list(keys.hosts);
  const byKey = new Map(entries.map((entry) => [entry.key, entry.value]));
  const hosts: GridView['hosts'] = {};
  for (const [key, value] of byKey) {
    if (!key.endsWith('/info')) continue;
    const info = HostInfo.parse(JSON.parse(value));
    const book = byKey.get(keys.hostBook(info.name));
    if (!book) continue;
    const lease = byKey.get(keys.hostLease(info.name));
    hosts[info.name] = {
      info,
      book: HostBook.parse(JSON.parse(book)),
      alive: lease !== undefined && HostLease.safeParse(JSON.parse(lease)).success,
    };
  }
  return { revision, hosts };
}

// Claims for readers, by host or by owner, in pages that are all of one revision.
import { z } from 'zod';
import { FlynnError, isFlynnError } from '../../api/errors.js';
import { Claim } from '../../api/job.js';
import { keys, partsAfter } from '../../api/keys.js';
import type { ClaimsPage, ClaimsQuery } from '../../api/sampi.js';
import type { Store } from '../../store/port.js';

/** Keys read for one page at most: an owner with few claims among many comes in short pages. */
const maxScanned = 10_000;

/** Where a page begins: after this key, at this revision. */
const Place = z.tuple([z.number().int().min(1), z.string().startsWith(keys.claims).max(200)]);

/**
 * One page of the claims asked for. Throws `invalid` for a page that is none of ours, and `compacted` when the pages'
 * revision is gone (ten minutes after the first): then begin again.
 */
export async function claimsPage(store: Store, query: ClaimsQuery): Promise<ClaimsPage> {
  const { host, owner, limit } = query;
  const prefix = host === undefined ? keys.claims : keys.claimsAt(host);
  const place = query.page === undefined ? undefined : placeOf(query.page, prefix);
  let [revision, after] = place ?? [undefined, undefined];
  const claims: ClaimsPage['claims'] = [];
  for (let scanned = 0; scanned < maxScanned;) {
    const pageSize = owner === undefined ? limit : 1000;
    const part = await readPart(store, prefix, { limit: pageSize, revision, after });
    revision = part.revision;
    scanned += part.entries.length;
    for (const { key, value } of part.entries) {
      const claim = Claim.parse(JSON.parse(value));
      if (owner !== undefined && claim.o !== owner && !claim.o.startsWith(`${owner}/`)) continue;
      if (claims.length === limit) return { revision, claims, next: pageAt(revision, after ?? prefix) };
      const [of = '', job = ''] = partsAfter(keys.claims, key);
      claims.push({ job, host: of, claim });
      after = key;
    }
    if (part.entries.length < pageSize) return { revision, claims };
    after = part.entries.at(-1)?.key;
    if (owner === undefined) break;
  }
  return { revision: revision ?? 0, claims, next: pageAt(revision ?? 0, after ?? prefix) };
}

async function readPart(
  store: Store,
  prefix: string,
  at: { limit: number; revision: number | undefined; after: string | undefined },
) {
  const { limit, revision, after } = at;
  try {
    return await store.list(prefix, {
      limit,
      ...(revision === undefined ? {} : { revision }),
      ...(after === undefined ? {} : { after }),
    });
  } catch (cause) {
    if (!isFlynnError(cause, 'compacted')) throw cause;
    throw new FlynnError({
      code: 'compacted',
      message: `the claims of revision ${revision} are no longer to be had`,
      hint: 'begin again without page',
      cause,
    });
  }
}

function pageAt(revision: number, after: string): string {
  return Buffer.from(JSON.stringify([revision, after])).toString('base64url');
}

function placeOf(page: string, prefix: string): [number, string] {
  try {
    const [revision, after] = Place.parse(JSON.parse(Buffer.from(page, 'base64url').toString('utf8')));
    if (after.startsWith(prefix)) return [revision, after];
  } catch {
    // Said below, in our words.
  }
  throw new FlynnError({
    code: 'invalid',
    message: 'page: not one that this list was asked to go on with',
    hint: 'begin again without page',
  });
}

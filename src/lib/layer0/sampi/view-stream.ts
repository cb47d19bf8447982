// The view as a stream: a snapshot of one revision, a marker, then every change; what a slow reader leaves is bounded.
import { FlynnError } from '../../api/errors.js';
import { HostBook, HostInfo } from '../../api/grid.js';
import { Claim } from '../../api/job.js';
import { keys, partsAfter } from '../../api/keys.js';
import type { ViewEvent, ViewStreamQuery } from '../../api/sampi.js';
import type { Entry, Store, Watch, WatchEvent } from '../../store/port.js';

/** Changes that may wait for the reader. */
const maxWaiting = 10_000;
const pageSize = 500;

/**
 * The events until the signal is aborted. Throws `compacted` when the reader is too slow or the store was away: what it
 * has is no longer known to be complete, and the stream must be begun again.
 */
export async function* viewStream(
  store: Pick<Store, 'list' | 'watch'>,
  query: ViewStreamQuery,
  signal: AbortSignal,
): AsyncGenerator<ViewEvent> {
  const view = new View(query);
  const prefixes = [keys.hosts, ...view.claimsPrefix()];
  const first = await store.list(keys.hosts, { signal });
  const { revision } = first;
  const changes = new Changes(store, prefixes, revision + 1, signal);
  try {
    for (const entry of first.entries) view.take(entry.key, entry);
    yield* view.hosts();
    for (const prefix of view.claimsPrefix()) yield* snapshot(store, prefix, revision, view, signal);
    yield { type: 'current', revision };
    for (;;) {
      const batch = await changes.next();
      if (!batch) return;
      for (const event of batch) yield* view.take(event.key, event.type === 'put' ? event.entry : undefined);
    }
  } finally {
    changes.end();
  }
}

async function* snapshot(
  store: Pick<Store, 'list'>,
  prefix: string,
  revision: number,
  view: View,
  signal: AbortSignal,
): AsyncGenerator<ViewEvent> {
  let after: string | undefined;
  for (;;) {
    const place = after === undefined ? {} : { after };
    const { entries } = await store.list(prefix, { limit: pageSize, revision, signal, ...place });
    for (const entry of entries) yield* view.take(entry.key, entry);
    after = entries.at(-1)?.key;
    if (entries.length < pageSize) return;
  }
}

/** The records of one host. */
interface Parts {
  info?: HostInfo | undefined;
  book?: HostBook | undefined;
  alive?: boolean;
}

/** What the parts of each host's record are, and which claims are asked for. */
class View {
  private readonly parts = new Map<string, Parts>();
  /** Claims of the owner asked for that were told: a deletion carries no owner. */
  private readonly told = new Set<string>();

  constructor(private readonly query: ViewStreamQuery) {}

  claimsPrefix(): string[] {
    const { claims, host, owner } = this.query;
    if (host !== undefined) return [keys.claimsAt(host)];
    return claims === 'all' || owner !== undefined ? [keys.claims] : [];
  }

  /** What an entry, or its absence, tells. */
  take(key: string, entry: Entry | undefined): ViewEvent[] {
    return key.startsWith(keys.claims) ? this.takeClaim(key, entry) : this.takeHost(key, entry);
  }

  /** Every host that is complete. */
  hosts(): ViewEvent[] {
    return [...this.parts.keys()].flatMap((name) => this.hostEvent(name));
  }

  private takeHost(key: string, entry: Entry | undefined): ViewEvent[] {
    const [name = '', kind] = partsAfter(keys.hosts, key);
    const before = this.hostEvent(name).length > 0;
    const parts = { ...this.parts.get(name) };
    if (kind === 'info') parts.info = entry && HostInfo.parse(JSON.parse(entry.value));
    if (kind === 'book') parts.book = entry && HostBook.parse(JSON.parse(entry.value));
    if (kind === 'lease') parts.alive = entry !== undefined;
    this.parts.set(name, parts);
    const after = this.hostEvent(name);
    if (after.length > 0 || !before) return after;
    this.parts.delete(name);
    return [{ type: 'host-gone', name }];
  }

  private hostEvent(name: string): ViewEvent[] {
    const { info, book, alive = false } = this.parts.get(name) ?? {};
    return info && book ? [{ type: 'host', name, host: { info, book, alive } }] : [];
  }

  private takeClaim(key: string, entry: Entry | undefined): ViewEvent[] {
    const [host = '', job = ''] = partsAfter(keys.claims, key);
    const { owner } = this.query;
    if (!entry)
      return owner === undefined || this.told.delete(key) ? [{ type: 'claim-gone', job, host }] : [];
    const claim = Claim.parse(JSON.parse(entry.value));
    if (owner !== undefined && claim.o !== owner && !claim.o.startsWith(`${owner}/`)) return [];
    if (owner !== undefined) this.told.add(key);
    return [{ type: 'claim', job, host, claim }];
  }
}

/** Changes of several prefixes in the order of their revisions within each, until the reader takes them. */
class Changes {
  private waiting: WatchEvent[] = [];
  private failure: FlynnError | undefined;
  private ended = false;
  private wake = (): void => undefined;
  private readonly watches: Watch[];

  constructor(
    store: Pick<Store, 'watch'>,
    prefixes: readonly string[],
    from: number,
    private readonly signal: AbortSignal,
  ) {
    signal.addEventListener('abort', this.end);
    this.watches = prefixes.map((prefix) =>
      store.watch(prefix, from, {
        onEvents: (events) => this.add(events),
        onEnd: (reason) => reason !== 'closed' && this.fail(`etcd ended the watch: ${reason}`),
      }),
    );
  }

  /** What waits, as soon as something does; undefined at the end. Throws `compacted`. */
  async next(): Promise<WatchEvent[] | undefined> {
    if (this.waiting.length === 0 && !this.failure && !this.ended)
      await new Promise<void>((resolve) => (this.wake = resolve));
    if (this.failure) throw this.failure;
    if (this.ended) return undefined;
    const batch = this.waiting;
    this.waiting = [];
    return batch;
  }

  /** Ends the watches. */
  readonly end = (): void => {
    this.ended = true;
    this.signal.removeEventListener('abort', this.end);
    for (const watch of this.watches ?? []) watch.close();
    this.wake();
  };

  private add(events: readonly WatchEvent[]): void {
    if (this.waiting.length + events.length > maxWaiting)
      return this.fail(`the reader is more than ${maxWaiting} changes behind`);
    this.waiting.push(...events);
    this.wake();
  }

  private fail(message: string): void {
    this.failure ??= new FlynnError({
      code: 'compacted',
      message: `the view is no longer complete: ${message}`,
      hint: 'ask for the stream again: it begins with all that there is',
    });
    this.waiting = [];
    this.end();
  }
}

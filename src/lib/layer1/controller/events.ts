// Events: what happened, for people and scripts. Written with the change they tell of; kept 10,000 or 24 h.
import type { Event } from '../../api/app.js';
import { keys } from '../../api/keys.js';
import { fencedTxn, type Compare, type Op, type Store } from '../../store/index.js';
import type { Clock } from '../../util/clock.js';
import type { Rng } from '../../util/rng.js';
import { ulid } from '../../util/ulid.js';
import type { Picture } from './state.js';

/** What is kept of events. */
export const eventLimits = { count: 10_000, ageMs: 24 * 3_600_000 } as const;
/** Deletes per transaction. */
const trimBatch = 100;

/** What an event is made of; id and time are added. */
export type NewEvent = Omit<Event, 'id' | 'at'>;

/** The put that writes an event, to ride in the transaction of the change itself. */
export function eventOp(ports: { clock: Clock; rng: Rng }, event: NewEvent): Op {
  const at = ports.clock.now();
  const full: Event = { id: ulid(at, ports.rng), at, ...event };
  return { op: 'put', key: keys.event(full.id), value: JSON.stringify(full) };
}

/** Keys of events that are over the limits, oldest first; pure. */
export function surplusEvents(
  eventKeys: readonly string[],
  timeOf: (key: string) => number,
  now: number,
): string[] {
  const sorted = [...eventKeys].sort();
  const tooMany = Math.max(0, sorted.length - eventLimits.count);
  return sorted.filter((key, index) => index < tooMany || now - timeOf(key) > eventLimits.ageMs);
}

/** Deletes events over the limits; returns how many. Throws `fenced` when the guard does not hold. */
export async function trimEvents(
  store: Pick<Store, 'txn'>,
  guard: Compare,
  picture: Picture,
  now: number,
): Promise<number> {
  const items = picture.records.events.items();
  const doomed = surplusEvents([...items.keys()], (key) => items.get(key)?.value.at ?? now, now);
  for (let from = 0; from < doomed.length; from += trimBatch) {
    const then: Op[] = doomed.slice(from, from + trimBatch).map((key) => ({ op: 'delete', key }));
    await fencedTxn(store, [guard], { compare: [], then });
  }
  return doomed.length;
}

/** Events that a caller asked for, oldest first. `since`: id of the last one known, or a time in ms. */
export function selectEvents(
  events: Iterable<Event>,
  wanted: { app?: string | undefined; since?: string | undefined; visible: (event: Event) => boolean },
): Event[] {
  const { since } = wanted;
  const asTime = since !== undefined && /^\d+$/.test(since) ? Number(since) : undefined;
  return [...events]
    .filter((event) => wanted.app === undefined || event.app === wanted.app)
    .filter((event) => since === undefined || (asTime === undefined ? event.id > since : event.at > asTime))
    .filter(wanted.visible)
    .sort((a, b) => (a.id < b.id ? -1 : 1));
}

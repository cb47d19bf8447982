// Services as they are now, followed for as long as anybody asks: a connection that is lost takes nothing away.
import type { ServiceInstance, ServiceView } from '../../api/discovery.js';
import { toFlynnError } from '../../api/errors.js';
import type { Clock } from '../../util/clock.js';
import type { DiscoveryClient } from './client.js';

/** What following needs. */
export interface FollowDeps {
  client: Pick<DiscoveryClient, 'watch'>;
  clock: Clock;
  say(text: string): void;
}

/** Services by name; one that was never heard of is absent. */
export type Views = ReadonlyMap<string, ServiceView>;

const retryMs = 500;
/** Changes that come together are taken together, ms. */
export const settleMs = 200;

const byAge = (a: ServiceInstance, b: ServiceInstance): number => a.epoch - b.epoch;

/**
 * Follows the services until the signal is aborted; `changed` is called when all of them are known, and after each
 * change from then on. Rejects with an error that no repetition mends.
 */
export const followServices = async (
  deps: FollowDeps,
  names: readonly string[],
  changed: (views: Views) => void,
  signal: AbortSignal,
): Promise<void> => {
  const views = new Map<string, ServiceView>();
  const set = (view: ServiceView): void => {
    views.set(view.name, view);
    if (views.size === new Set(names).size) changed(new Map(views));
  };
  await Promise.all([...new Set(names)].map((name) => followOne(deps, name, set, signal)));
};

const followOne = async (
  { client, clock, say }: FollowDeps,
  name: string,
  set: (view: ServiceView) => void,
  signal: AbortSignal,
): Promise<void> => {
  while (!signal.aborted) {
    const instances = new Map<string, ServiceInstance>();
    let leader: ServiceInstance | null = null;
    let current = false;
    try {
      for await (const event of client.watch(name, signal)) {
        if (event.type === 'up') instances.set(event.instance.id, event.instance);
        else if (event.type === 'down') instances.delete(event.id);
        else if (event.type === 'leader') leader = event.instance;
        else current = true;
        // Before the marker it is a part of the truth.
        if (current) set({ name, leader, instances: [...instances.values()].sort(byAge) });
      }
    } catch (thrown) {
      if (signal.aborted) return;
      const error = toFlynnError(thrown);
      if (error.code === 'invalid' || error.code === 'refused') throw error;
      say(`${name}: ${error.message}; trying again`);
    }
    await clock.sleep(retryMs, signal).catch(() => undefined);
  }
};

// Changes of a service as a stream: what is there, a marker, and from then on the difference to what was told last.
import type { ServiceEvent, ServiceInstance, ServiceView } from '../../api/discovery.js';

/** The part of a directory that a watch needs. */
export interface Watched {
  view(name: string): ServiceView;
  onChange(changed: (services: ReadonlySet<string>) => void): () => void;
}

/** What one who follows has been told. */
interface Told {
  instances: ReadonlyMap<string, ServiceInstance>;
  leader: ServiceInstance | null | undefined;
}

const keyOf = ({ host, id }: ServiceInstance): string => `${host}/${id}`;
const same = (a: ServiceInstance | null | undefined, b: ServiceInstance | null): boolean =>
  a === b ||
  (!!a &&
    !!b &&
    keyOf(a) === keyOf(b) &&
    a.epoch === b.epoch &&
    a.address === b.address &&
    a.port === b.port);

/** The events from what was told to what is. Pure. */
export const difference = (told: Told, view: ServiceView): ServiceEvent[] => {
  const now = new Map(view.instances.map((instance) => [keyOf(instance), instance]));
  const ups = view.instances.filter((instance) => !same(told.instances.get(keyOf(instance)), instance));
  const gone = [...told.instances].filter(([key]) => !now.has(key));
  return [
    // Who comes before who goes: whoever follows is not left without any for a moment.
    ...ups.map((instance) => ({ type: 'up' as const, instance })),
    ...gone.map(([, { id }]) => ({ type: 'down' as const, id })),
    ...(same(told.leader, view.leader) && told.leader !== undefined
      ? []
      : [{ type: 'leader' as const, instance: view.leader }]),
  ];
};

/**
 * The events of a service until the signal is aborted. Holds no queue: a slow reader is told later, and less, for what
 * came and went meanwhile is left out.
 */
export async function* watchService(
  directory: Watched,
  name: string,
  signal: AbortSignal,
): AsyncGenerator<ServiceEvent> {
  let wake = (): void => undefined;
  let dirty = false;
  const poke = (): void => {
    dirty = true;
    wake();
  };
  const end = directory.onChange((services) => services.has(name) && poke());
  signal.addEventListener('abort', poke, { once: true });
  try {
    let told: Told = { instances: new Map(), leader: undefined };
    for (let first = true; !signal.aborted; first = false) {
      dirty = false;
      const view = directory.view(name);
      const events = difference(told, view);
      told = { instances: new Map(view.instances.map((it) => [keyOf(it), it])), leader: view.leader };
      yield* events;
      if (first) yield { type: 'current' };
      // What changed while the reader took its time is looked at at once.
      if (!dirty && !signal.aborted) await new Promise<void>((resolve) => (wake = resolve));
    }
  } finally {
    end();
    signal.removeEventListener('abort', poke);
  }
}

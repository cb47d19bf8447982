// Events over HTTP: what is kept, and what happens from now on.
import type { Hono } from 'hono';
import type { Event } from '../../../api/app.js';
import type { ApiContext } from '../context.js';
import { eventLimits, selectEvents } from '../events.js';
import { ndjson } from '../ndjson.js';
import { mayApp, personOf } from '../../shared/person.js';
import { Wakeup } from '../wakeup.js';

/** Adds the route of events. */
export function eventRoutes(api: Hono, context: ApiContext): void {
  const { clock, stop, picture } = context;
  const { events } = picture.records;

  api.get('/v1/events', (c) => {
    const person = personOf(c);
    const app = c.req.query('app') || undefined;
    const follow = c.req.query('follow') === '1';
    const since = c.req.query('since') || undefined;
    // Events of no app (hosts, keys) are for those who see the whole cluster.
    const whole = person.role === 'admin' || (person.role === 'developer' && person.apps.length === 0);
    const visible = (event: Event) => (event.app === undefined ? whole : mayApp(person, event.app, 'read'));
    return ndjson(clock, stop, async (sink) => {
      const wakeup = new Wakeup(clock);
      const end = events.onChange(() => wakeup.ring());
      const sent = new Set<string>();
      try {
        do {
          const all = [...events.items().values()].map(({ value }) => value);
          for (const event of selectEvents(all, { app, since, visible })) {
            if (sent.has(event.id)) continue;
            sent.add(event.id);
            await sink.write(event);
          }
          // Ids of different writers' clocks may come out of order, so all that were sent are remembered: boundedly.
          if (sent.size > 2 * eventLimits.count)
            for (const id of sent) if (!events.get(`events/${id}`)) sent.delete(id);
          if (follow) await wakeup.wait(5_000, sink.signal);
        } while (follow && !sink.signal.aborted);
      } finally {
        end();
      }
    });
  });
}

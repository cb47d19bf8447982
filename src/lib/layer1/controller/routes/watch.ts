// Watching an app: its whole state at once, and again after every change.
import type { AppState } from '../../../api/app.js';
import type { ApiContext } from '../context.js';
import { knownApp } from '../context.js';
import { ndjson } from '../ndjson.js';
import { appState } from '../view.js';
import { Wakeup } from '../wakeup.js';

/** Time in which changes are gathered into one line, and after which it is looked even without one; ms. */
const figures = { gather: 50, look: 1_000 } as const;

/** NDJSON of `AppState`. Ends with an error line when the app is gone. */
export function watchApp(context: ApiContext, name: string): Response {
  const { picture, hosts, clock, stop } = context;
  return ndjson(clock, stop, async (sink) => {
    const wakeup = new Wakeup(clock);
    const ends = [
      picture.onChange((touched) => void ((touched === 'all' || touched.has(name)) && wakeup.ring())),
      hosts.onNews(() => wakeup.ring()),
    ];
    try {
      let last = '';
      while (!sink.signal.aborted) {
        const state: AppState = appState(context, knownApp(context, name));
        const text = JSON.stringify(state);
        // A slow reader gets the newest state, not every one.
        if (text !== last) await sink.write(state);
        last = text;
        await clock.sleep(figures.gather, sink.signal).catch(() => undefined);
        await wakeup.wait(figures.look, sink.signal);
      }
    } finally {
      for (const end of ends) end();
    }
  });
}

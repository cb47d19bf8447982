// Sampi's HTTP API: the view, transactions and templates, for any scheduler.
import { Hono } from 'hono';
import { JobTemplate } from '../../api/job.js';
import { TransactionRequest } from '../../api/sampi.js';
import { answerError, requireCaller } from '../../appliance/server.js';
import type { Log } from '../../appliance/log.js';
import type { Store } from '../../store/port.js';
import { gridView, putTemplate } from './books.js';
import { transact, type SampiPorts } from './transact.js';

/** Bodies above this are refused before they are read whole, bytes. */
const maxBody = 4 * 1024 * 1024;

/** The API's routes. Callers are recognised by certificate: `control` and agents. */
export function sampiApi(store: Store, ports: SampiPorts, log: Log): Hono {
  const app = new Hono();
  answerError(app, log);
  app.get('/healthz', async (c) => {
    await store.status();
    return c.json({ ok: true });
  });
  app.use('/v1/*', async (c, next) => {
    requireCaller(c, (name) => name === 'control' || name.startsWith('host-'));
    const length = Number(c.req.header('content-length') ?? 0);
    if (length > maxBody)
      return c.json(
        { code: 'too_large', message: `the body has ${length} bytes, at most ${maxBody} are taken` },
        413,
      );
    await next();
  });
  app.get('/v1/view', async (c) => c.json(await gridView(store)));
  app.post('/v1/transactions', async (c) => {
    const request = TransactionRequest.parse(await c.req.json());
    const answer = await transact(store, request, ports);
    return c.json(answer);
  });
  app.put('/v1/templates', async (c) =>
    c.json(await putTemplate(store, JobTemplate.parse(await c.req.json()))),
  );
  return app;
}

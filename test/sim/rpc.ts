// Calls from the controllers to Sampi over the simulated network: they take time, get lost, and come twice.
import type { z } from 'zod';
import type { ApplianceClients } from '../../src/lib/appliance/client.js';
import { FlynnError, isFlynnError } from '../../src/lib/api/errors.js';
import { JobTemplate } from '../../src/lib/api/job.js';
import { TransactionRequest } from '../../src/lib/api/sampi.js';
import { putTemplate, transact } from '../../src/lib/layer0/sampi/index.js';
import type { SimHost } from './host.js';
import type { Process } from './process.js';
import type { World } from './world.js';

/** As Sampi's own API has it. */
const maxAgeMs = 5_000;

interface Asked {
  body?: unknown;
}

/** What Sampi's API does with a request; the body has been through JSON. */
const serve = (
  world: World,
  address: string,
  path: string,
  body: unknown,
  caller: string,
  waits: () => boolean,
): Promise<unknown> => {
  const copy = world.sampis.get(address);
  if (!copy)
    return Promise.reject(new FlynnError({ code: 'unreachable', message: `no sampi at ${address}` }));
  const { process } = copy;
  const store = copy.store.as(`sampi for ${caller}`);
  if (caller.startsWith('controller:')) world.atWork?.(process.machine as SimHost);
  if (path === '/v1/transactions')
    return transact(store, TransactionRequest.parse(body), {
      ...{ clock: process.clock, rng: process.rng, books: copy.books },
      wanted: waits,
    });
  return putTemplate(store, JobTemplate.parse(body));
};

/** Clients by address, as the controllers' own are. */
export const sampiClients = (world: World, caller: Process, name = caller.name): ApplianceClients => {
  const at = (address: string, _port: number, timeoutMs = 5_000) => ({
    call: <S extends z.ZodType>(
      method: string,
      path: string,
      schema: S,
      { body }: Asked = {},
    ): Promise<z.infer<S>> =>
      new Promise((resolve, reject) => {
        const what = `${method} ${path} at ${address}`;
        const { net, timeline } = world;
        const target = world.sampis.get(address)?.process;
        let over = false;
        let gone = false;
        const finish = (settle: () => void): void => {
          if (over) return;
          over = true;
          cancel();
          settle();
        };
        const cancel = timeline.at(
          timeoutMs,
          () => {
            finish(() => reject(new FlynnError({ code: 'timeout', message: `${what}: no answer` })));
            // The connection is closed: the other side hears of it as soon as anything of us reaches it.
            if (target) net.send(caller.machine, target.machine, target, () => (gone = true));
          },
          caller,
        );
        const refuse = (): void =>
          finish(() => reject(new FlynnError({ code: 'unreachable', message: `${what}: refused` })));
        if (!target) return refuse();
        const text = JSON.stringify(body);
        if (!target.alive) {
          // Its machine says that nobody listens.
          const round = (): void => void timeline.at(0.2, refuse, caller);
          if (net.connected(caller.machine, target.machine)) round();
          return;
        }
        net.send(
          caller.machine,
          target.machine,
          target,
          () => {
            const reply = (settle: () => void): void =>
              net.send(target.machine, caller.machine, caller, () => finish(settle));
            const begun = timeline.now;
            const waits = (): boolean => !gone && timeline.now - begun < maxAgeMs;
            serve(world, address, path, JSON.parse(text), name, waits).then(
              (answer) => {
                const words = JSON.stringify(answer);
                reply(() => resolve(schema.parse(JSON.parse(words)) as z.infer<S>));
              },
              (error: unknown) => {
                // As over HTTP: a coded error keeps its code, everything else is our bug.
                const coded = isFlynnError(error) ? error : world.bug(error);
                reply(() => reject(coded));
              },
            );
          },
          true,
        );
      }),
  });
  return { at, close: () => undefined } as unknown as ApplianceClients;
};

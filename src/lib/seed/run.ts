// The seed appliance: a one-shot that bootstrap runs beside etcd. One request on stdin, answers as lines on stdout.
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { FlynnError, isFlynnError } from '../api/errors.js';
import { keys } from '../api/keys.js';
import type { ApplianceConfig } from '../appliance/config.js';
import { codedError } from '../appliance/server.js';
import { openStore } from '../store/index.js';
import type { Store } from '../store/port.js';
import { systemClock, type Clock } from '../util/clock.js';
import { retry } from '../util/retry.js';
import { cryptoRng } from '../util/rng.js';
import { SeedRequest, type SeedLine } from './protocol.js';
import { reachAll } from './reach.js';
import { readiness } from './readiness.js';
import { joinHosts, seedGrid } from './records.js';

/** Reads one request from stdin and answers it on stdout. The last line is `done` or `error`; never rejects for either. */
export function runSeed(_config?: ApplianceConfig): Promise<void> {
  return answerSeed(process.stdin, process.stdout);
}

/** As `runSeed`, over any streams. */
export async function answerSeed(input: Readable, output: Writable): Promise<void> {
  const say = (line: SeedLine): void => void output.write(`${JSON.stringify(line)}\n`);
  let store: (Store & { close(): Promise<void> }) | undefined;
  try {
    const request = SeedRequest.parse(JSON.parse(await firstLine(input)));
    if (request.do === 'reach') {
      say({
        seed: 'done',
        changed: 0,
        pending: await reachAll(request.doors, request.timeoutMs, systemClock),
      });
      return;
    }
    store = await openStore({
      endpoints: request.store.endpoints,
      tls: request.store.identity,
      timeoutMs: 3_000,
    });
    if (request.do !== 'wait') {
      const opened = store;
      const ports = { clock: systemClock, rng: cryptoRng };
      const write = (): Promise<number> =>
        request.do === 'seed'
          ? seedGrid(opened, request.grid, ports)
          : joinHosts(opened, request.cluster, request.hosts, ports);
      // A new leader may be under way right after the start; writing again changes nothing.
      const changed = await retry(write, {
        clock: systemClock,
        rng: cryptoRng,
        deadlineMs: 20_000,
        retryable: (error) =>
          ['unreachable', 'no_quorum', 'ambiguous'].some((code) =>
            isFlynnError(error, code as 'unreachable'),
          ),
      });
      say({ seed: 'done', changed, pending: [] });
    } else {
      await waitUntilUp(store, request.timeoutMs, systemClock, say, request.hosts);
    }
  } catch (error) {
    say({ seed: 'error', error: codedError(error).toBody() });
  } finally {
    await store?.close();
    // An open stdin would keep the process alive.
    input.destroy();
  }
}

async function firstLine(input: Readable): Promise<string> {
  for await (const line of createInterface({ input, crlfDelay: Infinity })) return line;
  throw new FlynnError({ code: 'invalid', message: 'nothing came on standard input' });
}

const pollMs = 300;

/** Says what is missing (on `only` these hosts) whenever that changes, until nothing is or the time is up; the last line tells which. */
export async function waitUntilUp(
  store: Pick<Store, 'list'>,
  timeoutMs: number,
  clock: Clock,
  say: (line: SeedLine) => void,
  only?: readonly string[],
): Promise<void> {
  const end = clock.mono() + timeoutMs;
  let last = '';
  for (;;) {
    const { pending, of } = await snapshot(store, only);
    const text = JSON.stringify(pending);
    if (text !== last) say({ seed: 'pending', up: of - pending.length, of, pending });
    last = text;
    if (pending.length === 0 || clock.mono() >= end) {
      say({ seed: 'done', changed: 0, pending });
      return;
    }
    await clock.sleep(pollMs);
  }
}

async function snapshot(
  store: Pick<Store, 'list'>,
  only: readonly string[] | undefined,
): ReturnType<typeof readStore> {
  return retry(() => readStore(store, only), {
    clock: systemClock,
    rng: cryptoRng,
    attempts: 20,
    maxMs: 1_000,
  });
}

async function readStore(store: Pick<Store, 'list'>, only: readonly string[] | undefined) {
  const [hosts, omnis, claims, statuses] = await Promise.all(
    [keys.hosts, keys.omnis, keys.claims, keys.statuses].map(
      async (prefix) => (await store.list(prefix)).entries,
    ),
  );
  const entries = { hosts: hosts ?? [], omnis: omnis ?? [], claims: claims ?? [], statuses: statuses ?? [] };
  return readiness(entries, only);
}

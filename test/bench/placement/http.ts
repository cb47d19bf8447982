// Sampi's HTTP API for the placement bench: its own server over mTLS, with certificates of the moment.
import type { AddressInfo } from 'node:net';
import { silentLog } from '../../../src/lib/appliance/log.js';
import { serve } from '../../../src/lib/appliance/server.js';
import type { Identity } from '../../../src/lib/appliance/config.js';
import { sampiApi } from '../../../src/lib/layer0/sampi/api.js';
import { BookCache } from '../../../src/lib/layer0/sampi/load.js';
import type { Store } from '../../../src/lib/store/port.js';
import { systemClock } from '../../../src/lib/util/clock.js';
import { cryptoRng } from '../../../src/lib/util/rng.js';
import { makeCerts } from '../../fakes/test-certs.js';

/** A running copy of Sampi's API. */
export interface ServedSampi {
  port: number;
  identity: Identity;
  close(): Promise<void>;
}

/** Serves on a free loopback port; whoever holds the certificate counts as `control`. */
export async function serveSampi(store: Store): Promise<ServedSampi> {
  const certs = await makeCerts();
  const books = new BookCache(2_000);
  const app = sampiApi(store, { clock: systemClock, rng: cryptoRng, books }, silentLog, () => 'control');
  const server = await serve({ app, host: '127.0.0.1', port: 0, identity: certs.server });
  return {
    port: (server.address() as AddressInfo).port,
    identity: certs.client,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

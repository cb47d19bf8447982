// Finding a controller that answers: the control hosts' addresses, and the race to the first finished TLS handshake.
import { connect, type TLSSocket } from 'node:tls';
import { FlynnError } from '../../api/errors.js';
import { HostInfo, ports } from '../../api/grid.js';
import { keys as storeKeys, partsAfter } from '../../api/keys.js';
import type { Identity } from '../../appliance/config.js';
import { createInformer, type Informer, type Store } from '../../store/index.js';
import type { Clock } from '../../util/clock.js';
import type { Log } from '../../util/log.js';
import { race, RaceLostError } from '../../util/race.js';
import { abortReason, deadline } from '../../util/signal.js';

/** A frozen controller costs one stagger; all of them together have `connectMs`. */
const staggerMs = 150;
const connectMs = 5_000;

/** Certificate name of the control plane. */
const controlName = 'control';

/** Where a controller may be. */
export interface Endpoint {
  address: string;
  port: number;
}

/** What following the control hosts needs. */
export interface ControlHostsOptions {
  store: Pick<Store, 'list' | 'watch'>;
  clock: Clock;
  log?: Log;
  /** Our own host, tried first. */
  local: { name: string; address: string };
}

/** The control hosts, followed from the store; what was known stays known while the store is away. */
export class ControlHosts {
  private readonly informer: Informer<HostInfo | null>;

  constructor(private readonly options: ControlHostsOptions) {
    this.informer = createInformer<HostInfo | null>({
      ...options,
      prefix: storeKeys.hosts,
      // Books and leases live under the same prefix; of a lease only its being there matters.
      parse: (key, value) => (key.endsWith('/info') ? HostInfo.parse(JSON.parse(value)) : null),
    });
  }

  /** Begins to follow the store, until the signal is aborted. */
  start(signal: AbortSignal): void {
    this.informer.start(signal);
  }

  /** Where to look for a controller, in order: here, then hosts with a sign of life, then the others. */
  endpoints(): Endpoint[] {
    const { local } = this.options;
    const alive = new Set<string>();
    const others: HostInfo[] = [];
    for (const [key, { value }] of this.informer.items()) {
      const [name = '', what] = partsAfter(storeKeys.hosts, key);
      if (what === 'lease') alive.add(name);
      if (value?.roles.includes('control') && value.name !== local.name) others.push(value);
    }
    // Leases only order the list: a host without one may still answer.
    others.sort(
      (a, b) => Number(alive.has(b.name)) - Number(alive.has(a.name)) || (a.name < b.name ? -1 : 1),
    );
    return [local.address, ...others.map((host) => host.address)].map((address) => ({
      address,
      port: ports.controller,
    }));
  }
}

/** Connects to a controller. */
export interface Upstream {
  /** A connection to a live controller; throws `unreachable` when none answers. */
  connect(signal: AbortSignal): Promise<TLSSocket>;
}

/** What connecting needs. */
export interface UpstreamOptions {
  identity: Identity;
  endpoints: () => readonly Endpoint[];
  clock: Clock;
}

/** Makes the way to the controllers. A fresh connection per request: a kept one says nothing of a host that froze since. */
export function createUpstream({ identity, endpoints, clock }: UpstreamOptions): Upstream {
  return {
    connect: async (signal) => {
      const limit = deadline(clock, connectMs, signal, 'a connection to a controller');
      try {
        const { value } = await race<Endpoint, TLSSocket>(endpoints(), {
          clock,
          staggerMs,
          signal: limit.signal,
          attempt: (endpoint, aborted) => dial(endpoint, identity, aborted),
          discard: (socket) => void socket.destroy(),
        });
        return value;
      } catch (cause) {
        if (signal.aborted) throw abortReason(signal);
        const why = cause instanceof RaceLostError ? cause.failures.map(describe).join('; ') : String(cause);
        throw new FlynnError({
          code: 'unreachable',
          message: `the gateway works, and no controller answers it: ${why}`,
          hint: 'docker ps on a control host shows whether the controller runs   (apps go on without it)',
          cause,
        });
      } finally {
        limit.clear();
      }
    },
  };
}

function describe({ candidate, error }: { candidate: unknown; error: unknown }): string {
  return `${(candidate as Endpoint).address}: ${error instanceof Error ? error.message : String(error)}`;
}

function dial({ address, port }: Endpoint, identity: Identity, signal: AbortSignal): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(abortReason(signal));
    const socket = connect({ host: address, port, ...identity, minVersion: 'TLSv1.3' });
    const onAbort = (): void => fail(abortReason(signal));
    const fail = (error: Error): void => {
      signal.removeEventListener('abort', onAbort);
      socket.destroy();
      reject(error);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    socket.setNoDelay(true);
    socket.once('error', fail);
    socket.once('secureConnect', () => {
      const name = socket.getPeerCertificate().subject?.CN;
      // Host records can be written by their hosts: an address there is no proof of being the control plane.
      if (name !== controlName) return fail(new Error(`it is ${String(name)}, not the control plane`));
      signal.removeEventListener('abort', onAbort);
      socket.off('error', fail);
      resolve(socket);
    });
  });
}

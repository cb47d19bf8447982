// The gateway: a generic SSH server that takes pushes and leads to the controller's API, and to nothing else.
import type { Duplex } from 'node:stream';
import type { Identity } from '../../appliance/config.js';
import type { Store } from '../../store/index.js';
import type { Clock } from '../../util/clock.js';
import type { Log } from '../../util/log.js';
import { KeyBook } from './keys.js';
import { createProxy } from './proxy.js';
import type { Client, GatewayLimits } from './client.js';
import { Pushes, type PushLimits } from './git/pushes.js';
import { GatewayServer } from './server.js';
import { ControlHosts, createUpstream, type Endpoint } from './upstream.js';

/** What a gateway is made of. */
export interface GatewayOptions {
  store: Pick<Store, 'list' | 'watch'>;
  /** Certificate of the control plane. */
  identity: Identity;
  /** Private host key, OpenSSH or PEM, that all gateways of the cluster share. */
  hostKey: string;
  local: { name: string; address: string };
  clock: Clock;
  log: Log;
  limits?: Partial<GatewayLimits>;
  /** Where pushes are taken: a directory that may be lost. Without it there are none. */
  git?: { dir: string; limits?: Partial<PushLimits> };
  /** Where controllers are, instead of what the store says. */
  endpoints?: () => readonly Endpoint[];
}

/** A gateway that listens. */
export interface Gateway {
  port: number;
  /** Resolves when the keys are known for the first time. */
  ready: Promise<void>;
  /** Number of SSH connections. */
  connections(): number;
  /** Takes no more connections, lets open requests go on for `graceMs`, then ends. */
  close(graceMs?: number): Promise<void>;
}

/** Starts a gateway on `address:port`; rejects when the port cannot be had. It starts without the store, too. */
export async function startGateway(options: GatewayOptions, port: number, address: string): Promise<Gateway> {
  const { store, clock, log } = options;
  const stop = new AbortController();
  const keys = new KeyBook({ store, clock, log });
  const hosts = new ControlHosts({ store, clock, log, local: options.local });
  keys.start(stop.signal);
  hosts.start(stop.signal);
  const owners = new WeakMap<Duplex, Client>();
  const upstream = createUpstream({
    identity: options.identity,
    endpoints: options.endpoints ?? (() => hosts.endpoints()),
    clock,
  });
  const http = createProxy({
    upstream,
    identify: (socket) => owners.get(socket)?.current(),
    log,
  });
  const server = new GatewayServer({
    hostKey: options.hostKey,
    keys,
    http,
    clock,
    log,
    owners,
    ...(options.git ? { pushes: new Pushes({ ...options.git, upstream, clock, log }) } : {}),
    ...(options.limits ? { limits: options.limits } : {}),
  });
  return {
    port: await server.listen(port, address),
    ready: keys.ready,
    connections: () => server.connections,
    close: async (graceMs = 0) => {
      stop.abort();
      await server.close(graceMs);
      http.close();
    },
  };
}

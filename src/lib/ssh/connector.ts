// The one factory of SSH connections: host keys, authentication, jump hosts, bounded time.
import type { Duplex } from 'node:stream';
import { FlynnError } from '../api/errors.js';
import { systemClock, type Clock } from '../util/clock.js';
import { listCandidates } from './auth.js';
import {
  defaultKnownHosts,
  loadConfig,
  resolveTarget,
  systemContext,
  type HostConfig,
  type SshConfigFile,
} from './config.js';
import { Ssh2Connection } from './connection.js';
import { aborted, keyRefused, unreachable } from './errors.js';
import { readOptional } from './files.js';
import { handshake, type HandshakeResult } from './handshake.js';
import { hostKeyAlgorithms, knownTypes, type Trust, type Verdict } from './host-keys.js';
import { knownHostName, parseKnownHosts } from './known-hosts.js';
import type { ConnectOptions, HostKey, SshConnection, SshConnector, SshTarget } from './port.js';
import { Semaphore } from './semaphore.js';

/** What the connector takes from its surroundings. */
export interface ConnectorOptions {
  clock?: Clock;
  /** Where `~` points. Default: this user's home. */
  home?: string;
  localUser?: string;
  /** Socket of the SSH agent, as in SSH_AUTH_SOCK. Default: none. */
  agentSocket?: string;
  /** Connects that may be under way at once; sshd drops connections beyond MaxStartups. Default 6. */
  parallel?: number;
}

const CONNECT_MS = 10_000;
const MAX_HOPS = 8;
/** How often a connection that sshd dropped before its greeting is tried again. */
const DROPPED_TRIES = 3;

interface Hop {
  target: SshTarget;
  config: HostConfig;
  last: boolean;
}

/** Makes the process's connector. */
export const createConnector = (options: ConnectorOptions = {}): SshConnector => {
  const system = systemContext();
  const context = { home: options.home ?? system.home, localUser: options.localUser ?? system.localUser };
  const clock = options.clock ?? systemClock;
  const gate = new Semaphore(options.parallel ?? 6);

  const route = async (target: SshTarget, opts: ConnectOptions, file: SshConfigFile): Promise<Hop[]> => {
    const config = await file.lookup(target.host, target.user);
    const hops: Hop[] = [{ target, config, last: true }];
    if (opts.jumps) {
      for (const jump of opts.jumps.toReversed())
        hops.unshift({ target: jump, config: await file.lookup(jump.host, jump.user), last: false });
      return hops;
    }
    // Each first hop may itself be reached through others.
    for (let next = config.proxyJump ?? []; next.length > 0; next = hops[0]?.config.proxyJump ?? []) {
      for (const spec of next.toReversed()) {
        const jump = await resolveTarget(spec, { config: file, context });
        hops.unshift({ target: jump, config: await file.lookup(jump.host, jump.user), last: false });
      }
      if (hops.length > MAX_HOPS) {
        throw new FlynnError({
          code: 'usage',
          message: `ssh_config sends ${target.host} through more than ${MAX_HOPS} jump hosts`,
          hint: 'look for a ProxyJump that leads in a circle',
        });
      }
    }
    return hops;
  };

  const trustIn = async (hop: Hop, opts: ConnectOptions): Promise<Trust> => {
    const policy = opts.hostKeys ?? {};
    const files =
      policy.knownHostsFiles ?? hop.config.knownHostsFiles ?? defaultKnownHosts(context.home).flat();
    const entries = [];
    for (const file of files) entries.push(...parseKnownHosts((await readOptional(file)) ?? '', file));
    const name = hop.config.hostKeyAlias?.toLowerCase() ?? knownHostName(addressOf(hop), hop.target.port);
    // Pins name the target; a jump host may be among them, else its known_hosts entry decides.
    const pins = policy.pinned?.length ? policy.pinned : undefined;
    return hop.last ? { pinned: pins, accepted: [], entries, name } : { accepted: pins ?? [], entries, name };
  };

  const once = async (
    hop: Hop,
    opts: ConnectOptions,
    trust: Trust,
    exclude: string[],
    via?: SshConnection,
  ) => {
    const prefer = knownTypes(trust);
    const candidates = await listCandidates({
      auth: opts.auth ?? {},
      config: hop.config,
      agentSocket: options.agentSocket,
      home: context.home,
    });
    const ms = opts.timeoutMs ?? CONNECT_MS;
    for (let attempt = 1; ; attempt++) {
      const release = await gate.acquire(opts.signal);
      try {
        const sock = via ? await tunnel(hop, via) : undefined;
        const result = await handshake({
          target: hop.target,
          address: addressOf(hop),
          sock,
          trust,
          algorithms: hostKeyAlgorithms(prefer, exclude),
          candidates,
          refusedHint: opts.auth?.refusedHint,
          ms,
          clock,
          signal: opts.signal,
        });
        if (result.kind !== 'dropped') return result;
        if (attempt >= DROPPED_TRIES) throw unreachable(hop.target, result.cause);
      } finally {
        release();
      }
      await clock.sleep(200 * attempt, opts.signal);
    }
  };

  const openHop = async (hop: Hop, opts: ConnectOptions, via?: SshConnection): Promise<SshConnection> => {
    const trust = await trustIn(hop, opts);
    const exclude: string[] = [];
    let first: { key: HostKey; verdict: Exclude<Verdict, { kind: 'trusted' }> } | undefined;
    for (;;) {
      const result: Exclude<HandshakeResult, { kind: 'dropped' }> = await once(
        hop,
        opts,
        trust,
        exclude,
        via,
      );
      if (result.kind === 'ready')
        return new Ssh2Connection(result.client, hop.target, result.key, clock, via);
      if (result.kind === 'no-algorithm') {
        if (first) throw keyRefused(hop.target, first.key, first.verdict);
        throw unreachable(hop.target, result.cause);
      }
      const { key, verdict } = result;
      if (verdict.kind === 'mismatch') {
        // A pin does not say of which type its key is: ask for the host's other keys before calling it changed.
        first ??= { key, verdict };
        exclude.push(key.type);
        if (hostKeyAlgorithms([], exclude).length > 0) continue;
        throw keyRefused(hop.target, first.key, first.verdict);
      }
      // Nobody is kept waiting in the middle of a handshake: the human is asked, then a new connection expects this key.
      const confirmed =
        verdict.kind === 'unknown' &&
        ((await opts.hostKeys?.confirm?.({ target: hop.target, key })) ?? false);
      if (!confirmed) throw keyRefused(hop.target, key, verdict);
      trust.accepted = [...trust.accepted, key.fingerprint];
    }
  };

  const connect = async (target: SshTarget, opts: ConnectOptions = {}): Promise<SshConnection> => {
    const hops = await route(target, opts, await loadConfig(opts.sshConfig, context));
    let via: SshConnection | undefined;
    try {
      for (const hop of hops) via = await openHop(hop, opts, via);
    } catch (error) {
      await via?.close();
      throw opts.signal?.aborted ? aborted(opts.signal.reason, `connecting to ${target.host}`) : error;
    }
    if (!via) throw unreachable(target, new Error('no hop was opened'));
    return via;
  };
  return { connect };
};

const addressOf = (hop: Hop): string => hop.config.hostName ?? hop.target.host;

const tunnel = async (hop: Hop, via: SshConnection): Promise<Duplex> => {
  try {
    return await via.forwardTcp(addressOf(hop), hop.target.port);
  } catch (cause) {
    throw unreachable(hop.target, cause);
  }
};

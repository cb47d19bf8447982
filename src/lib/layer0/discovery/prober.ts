// Asks every host of the grid whether it still answers, and keeps the list of those that do not.
import type { Clock } from '../../util/clock.js';
import { httpProbe, type Probe, type ProbeResult } from './probe.js';
import {
  endpoints,
  nextProbeAt,
  observe,
  probeInterval,
  probing,
  suspectSince,
  unasked,
  type Endpoint,
  type HostState,
} from './suspicion.js';

/** A host to probe. */
export interface ProbedHost {
  name: string;
  address: string;
}

export interface HostProberOptions {
  /** The hosts as they are known now; asked again every interval, so that it may change. */
  hosts: () => Iterable<ProbedHost>;
  clock: Clock;
  /** How one endpoint is asked; the real HTTP probe when left out. */
  probe?: Probe;
  /** Name of the host that the prober runs on: never probed, never suspect. */
  self?: string;
}

/** Called with the host that became suspect or answered again. */
export type SuspicionListener = (host: string, suspect: boolean) => void;

interface Probed {
  name: string;
  address: string;
  state: HostState;
  /** Ends with the host: nothing is scheduled for it afterwards. */
  gone: boolean;
  cancel: Record<Endpoint, () => void>;
}

/** Probes hosts from `start` until its signal is aborted. Several may run in one process. */
export class HostProber {
  private readonly probed = new Map<string, Probed>();
  private readonly listeners = new Set<SuspicionListener>();
  private readonly suspected = new Map<string, number>();
  private probe: Probe;
  private window = { from: -Infinity, count: 0 };
  private running = false;

  constructor(private readonly options: HostProberOptions) {
    this.probe = options.probe ?? (() => Promise.resolve('unknown'));
  }

  /** Begins to probe; everything ends with the signal. A second start while one runs does nothing. */
  start(signal: AbortSignal): void {
    if (this.running || signal.aborted) return;
    this.running = true;
    const real = this.options.probe ? undefined : httpProbe();
    if (real) this.probe = real.probe;
    const endTurns = this.options.clock.every(probing.intervalMs, () => this.follow());
    signal.addEventListener(
      'abort',
      () => {
        endTurns();
        for (const host of [...this.probed.values()]) this.drop(host);
        real?.close();
        this.running = false;
      },
      { once: true },
    );
    this.follow();
  }

  /** Hosts that are suspect now, each with the moment (monotonic ms) from which neither process answered. */
  suspects(): ReadonlyMap<string, number> {
    return this.suspected;
  }

  /** Whether the host answered at least once since the start; the prober's own host always has. */
  seen(host: string): boolean {
    return host === this.options.self || (this.probed.get(host)?.state.seen ?? false);
  }

  /** Calls back on every change of the suspects; the returned function ends that. */
  onChange(listener: SuspicionListener): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  /** Takes up new hosts and lets go of those that left or moved. */
  private follow(): void {
    const { hosts, self, clock } = this.options;
    const wanted = new Map<string, string>();
    for (const { name, address } of hosts()) if (name !== self) wanted.set(name, address);
    for (const host of [...this.probed.values()]) {
      if (wanted.get(host.name) !== host.address) this.drop(host);
    }
    const interval = probeInterval(wanted.size);
    let index = 0;
    for (const [name, address] of wanted) {
      index += 1;
      if (this.probed.has(name)) continue;
      const nothing = (): void => undefined;
      const host: Probed = {
        name,
        address,
        state: unasked,
        gone: false,
        cancel: { agent: nothing, router: nothing },
      };
      this.probed.set(name, host);
      // Spread over the interval, so that many hosts are not asked in one burst.
      const offset = (index / (wanted.size + 1)) * interval;
      for (const endpoint of endpoints) this.schedule(host, endpoint, clock.mono() + offset);
    }
  }

  private drop(host: Probed): void {
    host.gone = true;
    for (const endpoint of endpoints) host.cancel[endpoint]();
    this.probed.delete(host.name);
    if (this.suspected.delete(host.name)) this.tell(host.name, false);
  }

  private schedule(host: Probed, endpoint: Endpoint, at: number): void {
    const { clock } = this.options;
    host.cancel[endpoint] = clock.after(Math.max(0, at - clock.mono()), () => this.ask(host, endpoint));
  }

  private ask(host: Probed, endpoint: Endpoint): void {
    const sentAt = this.options.clock.mono();
    if (!this.allowed(sentAt)) {
      this.schedule(host, endpoint, this.window.from + 1000);
      return;
    }
    void this.probe(host.address, endpoint, probing.timeoutMs)
      .catch((): ProbeResult => 'missed')
      .then((result) => this.heard(host, endpoint, sentAt, result));
  }

  private heard(host: Probed, endpoint: Endpoint, sentAt: number, result: ProbeResult): void {
    if (host.gone) return;
    if (result !== 'unknown') {
      host.state = observe(host.state, endpoint, result === 'answered', sentAt);
      this.judge(host);
    }
    if (host.gone) return; // a listener may have ended us
    this.schedule(host, endpoint, nextProbeAt(host.state[endpoint], sentAt, probeInterval(this.probed.size)));
  }

  private judge(host: Probed): void {
    const since = suspectSince(host.state);
    const before = this.suspected.has(host.name);
    if (since === undefined) this.suspected.delete(host.name);
    else this.suspected.set(host.name, since);
    if (before !== (since !== undefined)) this.tell(host.name, since !== undefined);
  }

  private tell(host: string, suspect: boolean): void {
    for (const listener of [...this.listeners]) listener(host, suspect);
  }

  /** Counts probes per second; rechecks must not take the prober above its bound. */
  private allowed(now: number): boolean {
    if (now - this.window.from >= 1000) this.window = { from: now, count: 0 };
    if (this.window.count >= probing.maxPerSecond) return false;
    this.window.count += 1;
    return true;
  }
}

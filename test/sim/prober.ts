// The prober of a simulated router: discovery's own judgement, with the probes that can change nothing left out.
import type { HostProber, SuspicionListener } from '../../src/lib/layer0/discovery/prober.js';
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
} from '../../src/lib/layer0/discovery/suspicion.js';
import type { Process } from './process.js';

/** Whether a host's process would answer a probe of the asking machine now. */
export type Reaches = (host: string, endpoint: Endpoint) => boolean;

interface Probed {
  name: string;
  state: HostState;
  asleep: Record<Endpoint, boolean>;
}

/**
 * Asks like `HostProber`: same times, same judgement. A probe whose answer is what it was, of a host that is known
 * to be well or known to be silent, changes nothing: such an endpoint sleeps until `poke` says that the world changed.
 */
export class SimProber implements Pick<HostProber, 'start' | 'suspects' | 'onChange'> {
  private readonly probed = new Map<string, Probed>();
  private readonly listeners = new Set<SuspicionListener>();
  private readonly suspected = new Map<string, number>();
  private readonly phase: number;

  constructor(
    private readonly owner: Process,
    private readonly hosts: () => Iterable<string>,
    private readonly reaches: Reaches,
  ) {
    this.phase = owner.rng.next() * probing.intervalMs;
  }

  start(): void {
    this.poke();
  }

  suspects(): ReadonlyMap<string, number> {
    return this.suspected;
  }

  onChange(listener: SuspicionListener): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  /** The world changed: who may answer otherwise than before is asked again. */
  poke(): void {
    const self = this.owner.machine.name;
    const wanted = new Set<string>();
    for (const name of this.hosts()) if (name !== self) wanted.add(name);
    for (const name of [...this.probed.keys()]) {
      if (wanted.has(name)) continue;
      this.probed.delete(name);
      if (this.suspected.delete(name)) this.tell(name, false);
    }
    for (const name of wanted) {
      let host = this.probed.get(name);
      if (!host)
        this.probed.set(name, (host = { name, state: unasked, asleep: { agent: true, router: true } }));
      for (const endpoint of endpoints) if (host.asleep[endpoint]) this.wake(host, endpoint);
    }
  }

  private settled(host: Probed, endpoint: Endpoint): boolean {
    const { misses } = host.state[endpoint];
    return this.reaches(host.name, endpoint) ? misses === 0 && host.state.seen : misses >= probing.misses;
  }

  private wake(host: Probed, endpoint: Endpoint): void {
    if (this.settled(host, endpoint)) return;
    host.asleep[endpoint] = false;
    const now = this.owner.clock.mono();
    const interval = probeInterval(this.probed.size);
    const due = Math.ceil((now - this.phase) / interval) * interval + this.phase;
    this.ask(host, endpoint, due);
  }

  private ask(host: Probed, endpoint: Endpoint, at: number): void {
    const { clock } = this.owner;
    clock.after(Math.max(0, at - clock.mono()), () => {
      if (this.probed.get(host.name) !== host) return;
      const sentAt = clock.mono();
      if (this.reaches(host.name, endpoint)) this.heard(host, endpoint, sentAt, true);
      else clock.after(probing.timeoutMs, () => this.heard(host, endpoint, sentAt, false));
    });
  }

  private heard(host: Probed, endpoint: Endpoint, sentAt: number, answered: boolean): void {
    if (this.probed.get(host.name) !== host) return;
    host.state = observe(host.state, endpoint, answered, sentAt);
    this.judge(host);
    if (this.settled(host, endpoint)) {
      host.asleep[endpoint] = true;
      return;
    }
    this.ask(host, endpoint, nextProbeAt(host.state[endpoint], sentAt, probeInterval(this.probed.size)));
  }

  private judge({ name, state }: Probed): void {
    const since = suspectSince(state);
    const before = this.suspected.has(name);
    if (since === undefined) this.suspected.delete(name);
    else this.suspected.set(name, since);
    if (before !== (since !== undefined)) this.tell(name, since !== undefined);
  }

  private tell(host: string, suspect: boolean): void {
    for (const listener of [...this.listeners]) listener(host, suspect);
  }
}

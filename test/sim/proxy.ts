// The simulated proxy of a host: carries what the router's own plan says, and outlives the router.
import type { Applied, DrainState, RouterBackend } from '../../src/lib/layer1/router/backend.js';
import { plan, withdrawn, type Change, type Running } from '../../src/lib/layer1/router/plan.js';
import type { Desired } from '../../src/lib/layer1/router/state.js';
import type { Rng } from '../../src/lib/util/rng.js';
import type { Process } from './process.js';

/** The proxy's process on its machine. */
export class SimProxy {
  readonly running: Running = { skeleton: '', backends: new Map(), map: new Map() };
  private desired: Desired | undefined;
  /** When the last open request of a server that was taken out ends, by id. */
  private readonly open = new Map<string, number>();

  constructor(private readonly rng: Rng) {}

  /** All servers that take requests: `HOST ADDRESS:PORT` by id of their job. */
  *serving(): Iterable<{ id: string; address: string; port: number }> {
    for (const servers of this.running.backends.values())
      for (const [id, { address, port, out }] of servers) if (!out) yield { id, address, port };
  }

  /** The proxy in the hands of one life of the router. */
  backend(owner: Process): RouterBackend {
    return {
      apply: async (desired) => {
        await owner.clock.sleep(3 + 12 * this.rng.next());
        return this.apply(desired, owner.clock.mono());
      },
      drain: () => Promise.resolve(this.drain(owner.clock.mono())),
      onDeath: () => undefined,
      close: () => undefined,
    };
  }

  private apply(desired: Desired, now: number): Applied {
    this.desired = desired;
    const { running } = this;
    let steps = plan(desired, running, 'one');
    const how = steps.kind;
    if (steps.kind === 'reload') {
      running.skeleton = 'one';
      for (const service of desired.services.keys())
        if (!running.backends.has(service)) running.backends.set(service, new Map());
      steps = plan(desired, running, 'one');
    }
    const changes = steps.kind === 'runtime' ? steps.changes : [];
    for (const change of changes) this.carry(change, now);
    return { how: changes.length === 0 && how === 'runtime' ? 'nothing' : how, changes: changes.length };
  }

  private carry(change: Change, now: number): void {
    const { backends, map } = this.running;
    if ('domain' in change) {
      if (change.op === 'map-del') map.delete(change.domain);
      else map.set(change.domain, change.service);
      return;
    }
    const servers = backends.get(change.backend);
    if (!servers) return;
    if ('server' in change) {
      const { id, address, port } = change.server;
      servers.set(id, { address, port, out: change.op === 'add' && change.out });
      return;
    }
    const server = servers.get(change.id);
    if (!server) return;
    server.out = change.op !== 'up';
    server.cut = change.op === 'cut';
    if (change.op === 'out') this.open.set(change.id, now + 400 * this.rng.next());
    if (change.op === 'cut') this.open.delete(change.id);
  }

  private drain(now: number): DrainState {
    const draining: Record<string, number> = {};
    if (!this.desired) return { draining, lingering: 0 };
    for (const [id, backend] of withdrawn(this.desired, this.running)) {
      if ((this.open.get(id) ?? 0) > now) draining[id] = 1;
      else {
        this.running.backends.get(backend)?.delete(id);
        this.open.delete(id);
      }
    }
    return { draining, lingering: Object.keys(draining).length };
  }
}

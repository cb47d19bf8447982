// What people and schedulers want of a simulated cluster: apps through the controllers' API, jobs through Sampi.
import { isFlynnError } from '../../src/lib/api/errors.js';
import { ports } from '../../src/lib/api/grid.js';
import { TransactionAnswer, type ClaimRequestInput, type TransactionInput } from '../../src/lib/api/sampi.js';
import { putTemplate } from '../../src/lib/layer0/sampi/index.js';
import { endOneOff, placeOneOff } from '../../src/lib/layer1/controller/schedulers/oneoff.js';
import { silentLog } from '../../src/lib/util/log.js';
import { pick, randomInt, shuffle, type Rng } from '../../src/lib/util/rng.js';
import { ulid } from '../../src/lib/util/ulid.js';
import type { Copy } from './host.js';
import { sampiClients } from './rpc.js';
import type { World } from './world.js';

const MiB = 1024 * 1024;
const maxApps = 5;
const maxTenantJobs = 12;

/** Wants changes, one after the other, as long as it is told to. */
export class Work {
  /** Changes asked for. */
  changes = 0;
  private readonly rng: Rng;
  private readonly tenant = new Map<string, string>();
  private apps = 0;
  private wanted = true;
  private template: string | undefined;

  constructor(
    private readonly world: World,
    private readonly gapMs: number,
  ) {
    this.rng = world.dice();
  }

  /** Begins. */
  start(): void {
    const turn = (): void => {
      this.world.timeline.at(this.gapMs * (0.5 + this.rng.next()), () => {
        if (!this.wanted) return;
        turn();
        this.changes += 1;
        this.once().catch((error: unknown) => {
          if (!isFlynnError(error)) this.world.bug(error);
        });
      });
    };
    turn();
  }

  /** Nothing more is wanted, and what belongs to the foreign scheduler is to be stopped. */
  async end(): Promise<void> {
    this.wanted = false;
    await Promise.all([...this.tenant.keys()].map((job) => this.stopTenant(job)));
  }

  private once(): Promise<void> {
    const dice = this.rng.next();
    if (dice < 0.3) return this.tenantPlaces();
    if (dice < 0.4) return this.oneOff();
    return this.api();
  }

  private copy(): Copy | undefined {
    const live = [...this.world.hosts.values()].filter(({ copy, up, frozen }) => copy && up && !frozen);
    return pick(this.rng, live)?.copy;
  }

  // ---- apps ----

  private async api(): Promise<void> {
    const { rng } = this;
    const copy = this.copy();
    if (!copy) return;
    const known = copy.controller.picture.apps().filter(({ destroying }) => !destroying);
    const app = pick(rng, known);
    const dice = rng.next();
    if (!app || (known.length < maxApps && dice < 0.25)) {
      const name = `app${++this.apps}`;
      await this.ask(copy, 'POST', '/v1/apps', { name });
      await this.deploy(copy, name);
      return;
    }
    const path = `/v1/apps/${app.name}`;
    if (dice < 0.32 && known.length > 2) return this.ask(copy, 'DELETE', path);
    if (dice < 0.5) return this.deploy(copy, app.name);
    if (dice < 0.55) return this.ask(copy, 'POST', `${path}/rollback`, {});
    if (app.release === undefined) return this.deploy(copy, app.name);
    const processes = { web: randomInt(rng, 5), ...(rng.next() < 0.3 ? { worker: randomInt(rng, 3) } : {}) };
    return this.ask(copy, 'POST', `${path}/scale`, { processes });
  }

  private deploy(copy: Copy, name: string): Promise<void> {
    const { rng } = this;
    const image = pick(rng, ['app:1', 'app:1', 'app:2', 'app:slow', 'app:deaf']) ?? 'app:1';
    const resources = { memory: (64 + 32 * randomInt(rng, 4)) * MiB, cpu: 50 };
    const health = { type: 'tcp', intervalMs: 10_000, startIntervalMs: 250, threshold: 1 };
    return this.ask(copy, 'POST', `/v1/apps/${name}/deploy`, {
      image,
      processes: { web: { resources, health }, worker: { resources, args: ['work'] } },
    });
  }

  /** One request to a copy; what it answers is its own business, but a bug is ours. */
  private async ask(copy: Copy, method: string, path: string, body?: unknown): Promise<void> {
    const response = await copy.controller.api.request(path, {
      method,
      headers: { 'content-type': 'application/json', 'x-flynn-role': 'admin', 'x-flynn-key': 'SHA256:sim' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    this.world.checker.trace.text(`${method} ${path} ${response.status}`);
    if (response.status === 500) this.world.checker.fail('no-bug', `${method} ${path} answered ${text}`);
  }

  // ---- one-off jobs ----

  private async oneOff(): Promise<void> {
    const copy = this.copy();
    if (!copy) return;
    const { controller, process, store } = copy;
    const { picture, hosts } = controller;
    const name = `oneoff for ${process.name}`;
    const sampi = copyOf(copy, this.world, name);
    const io = { picture, hosts, sampi, store, clock: process.clock, rng: process.rng, log: silentLog };
    const template = { image: 'app:task', resources: { memory: 64 * MiB, cpu: 20 } };
    const placed = await placeOneOff(io, { app: 'none', kind: 'run', template });
    if (!this.world.checker.everClaimed.has(placed.job))
      this.world.checker.fail('job-kept', `the one-off ${placed.job} was confirmed and never booked`);
    await process.clock.sleep(15_000 * this.rng.next());
    // Some callers go away without a word: the leader clears up after them.
    if (this.rng.next() < 0.8) await endOneOff(io, placed);
  }

  // ---- a scheduler of somebody else's ----

  private async tenantPlaces(): Promise<void> {
    const { world, rng } = this;
    if (this.tenant.size >= maxTenantJobs || (this.tenant.size > 0 && rng.next() < 0.45)) {
      const job = pick(rng, [...this.tenant.keys()]);
      return job === undefined ? undefined : this.stopTenant(job);
    }
    this.template ??= (
      await putTemplate(world.store, {
        ...{ kind: 'service', image: 'app:1', ports: [{ name: 'tcp', container: 4000 }] },
        ...{ service: { name: 'tenant' }, stopTimeoutMs: 3_000 },
        health: { type: 'tcp', intervalMs: 10_000, startIntervalMs: 250, threshold: 1 },
      })
    ).hash;
    // Several at once, for the same few hosts: they race.
    const rivals = 1 + randomInt(rng, 3);
    const few = shuffle(rng, [...world.registered()]).slice(0, 3);
    await Promise.all(Array.from({ length: rivals }, () => this.place(this.template ?? '', few)));
  }

  private async place(template: string, few: readonly string[]): Promise<void> {
    const { world, rng } = this;
    const hosts = shuffle(rng, few).slice(0, 1 + randomInt(rng, few.length));
    const now = world.operator.clock.now();
    const resources = { memory: (rng.next() < 0.2 ? 1_200 : 64 + 64 * randomInt(rng, 5)) * MiB, cpu: 100 };
    const claim = (host: string): ClaimRequestInput => ({
      ...{ job: `${host}-${ulid(now, rng)}`, template, owner: 'tenant/x', resources },
      ...(rng.next() < 0.2 ? { fixedPorts: [31_000 + randomInt(rng, 3)] } : { ports: 1 }),
    });
    const request: TransactionInput = {
      id: ulid(now, rng),
      mode: rng.next() < 0.5 ? 'all-or-nothing' : 'incremental',
      hosts: Object.fromEntries(hosts.map((host) => [host, { claims: [claim(host)] }])),
    };
    const answer = await this.transact(request);
    if (!answer) return;
    for (const [host, outcome] of Object.entries(answer.hosts)) {
      for (const { job } of request.hosts[host]?.claims ?? []) {
        const booked = world.checker.everClaimed.has(job);
        if (outcome.ok) {
          this.tenant.set(job, host);
          if (!booked) world.checker.fail('job-kept', `${job} was confirmed by sampi and never booked`);
        } else if (booked)
          world.checker.fail(
            'placed-once',
            `${job} was refused (${outcome.rejection?.message}) and is booked`,
          );
      }
    }
  }

  private async stopTenant(job: string): Promise<void> {
    const host = this.tenant.get(job);
    if (host === undefined) return;
    const id = ulid(this.world.operator.clock.now(), this.rng);
    const answer = await this.transact({ id, hosts: { [host]: { want: [{ job, want: 'stop' }] } } });
    const outcome = answer?.hosts[host];
    // Somebody changes their mind: a stop is final all the same.
    if (this.rng.next() < 0.3)
      await this.transact({ id: `${id}r`, hosts: { [host]: { want: [{ job, want: 'run' }] } } });
    if (outcome?.ok || outcome?.rejection?.constraint === 'host') this.tenant.delete(job);
  }

  /** Repeats a transaction by its id until the answer is known; undefined when nobody answered for minutes. */
  private async transact(request: TransactionInput): Promise<TransactionAnswer | undefined> {
    const { world, rng } = this;
    const clients = sampiClients(world, world.operator, 'tenant');
    for (let attempt = 0; attempt < 200; attempt++) {
      const address = pick(rng, [...world.sampis.keys()]) ?? '';
      try {
        return await clients
          .at(address, ports.sampi, 3_000)
          .call('POST', '/v1/transactions', TransactionAnswer, { body: request });
      } catch (error) {
        if (!isFlynnError(error)) throw error;
        await world.operator.clock.sleep(300 + 700 * rng.next());
      }
    }
    return undefined;
  }

  /** Adds a host to the cluster, or takes one away that is no control host and has died for good. */
  async churn(): Promise<void> {
    const { world, rng } = this;
    const workers = [...world.hosts.values()].filter(
      ({ control, removed, up }) => !control && !removed && up,
    );
    const doomed = pick(rng, workers);
    if (doomed && workers.length > 2 && rng.next() < 0.5) return world.remove(doomed);
    await world.register(world.addMachine(false));
  }
}

const copyOf = (copy: Copy, world: World, name: string): Copy['sampi'] => {
  const addresses = [...world.sampis.keys()];
  const Client = copy.sampi.constructor as new (
    clients: ReturnType<typeof sampiClients>,
    addresses: () => readonly string[],
  ) => Copy['sampi'];
  return new Client(sampiClients(world, copy.process, name), () => addresses);
};

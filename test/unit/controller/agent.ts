// A host of the tests: its records, its lease, and an agent that does to claims what the real one does, without containers.
import { parseOwner, serviceOf } from '../../../src/lib/api/app.js';
import type { Claim, JobStatus, JobTemplate } from '../../../src/lib/api/job.js';
import { keys } from '../../../src/lib/api/keys.js';
import { createHostBook, releaseClaim } from '../../../src/lib/layer0/index.js';
import { newWrapKeys, unseal, unwrapKey } from '../../../src/lib/util/seal.js';
import { seededRng } from '../../../src/lib/util/rng.js';
import type { Store } from '../../../src/lib/store/index.js';
import type { Clock } from '../../../src/lib/util/clock.js';

/** What a container of the test does. */
export type Behaviour = 'up' | 'slow' | 'crashes' | 'cannot-start' | 'start-fails';

/** A host whose agent runs on the test's clock. */
export class FakeHost {
  readonly wrap = newWrapKeys();
  /** What each app's containers do here; up when nothing is said. */
  behaviour: (template: JobTemplate) => Behaviour = () => 'up';
  /** Ids of containers that run. */
  readonly running = new Map<string, JobTemplate>();
  /** Environments that jobs were started with. */
  readonly envs = new Map<string, Record<string, string>>();
  /** Whether its router reports the hosts that it hears nothing of. */
  witness = true;
  private reported = '';
  private lease: string | undefined;
  private cancel: () => void = () => undefined;
  private alive = false;
  private busy = false;

  constructor(
    readonly name: string,
    readonly store: Store,
    private readonly clock: Clock,
    private readonly suspects: Map<string, number>,
  ) {}

  async join(capacity = { m: 4096, c: 4000 }, roles: ('control' | 'etcd')[] = []): Promise<this> {
    const info = {
      name: this.name,
      address: `10.0.0.${this.name.charCodeAt(0)}`,
      publicAddress: `192.0.2.${this.name.charCodeAt(0)}`,
      roles,
      arch: 'amd64',
      wrapKey: this.wrap.publicKey,
      cpuMillis: capacity.c,
      memoryBytes: capacity.m * 1024 * 1024,
      joinedAt: this.clock.now(),
    };
    await this.store.put(keys.hostInfo(this.name), JSON.stringify(info));
    await createHostBook(this.store, this.name, capacity, { clock: this.clock, rng: seededRng(1) });
    await this.boot();
    return this;
  }

  /** Starts the agent: a new lease, and a look at the claims ten times a second. */
  async boot(): Promise<void> {
    this.lease = await this.store.grant(10);
    await this.store.put(keys.hostLease(this.name), JSON.stringify({ boot: 'x', since: this.clock.now() }), {
      lease: this.lease,
    });
    this.alive = true;
    this.suspects.delete(this.name);
    let ticks = 0;
    this.cancel = this.clock.every(100, () => {
      if (this.busy || !this.alive) return;
      this.busy = true;
      ticks += 1;
      const keepAlive = ticks % 20 === 0 ? this.store.keepAliveOnce(this.lease ?? '') : Promise.resolve(0);
      keepAlive
        .then(() => this.testify())
        .then(() => this.look())
        .catch(() => undefined)
        .finally(() => (this.busy = false));
    });
  }

  /** Cuts the power: nothing answers, containers are gone, records stay. */
  kill(): void {
    this.alive = false;
    this.cancel();
    this.running.clear();
    this.suspects.set(this.name, this.clock.mono());
  }

  /** Freezes it: nothing answers, containers go on when it comes back. */
  freeze(): void {
    this.alive = false;
    this.cancel();
    this.suspects.set(this.name, this.clock.mono());
  }

  /** The agent alone ends, in order; containers and routers go on. */
  async stopAgent(): Promise<void> {
    this.alive = false;
    this.cancel();
    await this.store.revoke(this.lease ?? '');
  }

  private async testify(): Promise<void> {
    const silent = this.witness ? [...this.suspects].filter(([name]) => name !== this.name) : [];
    const names = silent.map(([name]) => name).join();
    if (names === this.reported) return;
    this.reported = names;
    const suspects = Object.fromEntries(silent.map(([name, since]) => [name, this.clock.mono() - since]));
    const record = JSON.stringify({ host: this.name, applied: Number.MAX_SAFE_INTEGER, suspects });
    await this.store.put(keys.consumer('*', this.name), record, { lease: this.lease ?? '' });
  }

  private async look(): Promise<void> {
    const { entries } = await this.store.list(keys.claimsAt(this.name));
    for (const { key, value } of entries) {
      if (!this.alive) return;
      const id = key.slice(keys.claimsAt(this.name).length);
      const claim = JSON.parse(value) as Claim;
      if (claim.w === 'run') await this.run(id, claim);
      if (claim.w === 'stop') await this.stop(id, claim);
    }
  }

  private async run(id: string, claim: Claim): Promise<void> {
    const entry = await this.store.get(keys.template(claim.t));
    if (!entry) return;
    const template = JSON.parse(entry.value) as JobTemplate;
    const old = await this.store.get(keys.status(this.name, id));
    const status = old && (JSON.parse(old.value) as JobStatus);
    const behaviour = this.behaviour(template);
    if (status?.state === 'failed') return;
    if (behaviour === 'cannot-start') {
      const reason = `image ${template.image} cannot be pulled: not found`;
      return this.report(id, claim, { state: 'failed', starts: 0, reason });
    }
    if (behaviour === 'start-fails') {
      return this.report(id, claim, { state: 'failed', starts: 1, reason: 'exec format error' });
    }
    if (behaviour === 'crashes') {
      const starts = (status?.starts ?? 0) + 1;
      return this.report(id, claim, {
        state: 'crashed',
        starts,
        reason: 'exited with 1',
        tail: ['boom', 'bye'],
      });
    }
    this.start(id, claim, template);
    if (behaviour === 'slow') return this.report(id, claim, { state: 'starting', starts: 1 });
    const instance = keys.instance(this.name, template.service?.name ?? '', id);
    const registered = template.service ? await this.store.get(instance) : undefined;
    if (status?.state === 'up' && (registered || !template.service)) return;
    const record = { address: '10.0.0.1', port: claim.p[0] ?? 0, since: this.clock.now() };
    const revision = template.service
      ? (await this.store.put(instance, JSON.stringify(record))).revision
      : undefined;
    await this.report(id, claim, {
      state: 'up',
      starts: status?.starts ?? 1,
      ...(revision === undefined ? {} : { registeredRevision: revision }),
    });
  }

  private start(id: string, claim: Claim, template: JobTemplate): void {
    this.running.set(id, template);
    if (!template.sealedEnv || claim.k === undefined || this.envs.has(id)) return;
    const key = unwrapKey(this.wrap.privateKey, claim.k);
    const text = unseal(key, template.sealedEnv.data, template.sealedEnv.keyId).toString('utf8');
    this.envs.set(id, JSON.parse(text) as Record<string, string>);
  }

  private async stop(id: string, claim: Claim): Promise<void> {
    const owner = parseOwner(claim.o);
    if (owner) await this.store.delete(keys.instance(this.name, serviceOf(owner.app, owner.type), id));
    this.running.delete(id);
    const old = await this.store.get(keys.status(this.name, id));
    // What could not start is kept for people to read, as the real agent does.
    if (old && (JSON.parse(old.value) as JobStatus).state !== 'failed')
      await this.store.delete(keys.status(this.name, id));
    await releaseClaim(this.store, this.name, id, { clock: this.clock, rng: seededRng(2) });
  }

  private async report(id: string, claim: Claim, status: Partial<JobStatus>): Promise<void> {
    const full = { owner: claim.o, template: claim.t, since: this.clock.now(), addresses: {}, ...status };
    await this.store.put(keys.status(this.name, id), JSON.stringify(full));
  }
}

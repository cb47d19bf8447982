// An agent on fakes: store, Docker, clock and checks in the test's hands.
import { FlynnError } from '../../../src/lib/api/errors.js';
import { keys } from '../../../src/lib/api/keys.js';
import type { ClaimRequestInput } from '../../../src/lib/api/sampi.js';
import type { JobStatus, JobTemplateInput } from '../../../src/lib/api/job.js';
import { HostAgent } from '../../../src/lib/layer0/host/agent.js';
import type { CopyStore, DiskCopy } from '../../../src/lib/layer0/host/disk.js';
import { emptyState } from '../../../src/lib/layer0/host/state.js';
import { createHostBook, putTemplate, releaseClaim, transact } from '../../../src/lib/layer0/sampi/index.js';
import { silentLog } from '../../../src/lib/util/log.js';
import { seededRng } from '../../../src/lib/util/rng.js';
import { newWrapKeys } from '../../../src/lib/util/seal.js';
import { ulid } from '../../../src/lib/util/ulid.js';
import { fakeClock, type FakeClock } from '../../fakes/clock.js';
import { fakeEtcd, type FakeEtcd, type FakeStore } from '../../fakes/store.js';
import { FakeDocker } from './fake-docker.js';

/** A copy that lives in memory. */
export class MemoryCopy implements CopyStore {
  copy: DiskCopy | undefined;
  load = (): Promise<DiskCopy | undefined> => Promise.resolve(this.copy);
  save = (copy: DiskCopy): Promise<void> => {
    this.copy = structuredClone(copy);
    return Promise.resolve();
  };
}

/** One host with its agent, and the cluster around it. */
export class Rig {
  readonly clock: FakeClock = fakeClock();
  readonly rng = seededRng(7);
  readonly etcd: FakeEtcd = fakeEtcd(this.clock);
  /** The schedulers' connection, never cut. */
  readonly store = this.etcd.client();
  agentStore: FakeStore = this.etcd.client();
  readonly docker = new FakeDocker(() => this.clock.now());
  readonly disk = new MemoryCopy();
  readonly wrapKeys = newWrapKeys();
  /** The next so many claims of the agent are booked, and their answers lost beyond all retries. */
  loseTransactions = 0;
  /** What checks answer: undefined is healthy. */
  health: string | undefined;
  probes: string[] = [];
  agent: HostAgent | undefined;
  private stopAgent: (() => Promise<void>) | undefined;

  async init(templates: Record<string, Partial<JobTemplateInput>> = {}): Promise<Record<string, string>> {
    await createHostBook(this.store, 'a', { m: 4096, c: 4000 }, this.ports);
    const hashes: Record<string, string> = {};
    for (const [name, input] of Object.entries(templates)) {
      hashes[name] = (await putTemplate(this.store, { kind: 'service', image: 'app:1', ...input })).hash;
    }
    return hashes;
  }

  get ports() {
    // Retries of the library sleep: they must not wait for the test's clock.
    return { clock: { ...this.clock, sleep: () => Promise.resolve() }, rng: this.rng };
  }

  /** Starts an agent, as a new process would. */
  boot(): void {
    const over = new AbortController();
    this.agent = new HostAgent({
      state: emptyState({ name: 'a', address: '10.0.0.1', control: true }, this.clock.mono()),
      store: this.agentStore,
      docker: this.docker.port(),
      sampi: {
        releaseClaim,
        transact: async (store, request, ports) => {
          const answer = await transact(store, request, ports);
          if (this.loseTransactions-- > 0)
            throw new FlynnError({ code: 'ambiguous', message: 'answer lost' });
          return answer;
        },
      },
      clock: this.clock,
      rng: this.rng,
      log: silentLog,
      wrapPrivateKey: this.wrapKeys.privateKey,
      probe: ({ address, port }) => {
        this.probes.push(`${address}:${port}`);
        return Promise.resolve(this.health);
      },
      disk: this.disk,
    });
    const running = this.agent.run(over.signal);
    this.stopAgent = async () => {
      over.abort();
      await running;
    };
  }

  /** Ends the agent, containers stay. */
  async halt(): Promise<void> {
    await this.stopAgent?.();
    this.stopAgent = undefined;
  }

  /** Books a job on the host; returns its id. */
  async claim(request: Partial<ClaimRequestInput> & { template: string }): Promise<string> {
    const job = request.job ?? `a-${ulid(this.clock.now(), this.rng)}`;
    const claims = [{ owner: 'app/hello/1/web', resources: { memory: 64 * 1024 * 1024 }, ...request, job }];
    const answer = await transact(
      this.store,
      { id: ulid(this.clock.now(), this.rng), hosts: { a: { claims } } },
      this.ports,
    );
    if (!answer.hosts.a?.ok) throw new Error(JSON.stringify(answer.hosts.a));
    return job;
  }

  async want(job: string, want: 'run' | 'stop' | 'lost'): Promise<void> {
    await transact(
      this.store,
      { id: ulid(this.clock.now(), this.rng), hosts: { a: { want: [{ job, want }] } } },
      this.ports,
    );
  }

  async status(job: string): Promise<JobStatus | undefined> {
    const entry = await this.store.get(keys.status('a', job));
    return entry && (JSON.parse(entry.value) as JobStatus);
  }

  /** Waits on the test's clock until the job is reported in that state. */
  async until(job: string, state: string | undefined, maxMs = 20_000): Promise<void> {
    let now: string | undefined = 'nothing yet';
    for (let spent = 0; spent < maxMs; spent += 50) {
      now = (await this.status(job))?.state;
      if (now === state) return;
      await this.clock.advance(50);
    }
    throw new Error(`job is ${now}, not ${state}`);
  }

  /** Waits on the test's clock until the condition holds. */
  untilTrue(what: () => boolean, maxMs = 20_000): Promise<void> {
    return this.clock.advanceUntil(what, maxMs);
  }
}

// The agent's loop: plan, carry out, book, plan again; woken by news, by outcomes and by the plan's own clock.
import { setMaxListeners } from 'node:events';
import type { Log } from '../../util/log.js';
import { actionKey, retryKey, type Action } from './actions.js';
import { copyOf, seedFrom, type CopyStore } from './disk.js';
import { DockerFeed } from './docker-feed.js';
import { startFeeds, type Feeds } from './feeds.js';
import { HealthMonitor, healthTargets, type Probe } from './health.js';
import { containerProbe } from './probe.js';
import { Performer, type PerformDeps } from './perform.js';
import { planHost } from './plan.js';
import { actionFailed, judged, syncRecords } from './reduce.js';
import { VolumeKeeper } from './volume-keeper.js';

/** What an agent is made from: its state, its ports, and where it keeps its copy. */
export interface AgentDeps extends PerformDeps {
  probe: Probe;
  disk: CopyStore;
  /** Told of in the facts; absent: none is kept. */
  firewall?: { problem(): string | undefined };
}

/** How long (ms) the store has to tell the claims before jobs are started from the copy on disk. */
export const diskGraceMs = 3_000;
const saveAfterMs = 200;

/** Keeps the containers of one host as its claims say. */
export class HostAgent {
  private readonly performer: Performer;
  private readonly monitor: HealthMonitor;
  private readonly pending = new Set<Promise<void>>();
  private readonly over = new AbortController();
  private readonly watchers = new Set<() => void>();
  private scheduled = false;
  private cancelWake = (): void => undefined;
  private cancelSave: (() => void) | undefined;
  private saving: Promise<void> = Promise.resolve();
  /** The volumes of this host, for whoever asks. */
  readonly volumes: VolumeKeeper;
  /** How fresh the views of the store are; undefined before `run`. */
  feeds: Feeds | undefined;

  constructor(readonly deps: AgentDeps) {
    // Every feed listens to it: more than the ten that Node takes for a leak.
    setMaxListeners(50, this.over.signal);
    this.performer = new Performer(deps);
    this.volumes = new VolumeKeeper(deps);
    const tell: ConstructorParameters<typeof HealthMonitor>[3] = (target, verdict, problem) => {
      judged(deps.state, target.job, target.container, verdict, problem, this.performer.now());
      this.kick();
    };
    this.monitor = new HealthMonitor(deps.clock, deps.probe, containerProbe(deps.docker), tell);
  }

  private get log(): Log {
    return this.deps.log;
  }

  /** Runs until the signal is aborted; then ends its own waiting and leaves every container as it is. */
  async run(signal: AbortSignal): Promise<void> {
    const { state, clock } = this.deps;
    const end = (): void => this.over.abort(signal.reason);
    if (signal.aborted) return;
    // One listener per informer and per action under way: many, and each taken away when it ends.
    setMaxListeners(0, this.over.signal);
    signal.addEventListener('abort', end, { once: true });
    const copy = await this.deps.disk.load();
    if (copy) seedFrom(state, copy, clock.mono() + diskGraceMs);
    syncRecords(state);
    this.feeds = startFeeds(
      {
        ...this.deps,
        knownRevision: copy?.revision ?? 0,
        changed: () => this.kick(),
        claimsChanged: () => this.saveSoon(),
      },
      this.over.signal,
    );
    new DockerFeed({ ...this.deps, changed: () => this.kick() }).start(this.over.signal);
    this.volumes.removeHelpers(this.over.signal).catch((error: unknown) => {
      if (!this.over.signal.aborted)
        this.log.debug({ error: String(error) }, 'helpers of volumes not looked for');
    });
    this.kick();
    await new Promise<void>((resolve) => {
      if (this.over.signal.aborted) resolve();
      else this.over.signal.addEventListener('abort', () => resolve(), { once: true });
    });
    this.cancelWake();
    this.cancelSave?.();
    this.monitor.close();
    await Promise.allSettled([...this.pending]);
    await this.saving;
    if (this.cancelSave) await this.save();
  }

  /** Calls back after every look at the state, which may have changed; the returned function ends that. */
  watch(changed: () => void): () => void {
    this.watchers.add(changed);
    return () => void this.watchers.delete(changed);
  }

  /** Has the plan made again soon. */
  kick(): void {
    if (this.scheduled || this.over.signal.aborted) return;
    this.scheduled = true;
    this.deps.clock.soon(() => this.tick());
  }

  private tick(): void {
    this.scheduled = false;
    if (this.over.signal.aborted) return;
    const { state, clock } = this.deps;
    syncRecords(state);
    const now = this.performer.now();
    const plan = planHost(state, now);
    for (const action of plan.actions) this.launch(action);
    this.monitor.sync(healthTargets(state));
    for (const changed of [...this.watchers]) changed();
    this.cancelWake();
    if (plan.wakeAt !== undefined) {
      this.cancelWake = clock.after(Math.max(1, plan.wakeAt - now.mono), () => this.kick());
    }
  }

  private launch(action: Action): void {
    const { state } = this.deps;
    state.busy.set(actionKey(action), action.do);
    const work = this.carryOut(action).finally(() => {
      state.busy.delete(actionKey(action));
      this.pending.delete(work);
      this.kick();
    });
    this.pending.add(work);
  }

  private async carryOut(action: Action): Promise<void> {
    const { state, rng } = this.deps;
    const key = retryKey(action);
    try {
      await this.performer.perform(action, this.over.signal);
      state.retry.delete(key);
      if (action.do === 'template') this.saveSoon();
    } catch (error) {
      if (this.over.signal.aborted) return;
      const text = error instanceof Error ? error.message : String(error);
      actionFailed(state, key, text, this.performer.now(), rng.next());
      const failures = state.retry.get(key)?.failures ?? 1;
      // The first failure and then every tenth: an hour without etcd is not a gigabyte of log.
      const level = failures === 1 || failures % 10 === 0 ? 'warn' : 'debug';
      this.log[level]({ action: action.do, key, failures, error: text }, 'not done, will be tried again');
    }
  }

  private saveSoon(): void {
    if (this.cancelSave || this.over.signal.aborted) return;
    this.cancelSave = this.deps.clock.after(saveAfterMs, () => {
      this.saving = this.saving.then(() => this.save());
    });
  }

  /** Keeps a copy of what the store says; what came from the disk itself is not written back. */
  private async save(): Promise<void> {
    this.cancelSave = undefined;
    const { state, disk } = this.deps;
    if (state.claimsFrom !== 'store' || state.adoptMode) return;
    try {
      await disk.save(copyOf(state, this.feeds?.claims.revision ?? 0));
    } catch (error) {
      this.log.error({ error: String(error) }, 'the copy of the claims cannot be written');
    }
  }
}

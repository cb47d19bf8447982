// HAProxy as the backend of the router: files first, then runtime commands or a reload, on every worker that still serves.
import { rename, writeFile } from 'node:fs/promises';
import { FlynnError } from '../../api/errors.js';
import type { Clock } from '../../util/clock.js';
import type { Log } from '../../util/log.js';
import type { Applied, DrainState, RouterBackend } from './backend.js';
import {
  renderConfig,
  renderMap,
  routerFiles,
  skeletonId,
  skeletonVariable,
  type RouterSettings,
} from './config.js';
import { plan, planServers, withdrawn, type Change, type Running } from './plan.js';
import { HaproxyProcess } from './process.js';
import {
  applyChange,
  commandsOf,
  failures,
  parseBackends,
  parseMap,
  parseServersState,
  parseSessions,
  servingWorker,
  type Processes,
} from './runtime.js';
import { emptyTable, type Desired } from './state.js';

export interface HaproxyOptions {
  settings: RouterSettings;
  clock: Clock;
  log: Log;
  binary?: string;
}

/** A withdrawn server that HAProxy still has. */
interface Withdrawal {
  backend: string;
  sessions: number;
  /** Not tried again before this moment (monotonic ms). */
  retryAt: number;
  retries: number;
}

/** How long a master may be silent while it loads, ms. */
const loadingMs = 5_000;

/** Our picture of HAProxy is compared with HAProxy itself this often, ms. */
const verifyMs = 30_000;

export class HaproxyBackend implements RouterBackend {
  private readonly process: HaproxyProcess;
  private readonly files: ReturnType<typeof routerFiles>;
  private readonly skeleton: string;
  private running: Running | undefined;
  private verifiedAt = 0;
  private desired: Desired = { ...emptyTable, suspects: new Set(), dead: new Set() };
  private readonly leaving = new Map<string, Withdrawal>();
  private readonly deathListeners = new Set<() => void>();
  private written: { config?: string; map?: string } = {};
  private watching = false;

  constructor(private readonly options: HaproxyOptions) {
    this.process = new HaproxyProcess({ ...options, dir: options.settings.dir });
    this.files = routerFiles(options.settings.dir);
    this.skeleton = skeletonId(options.settings);
  }

  onDeath(callback: () => void): void {
    this.deathListeners.add(callback);
  }

  close(): void {
    this.process.unwatch();
  }

  async apply(desired: Desired): Promise<Applied> {
    await this.write(desired);
    this.desired = desired;
    const processes = await this.findMaster();
    if (!processes) return this.start();
    const worker = servingWorker(processes);
    if (worker === undefined) {
      throw new FlynnError({ code: 'unreachable', message: 'HAProxy is being reloaded by somebody else' });
    }
    if (!this.running || this.options.clock.mono() - this.verifiedAt > verifyMs) {
      await this.observe(worker);
      if (!this.watching) this.watch();
    }
    return this.change(processes, worker, 1);
  }

  /** The processes, undefined when HAProxy does not run. A master that loads its configuration is waited for. */
  private async findMaster(): Promise<Processes | undefined> {
    const { clock } = this.options;
    for (const end = clock.mono() + loadingMs; ; await clock.sleep(20)) {
      const processes = await this.process.processes();
      if (processes || !(await this.process.loading())) return processes;
      if (clock.mono() > end) {
        throw new FlynnError({
          code: 'timeout',
          message: `the master of HAProxy lives and has not answered for ${loadingMs / 1000} s`,
          hint: 'flynn appliances',
        });
      }
    }
  }

  /** One attempt at the difference; a refused command means that our picture was wrong, and is looked at again. */
  private async change(processes: Processes, worker: number, attempt: number): Promise<Applied> {
    const { desired, running = await this.observe(worker) } = this;
    const todo = plan(desired, running, this.skeleton);
    if (todo.kind === 'reload') return this.reload(processes, worker, todo.why);
    const wrong = await this.carryOut(processes, worker, running, todo.changes);
    if (wrong.length === 0) {
      this.follow(desired, running);
      return { how: todo.changes.length > 0 ? 'runtime' : 'nothing', changes: todo.changes.length };
    }
    this.options.log.warn({ wrong: wrong.slice(0, 5), attempt }, 'HAProxy refused commands');
    if (attempt >= 3) return this.reload(processes, worker, 'commands were refused');
    await this.observe(worker);
    return this.change(processes, worker, attempt + 1);
  }

  /** Sends the changes to the listening worker; then to those that only finish, because kept connections send on. */
  private async carryOut(
    processes: Processes,
    worker: number,
    running: Running,
    changes: readonly Change[],
  ): Promise<string[]> {
    if (changes.length === 0) return [];
    const commands = changes.flatMap((change) => commandsOf(change, this.files.map));
    const wrong = failures(await this.process.command(worker, commands));
    if (wrong.length > 0) return wrong;
    for (const change of changes) applyChange(running, change);
    const forOld = changes.filter((change) => !change.op.startsWith('map-'));
    for (const old of processes.old) if (old !== worker) await this.tellOld(old, forOld);
    return [];
  }

  /** A former worker may lack the backend or have ended meanwhile: what it answers is of no consequence. */
  private async tellOld(worker: number, changes: readonly Change[]): Promise<void> {
    if (changes.length === 0) return;
    try {
      await this.process.command(
        worker,
        changes.flatMap((change) => commandsOf(change, this.files.map)),
      );
    } catch (error) {
      this.options.log.debug({ worker, error: String(error) }, 'a former worker was not told');
    }
  }

  private async start(): Promise<Applied> {
    this.process.unwatch();
    this.watching = false;
    const { worker, tookOver } = await this.process.start();
    this.options.log.info({ worker, tookOver }, 'HAProxy started');
    await this.observe(worker);
    this.watch();
    return { how: tookOver ? 'takeover' : 'start', changes: 0 };
  }

  private async reload(processes: Processes, former: number, why: string): Promise<Applied> {
    const before = this.running;
    await this.process.check(this.files.config);
    this.process.unwatch();
    this.watching = false;
    try {
      const worker = await this.process.reload(processes);
      this.options.log.info({ worker, why }, 'HAProxy reloaded');
      await this.observe(worker);
    } finally {
      this.watch();
    }
    // The new worker never had the withdrawn servers; the former ones still send their kept connections somewhere.
    if (before) {
      for (const [id, backend] of withdrawn(this.desired, before)) this.leave(id, backend);
      const changes = planServers(this.desired, before);
      for (const worker of new Set([former, ...processes.old])) await this.tellOld(worker, changes);
    }
    return { how: 'reload', changes: 0 };
  }

  private watch(): void {
    this.watching = true;
    this.process.watch(() => {
      this.watching = false;
      this.running = undefined;
      for (const callback of this.deathListeners) callback();
    });
  }

  /** Writes configuration and map: at any moment, a start or reload would lead to the state that is wanted. */
  private async write(desired: Desired): Promise<void> {
    const config = renderConfig(this.options.settings, desired);
    const map = renderMap(desired);
    if (map !== this.written.map) await replace(this.files.map, map);
    if (config !== this.written.config) await replace(this.files.config, config);
    this.written = { config, map };
  }

  /** Reads what a worker really has, and what it should no longer have. */
  private async observe(worker: number): Promise<Running> {
    const one = (command: string): Promise<string> => this.process.command(worker, [command]);
    const servers = parseServersState(await one('show servers state'));
    const names = parseBackends(await one('show backend'));
    const running: Running = {
      skeleton: (await one(`show env ${skeletonVariable}`)).trim().replace(`${skeletonVariable}=`, ''),
      backends: new Map(names.map((name) => [name, servers.get(name) ?? new Map()])),
      map: parseMap(await one(`show map ${this.files.map}`)),
    };
    this.running = running;
    this.verifiedAt = this.options.clock.mono();
    this.follow(this.desired, running);
    return running;
  }

  /** Keeps the list of servers that are leaving. */
  private follow(desired: Desired, running: Running): void {
    for (const [id, backend] of withdrawn(desired, running)) this.leave(id, backend);
    for (const [id, { backend }] of this.leaving) {
      if (desired.services.get(backend)?.some((server) => server.id === id)) this.leaving.delete(id);
    }
  }

  private leave(id: string, backend: string): void {
    if (!this.leaving.has(id)) this.leaving.set(id, { backend, sessions: 0, retryAt: 0, retries: 0 });
  }

  async drain(): Promise<DrainState> {
    const processes = this.leaving.size > 0 ? await this.process.processes() : undefined;
    const worker = processes && servingWorker(processes);
    if (processes && worker !== undefined) {
      await this.count([...new Set([worker, ...processes.old])]);
      await this.purge(worker);
    }
    const open = [...this.leaving].filter(([, { sessions }]) => sessions > 0);
    return {
      draining: Object.fromEntries(open.map(([id, { sessions }]) => [id, sessions])),
      lingering: this.leaving.size,
    };
  }

  private async count(workers: readonly number[]): Promise<void> {
    for (const withdrawal of this.leaving.values()) withdrawal.sessions = 0;
    for (const backend of new Set([...this.leaving.values()].map((withdrawal) => withdrawal.backend))) {
      for (const worker of workers) {
        const sessions = parseSessions(await this.process.command(worker, [`show stat ${backend} 4 -1`]));
        for (const [id, count] of sessions) {
          const withdrawal = this.leaving.get(id);
          if (withdrawal?.backend === backend) withdrawal.sessions += count;
        }
      }
    }
  }

  /** Deletes what has no requests left. HAProxy refuses while idle connections live: again later, less and less often. */
  private async purge(worker: number): Promise<void> {
    const now = this.options.clock.mono();
    for (const [id, withdrawal] of this.leaving) {
      if (withdrawal.sessions > 0 || withdrawal.retryAt > now) continue;
      const known = this.running?.backends.get(withdrawal.backend);
      if (known?.has(id)) {
        const wrong = failures(
          await this.process.command(worker, [`del server ${withdrawal.backend}/${id}`]),
        );
        if (wrong.length > 0 && !wrong.some((line) => /no such server/i.test(line))) {
          withdrawal.retries += 1;
          withdrawal.retryAt = now + Math.min(30_000, 500 * 2 ** Math.min(withdrawal.retries, 6));
          continue;
        }
        known.delete(id);
      }
      this.leaving.delete(id);
    }
  }
}

/** Replaces a file in one step. */
async function replace(path: string, text: string): Promise<void> {
  try {
    await writeFile(`${path}.new`, text, { mode: 0o600 });
    await rename(`${path}.new`, path);
  } catch (cause) {
    throw new FlynnError({ code: 'failed', message: `${path} cannot be written`, cause });
  }
}

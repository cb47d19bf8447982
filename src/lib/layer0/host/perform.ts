// Carries out the plan's actions, and books what came of them.
import { Claim, JobTemplate } from '../../api/job.js';
import { FlynnError, isFlynnError } from '../../api/errors.js';
import { keys } from '../../api/keys.js';
import type { Instance } from '../../api/grid.js';
import type { TransactionAnswer, TransactionInput } from '../../api/sampi.js';
import type { Docker } from '../../docker/port.js';
import type { Store } from '../../store/port.js';
import type { Clock } from '../../util/clock.js';
import type { Log } from '../../util/log.js';
import type { Rng } from '../../util/rng.js';
import { ulid } from '../../util/ulid.js';
import type { SampiPorts } from '../sampi/index.js';
import type { Action } from './actions.js';
import { attachWaitMs, startsByAttach } from './attach-wait.js';
import { createAndStart, detailsOf, isAway, readTail, seen } from './containers.js';
import type { Grant } from './grants.js';
import { performLease } from './perform-lease.js';
import { isHeld } from './plan-singleton.js';
import { claimablePorts } from './ports.js';
import * as reduce from './reduce.js';
import { containerSpec, openSecrets } from './spec.js';
import { containerName, isRunning, type HostState, type Now, type SeenContainer } from './state.js';
import { prepareVolumes } from './volumes.js';

/** The part of Sampi's library that an agent uses. */
export interface SampiLibrary {
  transact(store: Store, request: TransactionInput, ports: SampiPorts): Promise<TransactionAnswer>;
  releaseClaim(store: Store, host: string, job: string, ports: SampiPorts): Promise<'released' | 'gone'>;
}

/** What actions are carried out with. */
export interface PerformDeps {
  state: HostState;
  store: Store;
  docker: Docker;
  sampi: SampiLibrary;
  clock: Clock;
  rng: Rng;
  log: Log;
  /** The host's private X25519 key, base64. */
  wrapPrivateKey: string;
  /** Absent: jobs are given nothing beside their spec. */
  grant?: Grant;
}

const pullTimeoutMs = 900_000;
const oneStoreCallMs = 2_000;

type Of<D extends Action['do']> = Extract<Action, { do: D }>;

/** Carries out actions; every method books the outcome in the state. Throws when an action has to be tried again. */
export class Performer {
  /** Omni claims made or under way: a repeated call carries the same ids, so that a lost answer places nothing twice. */
  private readonly omniCalls = new Map<string, { id: string; job: string }>();

  constructor(private readonly deps: PerformDeps) {}

  /** The present moment. */
  now(): Now {
    return { mono: this.deps.clock.mono(), wall: this.deps.clock.now() };
  }

  /** Carries out one action. */
  async perform(action: Action, signal: AbortSignal): Promise<void> {
    switch (action.do) {
      case 'template':
        return this.template(action, signal);
      case 'pull':
        return this.pull(action, signal);
      case 'start':
        return this.start(action, signal);
      case 'inspect':
        return this.inspect(action, signal);
      case 'signal':
        return this.signal(action, signal);
      case 'collect':
        await this.deps.docker.containers.remove(
          action.container,
          { force: false, volumes: true },
          { signal },
        );
        return reduce.containerGone(this.deps.state, action.container);
      case 'abandon':
        return this.abandon(action, signal);
      case 'adopt':
        return this.adopt(action);
      case 'register':
        return this.register(action, signal);
      case 'deregister':
        return this.deregister(action, signal);
      case 'status':
        return this.status(action, signal);
      case 'forget':
        return this.forget(action, signal);
      case 'release':
        return this.release(action);
      case 'claim-omni':
        return this.claimOmni(action);
      case 'lease-open':
      case 'lease-renew':
      case 'lease-close':
        return performLease(this.deps, action, signal);
      case 'record-volume':
        return this.recordVolume(action, signal);
    }
  }

  private async template({ hash }: Of<'template'>, signal: AbortSignal): Promise<void> {
    const entry = await this.deps.store.get(keys.template(hash), { signal, timeoutMs: oneStoreCallMs });
    if (!entry) {
      throw new FlynnError({ code: 'not_found', message: `job template ${hash} is not in the store` });
    }
    this.deps.state.templates.set(hash, JobTemplate.parse(JSON.parse(entry.value)));
  }

  private async pull({ image }: Of<'pull'>, signal: AbortSignal): Promise<void> {
    const { state, docker, log } = this.deps;
    try {
      await docker.images.pull(image, { signal, timeoutMs: pullTimeoutMs });
      reduce.pulled(state, image, undefined, this.now());
      log.info({ image }, 'image pulled');
    } catch (error) {
      if (!isAway(error))
        reduce.pulled(state, image, `image ${image} cannot be pulled: ${text(error)}`, this.now());
      throw error;
    }
  }

  private async start(action: Of<'start'>, signal: AbortSignal): Promise<void> {
    const { state, docker, log, wrapPrivateKey } = this.deps;
    const { job, claim, template, starts, attempts, epoch } = action;
    const leftover = state.containers.get(action.retire?.id ?? '');
    try {
      const secrets = openSecrets(template, claim, wrapPrivateKey);
      await prepareVolumes(this.deps, claim, template, signal);
      if (action.retire && leftover) await this.retire(action.retire, signal);
      const grants = await this.deps.grant?.(job, template);
      const spec = containerSpec({
        ...{ job, claim, template, host: state.host, secrets, starts, attempts, grants, epoch },
      });
      const hold = startsByAttach(template);
      // Making a container takes time on a busy host: the lease is looked at again in the moment of the start.
      const stillMay = (): boolean =>
        epoch === undefined || isHeld(state.jobs.get(job)?.lease, this.deps.clock.mono());
      const info = await createAndStart(docker, spec, { signal, hold, stillMay });
      const container = seen(info, this.deps.clock.mono());
      if (!container) throw new FlynnError({ code: 'internal', message: `${spec.name} lost its labels` });
      const known: SeenContainer = isRunning(info) ? { ...container, details: detailsOf(info) } : container;
      reduce.started(state, known);
      log.info(
        { job, container: info.id, starts, owner: claim.o },
        hold ? 'job waits for its attach' : 'job started',
      );
    } catch (error) {
      if (isAway(error) || signal.aborted) throw error;
      if (isFlynnError(error, 'image_missing')) return reduce.imageMissing(state, job);
      log.warn({ job, error: text(error) }, 'job could not be started');
      reduce.startFailed(state, job, text(error), this.now());
    }
  }

  /** Gives an ended container another name, or removes it when that name is taken. */
  private async retire({ id, name }: { id: string; name: string }, signal: AbortSignal): Promise<void> {
    const { docker, state, clock } = this.deps;
    try {
      await docker.containers.rename(id, name, { signal });
      reduce.renamed(state, id, name, clock.mono());
    } catch (error) {
      if (isAway(error)) throw error;
      await docker.containers.remove(id, { force: false }, { signal });
      reduce.containerGone(state, id);
    }
  }

  private async inspect({ container, tail }: Of<'inspect'>, signal: AbortSignal): Promise<void> {
    const { docker, state, clock } = this.deps;
    try {
      const info = await docker.containers.inspect(container, { signal });
      const details = detailsOf(info);
      if (tail && !isRunning(info) && info.exitCode !== 0) {
        details.tail = await readTail(docker, clock, container, signal);
      }
      reduce.inspected(state, container, { state: info.state, details }, this.now());
    } catch (error) {
      if (!isFlynnError(error, 'not_found')) throw error;
      reduce.containerGone(state, container);
    }
  }

  private async signal(
    { job, container, signal: name, fence }: Of<'signal'>,
    signal: AbortSignal,
  ): Promise<void> {
    const { docker, state, log } = this.deps;
    try {
      await docker.containers.kill(container, name, { signal });
      if (fence)
        log.warn({ job, container, signal: name }, 'the lease of a singleton is not held: it is ended');
      else log.info({ job, container, signal: name }, 'job is being stopped');
    } catch (error) {
      if (isFlynnError(error, 'not_found')) return reduce.containerGone(state, container);
      // It ended by itself meanwhile: what it is now is told by the next inspection.
      if (!isFlynnError(error, 'conflict')) throw error;
      reduce.containerDied(state, container, this.now());
    }
    reduce.signalled(state, job, name, this.now(), fence);
  }

  private async abandon({ job, container }: Of<'abandon'>, signal: AbortSignal): Promise<void> {
    const { docker, state, log } = this.deps;
    // Not forced: one that runs after all is not removed.
    await docker.containers.remove(container, { force: false, volumes: true }, { signal });
    reduce.neverStarted(state, container, `nobody attached within ${attachWaitMs / 1000} s`, this.now());
    log.warn({ job, container }, 'nobody attached: the job has failed');
  }

  private adopt({ job, container }: Of<'adopt'>): void {
    this.deps.state.adopted.add(container);
    this.deps.log.warn({ job, container }, 'a container runs that no claim names: it is left alone');
  }

  private async register({ job, key, instance }: Of<'register'>, signal: AbortSignal): Promise<void> {
    const { store, state, clock, log } = this.deps;
    const value: Instance = { ...instance, since: clock.now() };
    const { revision } = await store.put(key, JSON.stringify(value), { signal, timeoutMs: oneStoreCallMs });
    reduce.instancePut(state, key, value, revision);
    log.info({ job, key, revision }, 'instance registered');
  }

  private async deregister({ job, key }: Of<'deregister'>, signal: AbortSignal): Promise<void> {
    const { store, state, log } = this.deps;
    const { revision } = await store.delete(key, { signal, timeoutMs: oneStoreCallMs });
    reduce.instanceGone(state, key, revision, this.now());
    log.info({ job, key, revision }, 'instance withdrawn');
  }

  private async status({ job, status }: Of<'status'>, signal: AbortSignal): Promise<void> {
    const { store, state } = this.deps;
    const key = keys.status(state.host.name, job);
    const { revision } = await store.put(key, JSON.stringify(status), { signal, timeoutMs: oneStoreCallMs });
    state.statuses.put(key, status, revision);
  }

  private async recordVolume({ record }: Of<'record-volume'>, signal: AbortSignal): Promise<void> {
    const { store, state } = this.deps;
    const key = keys.volume(state.host.name, record.name);
    const { revision } = await store.put(key, JSON.stringify(record), { signal, timeoutMs: oneStoreCallMs });
    state.volumeRecords.put(key, record, revision);
  }

  private async forget({ job }: Of<'forget'>, signal: AbortSignal): Promise<void> {
    const { store, state } = this.deps;
    const key = keys.status(state.host.name, job);
    const { revision } = await store.delete(key, { signal, timeoutMs: oneStoreCallMs });
    state.statuses.remove(key, revision);
  }

  private async release({ job }: Of<'release'>): Promise<void> {
    const { store, state, sampi, clock, rng, log } = this.deps;
    const how = await sampi.releaseClaim(store, state.host.name, job, { clock, rng });
    for (const [name, call] of this.omniCalls) if (call.job === job) this.omniCalls.delete(name);
    reduce.released(state, job);
    log.info({ job, container: containerName(job), how }, 'job stopped, claim released');
  }

  private async claimOmni({ name, hash, template }: Of<'claim-omni'>): Promise<void> {
    const { store, state, sampi, clock, rng, log } = this.deps;
    const host = state.host.name;
    const call = this.omniCalls.get(name) ?? {
      id: ulid(clock.now(), rng),
      job: `${host}-${ulid(clock.now(), rng)}`,
    };
    this.omniCalls.set(name, call);
    const request: TransactionInput = {
      id: call.id,
      hosts: {
        [host]: {
          claims: [
            {
              job: call.job,
              template: hash,
              owner: `omni/${name}`,
              resources: template.resources,
              ...claimablePorts(template),
            },
          ],
        },
      },
    };
    const answer = await sampi.transact(store, request, { clock, rng });
    const outcome = answer.hosts[host];
    const claim = outcome?.ok ? outcome.claims[call.job] : undefined;
    if (!claim) {
      this.omniCalls.delete(name);
      const { rejection } = outcome ?? {};
      throw new FlynnError({
        code: rejection?.code === 'cordoned' ? 'conflict' : (rejection?.code ?? 'conflict'),
        message: `${name} is not claimed on ${host}: ${rejection?.message ?? 'no answer for this host'}`,
        hint: 'flynn hosts',
      });
    }
    const key = keys.claim(host, call.job);
    // An answer that found an earlier call's claim may carry no revision of its own.
    state.claims.put(key, Claim.parse(claim), Math.max(1, answer.revision));
    if (!state.claims.get(key)) {
      this.omniCalls.delete(name);
      throw new FlynnError({ code: 'conflict', message: `the claim of ${name} was released meanwhile` });
    }
    reduce.syncRecords(state);
    log.info({ name, job: call.job }, 'omni job claimed');
  }
}

const text = (error: unknown): string => (error instanceof Error ? error.message : String(error));

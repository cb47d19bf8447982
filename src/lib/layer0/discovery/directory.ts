// All services of the cluster as one host sees them: followed in the store, kept while it is away.
import type { ServiceInstance, ServiceList, ServiceView } from '../../api/discovery.js';
import { FlynnError } from '../../api/errors.js';
import { keys } from '../../api/keys.js';
import { createInformer, type Informer } from '../../store/informer.js';
import type { Store } from '../../store/port.js';
import type { Clock } from '../../util/clock.js';
import type { Log } from '../../util/log.js';
import type { Rng } from '../../util/rng.js';
import {
  parseCandidate,
  parseInstance,
  serviceElections,
  type Candidate,
  type Registered,
} from './records.js';

/** What a directory needs. */
export interface DirectoryDeps {
  store: Pick<Store, 'list' | 'watch'>;
  clock: Clock;
  rng: Rng;
  log: Log;
}

/** A candidate with the number of its term, were it the leader. */
export interface Standing extends Candidate {
  epoch: number;
}

const byAge = (a: { epoch: number; id: string }, b: { epoch: number; id: string }): number =>
  a.epoch - b.epoch || (a.id < b.id ? -1 : 1);

/** Services, their instances and their leaders. Nothing in it is ever forgotten for lack of news. */
export class Directory {
  private readonly instances: Informer<Registered>;
  private readonly candidates: Informer<{ service: string; candidate: Candidate }>;
  private readonly byService = new Map<string, Map<string, ServiceInstance>>();
  private readonly standing = new Map<string, Map<string, Standing>>();
  private readonly listeners = new Set<(services: ReadonlySet<string>) => void>();
  /** Resolves when everything was listed once; rejects when the signal was aborted before. */
  readonly ready: Promise<void>;

  constructor(deps: DirectoryDeps, signal: AbortSignal) {
    const { store, clock, rng, log } = deps;
    const common = { store, clock, rng, log };
    this.instances = createInformer({ ...common, prefix: keys.instances, parse: parseInstance });
    this.candidates = createInformer({ ...common, prefix: serviceElections, parse: parseCandidate });
    this.instances.onChange((changed) => this.take(changed, keys.instances));
    this.candidates.onChange((changed) => this.take(changed, serviceElections));
    this.ready = Promise.all([this.instances.ready, this.candidates.ready]).then(() => undefined);
    this.ready.catch(() => undefined);
    this.instances.start(signal);
    this.candidates.start(signal);
  }

  /** Whether everything was listed once. */
  get known(): boolean {
    return this.instances.revision > 0 && this.candidates.revision > 0;
  }

  /** Throws `unreachable` before anything was heard of the store: an empty answer would be a lie. */
  assertKnown(): void {
    if (this.known) return;
    throw new FlynnError({
      code: 'unreachable',
      message: 'this host has not heard of any service yet: etcd was never reached since its agent began',
      hint: 'flynn cluster status',
    });
  }

  /** Names and sizes of all services that have an instance, by name. */
  list(): ServiceList {
    return {
      services: [...this.byService]
        .map(([name, { size }]) => ({ name, instances: size }))
        .sort((a, b) => (a.name < b.name ? -1 : 1)),
    };
  }

  /** Names of all services that have an instance or a candidate. */
  names(): string[] {
    return [...new Set([...this.byService.keys(), ...this.standing.keys()])];
  }

  /** A service as it is now; one that nobody knows has no instances. */
  view(name: string): ServiceView {
    const instances = [...(this.byService.get(name)?.values() ?? [])].sort(byAge);
    return { name, leader: this.leaderOf(name, instances), instances };
  }

  /** Who stands for a service's leadership, the leader first. */
  election(name: string): Standing[] {
    return [...(this.standing.get(name)?.values() ?? [])].sort(byAge);
  }

  /** Calls back with the names of the services that changed; the returned function ends that. */
  onChange(changed: (services: ReadonlySet<string>) => void): () => void {
    this.listeners.add(changed);
    return () => void this.listeners.delete(changed);
  }

  private leaderOf(name: string, instances: readonly ServiceInstance[]): ServiceInstance | null {
    const winner = this.election(name).find(({ address, port }) => address && port);
    if (!winner?.address || !winner.port) return instances[0] ?? null;
    const { id, host, address, port, since, epoch } = winner;
    return (
      instances.find((it) => it.address === address && it.port === port) ?? {
        id,
        host,
        address,
        port,
        since,
        epoch,
        meta: {},
      }
    );
  }

  private take(changed: readonly string[], prefix: string): void {
    const services = new Set<string>();
    for (const key of changed) {
      const service = key.slice(prefix.length).split('/')[prefix === keys.instances ? 1 : 0];
      if (!service) continue;
      services.add(service);
      if (prefix === keys.instances) this.setInstance(service, key);
      else this.setCandidate(service, key);
    }
    for (const listener of [...this.listeners]) listener(services);
  }

  private setInstance(service: string, key: string): void {
    const item = this.instances.get(key);
    if (!item) return put(this.byService, service, key, undefined);
    const { service: _service, ...instance } = item.value;
    put(this.byService, service, key, { ...instance, epoch: item.entry.createRevision });
  }

  private setCandidate(service: string, key: string): void {
    const item = this.candidates.get(key);
    put(this.standing, service, key, item && { ...item.value.candidate, epoch: item.entry.createRevision });
  }
}

/** Sets or removes an entry of a map of maps; a map that is empty goes. */
const put = <T>(all: Map<string, Map<string, T>>, name: string, key: string, value: T | undefined): void => {
  const own = all.get(name) ?? new Map<string, T>();
  if (value === undefined) own.delete(key);
  else own.set(key, value);
  if (own.size > 0) all.set(name, own);
  else all.delete(name);
};

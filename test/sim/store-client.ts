// One process's client of the simulated etcd: a member at a time, deadlines, lost answers, watches that break.
import { FlynnError, isFlynnError } from '../../src/lib/api/errors.js';
import type {
  CallOptions,
  Entry,
  GetOptions,
  ListOptions,
  PutOptions,
  Store,
  StoreMaintenance,
  StoreMember,
  StoreStatus,
  Txn,
  TxnResult,
  Watch,
  WatchEndReason,
  WatchEvent,
  WatchHandler,
} from '../../src/lib/store/port.js';
import { abortReason } from '../../src/lib/util/signal.js';
import type { Change } from '../fakes/store-mvcc.js';
import type { Node } from './net.js';
import type { Member, SimEtcd } from './store.js';
import type { Owner } from './timeline.js';

/** Whose client it is. */
export interface ClientOwner extends Owner {
  readonly machine: Node;
}

interface Watcher {
  prefix: string;
  handler: WatchHandler;
  queue: Change[];
  member: Member;
  ended: boolean;
}

const callMs = 1_000;
const pageLimit = 1_000;
/** Silence after which a connection counts as broken, and a watch on a member without a leader is ended, ms. */
const brokenMs = 2_000;
/** What changes together comes together. */
const batchMs = 10;

type Kind = 'read' | 'write';

const error = (code: FlynnError['code'], message: string): FlynnError => new FlynnError({ code, message });

/** First part of a key or prefix. */
const roomOf = (key: string): string => key.slice(0, key.indexOf('/'));

/** A client. Every call costs time, and every answer can be lost. */
export class SimStore implements Store, StoreMaintenance {
  /** Who writes, for whoever listens to commits. */
  actor: string;
  private readonly order: Member[];
  private readonly watchers: Set<Watcher>;
  /** First parts of the prefixes that are watched: most changes concern none of them. */
  private readonly rooms = new Set<string>();
  private readonly state = { at: 0, closed: false, delivery: false, broken: false };
  /** The next so many writes are carried out and their answers lost. */
  readonly faults = { lostAnswers: 0 };

  constructor(
    private readonly etcd: SimEtcd,
    private readonly owner: ClientOwner,
    actor: string,
  ) {
    this.actor = actor;
    // The local member first, the others in an order of this client's own.
    const { members } = etcd;
    const shift = Math.floor(etcd.rng.next() * members.length);
    const turned = members.map((_, i) => members[(i + shift) % members.length] as Member);
    this.order = turned.sort(
      (a, b) => Number(b.machine === owner.machine) - Number(a.machine === owner.machine),
    );
    this.watchers = new Set();
    const tell = (change: Change, rooms: ReadonlySet<string>): void => {
      for (const room of rooms) if (this.rooms.has(room)) return this.tell(change);
    };
    const reset = (): void => [...this.watchers].forEach((w) => this.end(w, 'disconnected'));
    etcd.watching.add(tell);
    etcd.resets.add(reset);
    const ended = etcd.net.onChange(() => {
      if (owner.alive) return this.linksChanged();
      ended();
      etcd.watching.delete(tell);
      etcd.resets.delete(reset);
    });
  }

  /** Whether its process lives. */
  get alive(): boolean {
    return this.owner.alive;
  }

  /** The same client, writing as somebody else. */
  as(actor: string): SimStore {
    const other = Object.create(this) as SimStore;
    other.actor = actor;
    return other;
  }

  // ---- calls ----

  private call<T>(what: string, kind: Kind, opts: CallOptions | undefined, work: () => T): Promise<T> {
    const signal = opts?.signal;
    return new Promise<T>((resolve, reject) => {
      if (signal?.aborted) return reject(abortReason(signal));
      if (this.state.closed) return reject(error('unreachable', `${what}: the client is closed`));
      let over = false;
      let tried = 0;
      let cancel: () => void = () => undefined;
      const finish = (settle: () => void): void => {
        if (over) return;
        over = true;
        cancel();
        signal?.removeEventListener('abort', onAbort);
        settle();
      };
      const onAbort = (): void => finish(() => reject(abortReason(signal as AbortSignal)));
      signal?.addEventListener('abort', onAbort);
      let asked = 0;
      const ask = (): void => {
        const turn = ++asked;
        const member = this.member;
        const silent = (): void => {
          if (turn !== asked) return;
          this.leave(member);
          if (kind === 'write') finish(() => reject(error('ambiguous', `${what}: the store did not answer`)));
          else if (++tried < this.order.length) ask();
          else finish(() => reject(error('no_quorum', `${what}: the store did not answer`)));
        };
        const refused = (): void => {
          if (over || turn !== asked) return;
          this.leave(member);
          if (++tried < this.order.length) ask();
          else finish(() => reject(error('unreachable', `${what}: no endpoint of the store can be reached`)));
        };
        cancel();
        cancel = this.etcd.time.at(opts?.timeoutMs ?? callMs, silent, this.owner);
        this.exchange(member, kind, work, refused, (settle) => {
          if (turn === asked || kind === 'write') finish(() => settle(resolve, reject));
        });
      };
      ask();
    });
  }

  /** Sends the question, has it decided, and sends the answer: three moments at which the world may have changed. */
  private exchange<T>(
    member: Member,
    kind: Kind,
    work: () => T,
    refused: () => void,
    answer: (settle: (resolve: (value: T) => void, reject: (reason: unknown) => void) => void) => void,
  ): void {
    const { etcd, owner } = this;
    const { net, time } = etcd;
    const back = (deliver: () => void): void => {
      if (net.passes(member.machine, owner.machine) && !this.lost(member))
        time.at(net.delay(member.machine, owner.machine), deliver, owner);
    };
    if (!net.passes(owner.machine, member.machine) || !member.machine.up || this.lost(member)) return;
    if (!member.alive) return back(refused);
    const there = net.delay(owner.machine, member.machine);
    if (kind === 'read' && net.whole) {
      // Between a read and its answer nothing can come that matters: both are one moment.
      time.at(
        2 * there + etcd.commitDelay(member),
        () => {
          if (!etcd.decides(member) || !net.connected(owner.machine, member.machine)) return;
          try {
            const value = work();
            answer((resolve) => resolve(value));
          } catch (reason) {
            answer((_, reject) => reject(reason));
          }
        },
        owner,
      );
      return;
    }
    time.at(
      there + etcd.commitDelay(member),
      () => {
        if (!etcd.decides(member)) return;
        try {
          const value = work();
          if (kind === 'write' && this.faults.lostAnswers > 0) {
            this.faults.lostAnswers -= 1;
            return;
          }
          back(() => answer((resolve) => resolve(value)));
        } catch (reason) {
          back(() => answer((_, reject) => reject(reason)));
        }
      },
      member,
    );
  }

  /** TCP repeats what is lost: only a connection that is lost for good loses a message of etcd's. */
  private lost(member: Member): boolean {
    const { net, rng } = this.etcd;
    return member.machine !== this.owner.machine && net.loss > 0 && rng.next() < net.loss / 4;
  }

  private get member(): Member {
    return this.order[this.state.at % this.order.length] as Member;
  }

  private leave(member: Member): void {
    if (this.member === member) this.state.at += 1;
  }

  get(key: string, opts: GetOptions = {}): Promise<Entry | undefined> {
    const { revision } = opts;
    return this.call(`get ${key}`, 'read', opts, () => {
      const { mvcc } = this.etcd;
      return revision === undefined
        ? mvcc.get(key)
        : mvcc.range(key, { revision, limit: 1 }).entries.find((e) => e.key === key);
    });
  }

  async list(prefix: string, opts: ListOptions = {}): Promise<{ entries: Entry[]; revision: number }> {
    const most = opts.limit ?? Infinity;
    const size = Math.min(opts.pageSize ?? pageLimit, pageLimit);
    for (let tries = 1; ; tries++) {
      let revision = opts.revision ?? 0;
      const entries: Entry[] = [];
      try {
        for (;;) {
          const page = await this.call(`list ${prefix}`, 'read', opts, () => {
            revision ||= this.etcd.mvcc.revision;
            const limit = Math.min(size, most - entries.length);
            return this.etcd.mvcc.range(prefix, {
              revision,
              after: entries.at(-1)?.key ?? opts.after,
              limit,
            });
          });
          for (const e of page.entries) entries.push(opts.keysOnly ? { ...e, value: '' } : e);
          if (!page.more || entries.length >= most) return { entries, revision };
        }
      } catch (reason) {
        if (!isFlynnError(reason, 'compacted') || opts.revision || tries >= 5) throw reason;
      }
    }
  }

  async put(key: string, value: string, opts: PutOptions = {}): Promise<{ revision: number }> {
    const { revision } = await this.txn(
      { compare: [], then: [{ op: 'put', key, value, lease: opts.lease }] },
      opts,
    );
    return { revision };
  }

  async delete(key: string, opts?: CallOptions): Promise<{ revision: number; deleted: number }> {
    const { revision, results } = await this.txn({ compare: [], then: [{ op: 'delete', key }] }, opts);
    return { revision, deleted: results[0]?.op === 'delete' ? results[0].deleted : 0 };
  }

  txn(txn: Txn, opts?: CallOptions): Promise<TxnResult> {
    const { actor } = this;
    return this.call('a transaction', 'write', opts, () => this.etcd.commit(txn, actor));
  }

  // A grant whose answer is lost leaves a lease that nobody uses: no reason to call it ambiguous.
  grant(ttlSeconds: number, opts?: CallOptions): Promise<string> {
    return this.call('grant a lease', 'read', opts, () => this.etcd.grant(ttlSeconds));
  }

  keepAliveOnce(id: string, opts?: CallOptions): Promise<number> {
    return this.call(`keep lease ${id} alive`, 'read', opts, () => this.etcd.keepAlive(id));
  }

  revoke(id: string, opts?: CallOptions): Promise<void> {
    return this.call(`revoke lease ${id}`, 'read', opts, () => this.etcd.revoke(id));
  }

  // ---- watches ----

  watch(prefix: string, fromRevision: number, handler: WatchHandler): Watch {
    const { etcd, owner } = this;
    const watcher: Watcher = { prefix, handler, queue: [], member: this.member, ended: false };
    const { member } = watcher;
    this.watchers.add(watcher);
    this.rooms.add(roomOf(prefix));
    const { net, time } = etcd;
    if (this.state.closed || !member.alive || !net.connected(owner.machine, member.machine)) {
      // Refused at once, or not answered within the time for making a watch.
      const refused = this.state.closed || (member.machine.up && !member.alive);
      time.at(refused ? 0.2 : brokenMs, () => this.end(watcher, 'disconnected'), owner);
    } else {
      const past = etcd.mvcc.changesFrom(fromRevision);
      if (!past)
        time.at(net.delay(owner.machine, member.machine), () => this.end(watcher, 'compacted'), owner);
      else {
        watcher.queue.push(...past.filter(({ events }) => events.some((e) => e.key.startsWith(prefix))));
        time.at(2 * net.delay(owner.machine, member.machine), () => this.confirm(watcher), owner);
        this.deliverSoon();
        this.linksChanged();
      }
    }
    return {
      requestProgress: () => {
        if (!watcher.ended && this.flows(watcher)) queueMicrotask(() => this.confirm(watcher));
      },
      close: () => this.end(watcher, 'closed'),
    };
  }

  private confirm(watcher: Watcher): void {
    if (!watcher.ended && this.flows(watcher)) watcher.handler.onAlive?.();
  }

  /** Whether what a watch's member knows reaches us now. */
  private flows({ member }: Watcher): boolean {
    const { etcd, owner } = this;
    return member.alive && etcd.net.connected(owner.machine, member.machine) && etcd.reachesLeader(member);
  }

  private tell(change: Change): void {
    if (!this.owner.alive) return;
    let any = false;
    for (const watcher of this.watchers) {
      const { prefix } = watcher;
      for (const event of change.events) {
        if (!event.key.startsWith(prefix)) continue;
        watcher.queue.push(change);
        any = true;
        break;
      }
    }
    if (any) this.deliverSoon();
  }

  private deliverSoon(): void {
    if (this.state.delivery) return;
    this.state.delivery = true;
    const { time, net } = this.etcd;
    const delay = net.delay(this.member.machine, this.owner.machine) + batchMs;
    time.at(delay, () => this.deliver(), this.owner);
  }

  private deliver(): void {
    this.state.delivery = false;
    for (const watcher of [...this.watchers]) {
      if (watcher.queue.length === 0 || watcher.ended || !this.flows(watcher)) continue;
      const changes = watcher.queue;
      watcher.queue = [];
      const events: WatchEvent[] = [];
      for (const change of changes)
        for (const event of change.events) if (event.key.startsWith(watcher.prefix)) events.push(event);
      if (events.length > 0)
        watcher.handler.onEvents(events, (changes[changes.length - 1] as Change).revision);
    }
  }

  /** Connections that are cut break after a while; what waited meanwhile comes when they are not. */
  private linksChanged(): void {
    if (this.watchers.size === 0) return;
    const stuck = [...this.watchers].filter((watcher) => !this.flows(watcher));
    for (const watcher of stuck) {
      const { member } = watcher;
      const reset =
        member.machine.up && !member.alive && this.etcd.net.connected(this.owner.machine, member.machine);
      this.etcd.time.at(reset ? 0.5 : 0, () => reset && this.end(watcher, 'disconnected'), this.owner);
    }
    if (stuck.length > 0 && !this.state.broken) {
      this.state.broken = true;
      this.etcd.time.at(
        brokenMs,
        () => {
          this.state.broken = false;
          for (const watcher of [...this.watchers])
            if (stuck.includes(watcher) && !this.flows(watcher)) this.end(watcher, 'disconnected');
          this.linksChanged();
        },
        this.owner,
      );
    }
    if ([...this.watchers].some(({ queue }) => queue.length > 0)) this.deliverSoon();
  }

  private end(watcher: Watcher, reason: WatchEndReason): void {
    if (watcher.ended) return;
    watcher.ended = true;
    this.watchers.delete(watcher);
    if (reason === 'disconnected') this.leave(watcher.member);
    queueMicrotask(() => watcher.handler.onEnd(reason));
  }

  // ---- administration ----

  status(opts?: CallOptions): Promise<StoreStatus> {
    const member = this.member;
    return this.call('the status', 'read', opts, () => ({
      endpoint: `http://${member.machine.name}:2379`,
      clusterId: String(this.etcd.clusterId),
      memberId: member.id,
      revision: this.etcd.mvcc.revision,
      version: 'simulated',
      dbSize: 0,
      ...(this.etcd.leader ? { leader: this.etcd.leader.id } : {}),
      raftTerm: this.etcd.term,
      raftIndex: this.etcd.mvcc.revision,
      alarms: [],
    }));
  }

  members(opts?: CallOptions): Promise<StoreMember[]> {
    return this.call('the members', 'read', opts, () => this.etcd.joined.map((m) => ({ ...m })));
  }

  addMember(): Promise<StoreMember> {
    return Promise.reject(error('invalid', 'the members of a simulated store do not change'));
  }

  promoteMember(): Promise<void> {
    return Promise.reject(error('invalid', 'the members of a simulated store do not change'));
  }

  removeMember(): Promise<void> {
    return Promise.reject(error('invalid', 'the members of a simulated store do not change'));
  }

  compact(revision: number, opts?: CallOptions): Promise<void> {
    return this.call('compact', 'write', opts, () => this.etcd.compact(revision));
  }

  defragment(_endpoint: string, opts?: CallOptions): Promise<void> {
    return this.call('defragment', 'read', opts, () => undefined);
  }

  disarm(opts?: CallOptions): Promise<void> {
    return this.call('disarm', 'read', opts, () => undefined);
  }

  async close(): Promise<void> {
    this.state.closed = true;
    for (const watcher of [...this.watchers]) this.end(watcher, 'closed');
    await Promise.resolve();
  }
}

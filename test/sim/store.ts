// The simulated etcd: members on machines, a leader that needs a majority, leases, compaction, restore from a snapshot.
import type { StoreMember } from '../../src/lib/store/port.js';
import { FlynnError } from '../../src/lib/api/errors.js';
import type { Txn, TxnResult } from '../../src/lib/store/port.js';
import { pick, type Rng } from '../../src/lib/util/rng.js';
import { Mvcc, type Change } from '../fakes/store-mvcc.js';
import type { Net, Node } from './net.js';
import type { Owner, Scheduling } from './timeline.js';

/** A member's process on its machine. */
export interface Member extends Owner {
  readonly id: string;
  readonly machine: Node;
}

interface Lease {
  ttlMs: number;
  until: number;
}

/** Told of every change of the store, with whoever wrote it. */
export type CommitListener = (change: Change, actor: string) => void;

/** Times, ms: a commit to disk, and what etcd's election timeout of 1 s makes of the loss of a leader. */
const figures = { fsync: 0.6, electionMin: 1_000, electionSpread: 1_000, again: 500 } as const;

/** The cluster behind the clients. */
export class SimEtcd {
  mvcc = new Mvcc();
  leader: Member | undefined;
  clusterId = 1;
  term = 1;
  private readonly leases = new Map<string, Lease>();
  private nextLease = 0x1000;
  private electing = false;
  private readonly listeners = new Set<CommitListener>();
  /** Told of every change after the listeners: the clients' watches. */
  readonly watching = new Set<(change: Change, rooms: ReadonlySet<string>) => void>();
  /** Told when all watches are over. */
  readonly resets = new Set<() => void>();
  joined: StoreMember[];

  constructor(
    readonly time: Scheduling,
    readonly net: Net,
    readonly rng: Rng,
    readonly members: readonly Member[],
  ) {
    this.leader = members[0];
    this.joined = members.map(({ id, machine }) => ({
      id,
      name: machine.name,
      peerUrls: [`http://${machine.name}:2380`],
      clientUrls: [`http://${machine.name}:2379`],
      learner: false,
    }));
    net.onChange(() => this.reconsider());
  }

  /** Time that a write takes between its arrival at a member and its commit, ms. */
  commitDelay(member: Member): number {
    const { net, leader } = this;
    if (!leader) return figures.fsync;
    const there = member === leader ? 0 : 2 * net.delay(member.machine, leader.machine);
    const other = this.members.find((m) => m !== leader) ?? leader;
    return figures.fsync + there + 2 * net.delay(leader.machine, other.machine);
  }

  /** Calls back after every change; the returned function ends that. */
  onCommit(listener: CommitListener): void {
    this.listeners.add(listener);
  }

  /** Whether a member can have something decided now. */
  decides(member: Member): boolean {
    return member.alive && this.reachesLeader(member) && this.holds(this.leader);
  }

  /** Whether a member follows the leader. */
  reachesLeader(member: Member): boolean {
    const { leader } = this;
    return leader !== undefined && (member === leader || this.net.connected(member.machine, leader.machine));
  }

  private holds(leader: Member | undefined): boolean {
    if (!leader?.alive || !leader.machine.up || leader.machine.frozen) return false;
    const heard = this.members.filter(
      (m) => m === leader || (m.alive && this.net.connected(m.machine, leader.machine)),
    );
    return heard.length * 2 > this.members.length;
  }

  /** Looks whether the leader still leads; has another elected when it does not. */
  reconsider(): void {
    if (this.electing || this.holds(this.leader)) return;
    this.electing = true;
    this.time.at(figures.electionMin + figures.electionSpread * this.rng.next(), () => this.elect());
  }

  /** Gives the lead to another member, as `move-leader` does. */
  moveLeader(): void {
    if (this.electing || !this.holds(this.leader)) return;
    this.leader = undefined;
    this.electing = true;
    this.time.at(50 + 250 * this.rng.next(), () => this.elect());
  }

  private elect(): void {
    const next = this.holds(this.leader)
      ? this.leader
      : pick(
          this.rng,
          this.members.filter((m) => this.holds(m)),
        );
    if (!next) {
      this.time.at(figures.again, () => this.elect());
      return;
    }
    this.electing = false;
    if (next === this.leader) return;
    this.leader = next;
    this.term += 1;
    // A new leader does not know when leases were renewed: all of them begin anew.
    for (const lease of this.leases.values()) lease.until = this.time.now + lease.ttlMs;
    this.net.changed();
  }

  /** Carries a transaction out at once. */
  commit(txn: Txn, actor: string): TxnResult {
    const { result, change } = this.mvcc.txn(txn, (id) => this.leases.has(id));
    if (change) this.tell(change, actor);
    return result;
  }

  private tell(change: Change, actor: string): void {
    for (const listener of this.listeners) listener(change, actor);
    const rooms = new Set(change.events.map(({ key }) => key.slice(0, key.indexOf('/'))));
    for (const watch of this.watching) watch(change, rooms);
  }

  grant(ttlSeconds: number): string {
    const id = (this.nextLease++).toString(16);
    this.startLease(id, Math.max(2, ttlSeconds) * 1000);
    return id;
  }

  keepAlive(id: string): number {
    const lease = this.leases.get(id);
    if (!lease) throw new FlynnError({ code: 'not_found', message: `lease ${id} not found` });
    lease.until = this.time.now + lease.ttlMs;
    return lease.ttlMs / 1000;
  }

  revoke(id: string): void {
    if (!this.leases.delete(id)) return;
    const keys = this.mvcc.keysOf(id);
    for (let i = 0; i < keys.length; i += 100) {
      this.commit(
        { compare: [], then: keys.slice(i, i + 100).map((key) => ({ op: 'delete', key })) },
        `lease ${id}`,
      );
    }
  }

  private startLease(id: string, ttlMs: number): void {
    const lease = { ttlMs, until: this.time.now + ttlMs };
    this.leases.set(id, lease);
    const look = (): void => {
      if (this.leases.get(id) !== lease) return;
      const left = lease.until - this.time.now;
      // Without a leader nothing expires.
      if (left > 0) this.time.at(left, look);
      else if (this.holds(this.leader)) this.revoke(id);
      else this.time.at(figures.again, look);
    };
    this.time.at(ttlMs, look);
  }

  compact(revision: number): void {
    this.mvcc.compact(revision);
  }

  /** What `restore` takes: the store as it is now. */
  snapshot(): { mvcc: Mvcc; leases: [string, number][] } {
    return { mvcc: this.mvcc.snapshot(), leases: [...this.leases].map(([id, l]) => [id, l.ttlMs]) };
  }

  /** Becomes what a snapshot holds: a new cluster with the old data, whose revision goes back. */
  restore(from: { mvcc: Mvcc; leases: [string, number][] }): void {
    this.mvcc = from.mvcc.snapshot();
    this.clusterId += 1;
    this.leases.clear();
    for (const [id, ttlMs] of from.leases) this.startLease(id, ttlMs);
    for (const reset of [...this.resets]) reset();
  }
}

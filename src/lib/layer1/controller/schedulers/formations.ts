// The formation scheduler's plan: pure, from what should run and what is booked to claims and stops.
import {
  countOn,
  explain,
  place,
  Pool,
  type Need,
  type Seat,
  type SpreadKeys,
} from '../../../layer0/index.js';
import type { Rng } from '../../../util/rng.js';
import { ulid } from '../../../util/ulid.js';
import { hostFigures, isMissing, type HostMemory } from '../hosts.js';

/** A booked job as the planner sees it. */
export interface PlannedJob {
  id: string;
  host: string;
  want: 'run' | 'stop' | 'lost';
  /** Up, and every live consumer sends it work. */
  serving: boolean;
  /** Its agent gave up: it cannot start. */
  failed: boolean;
}

/** Jobs of one process type of one release. */
export interface Group {
  app: string;
  version: number;
  type: string;
  /** How many should run. */
  desired: number;
  need: Need;
  jobs: readonly PlannedJob[];
  /** When recent jobs of it failed for good, monotonic ms, ascending. */
  failures: readonly number[];
}

/** All that a plan is made of. */
export interface FormationInput {
  /** False while any informer is not complete: then nothing is planned. */
  synced: boolean;
  /** Wall clock for ids, monotonic clock for decisions; ms. */
  wall: number;
  now: number;
  hosts: ReadonlyMap<string, HostMemory>;
  /** More than half of the hosts went missing at once: nothing is moved or stopped. */
  frozen: boolean;
  seats: readonly Seat[];
  groups: readonly Group[];
  rng: Rng;
}

/** A job to book. */
export interface NewJob {
  id: string;
  host: string;
  group: Group;
}

/** A changed intention for a booked job. */
export interface NewWant {
  job: string;
  host: string;
  want: 'run' | 'stop' | 'lost';
  why: string;
}

/** What is to be done. Empty when the picture is as it should be. */
export interface FormationPlan {
  claims: NewJob[];
  wants: NewWant[];
  /** Why an app is not given what it should have. */
  problems: Map<string, string>;
  /** Monotonic ms of the next moment at which waiting ends by itself. */
  wakeAt: number | undefined;
}

/** New claims of one plan at most: the rest comes with the next. */
const maxClaims = 500;
const maxPerHost = 100;
/** Mark of a host that has its share of this plan. */
const full = 'takes more in a moment';

/** Groups that jobs of a group are spread by. */
export function spreadKeys(group: Pick<Group, 'app' | 'type' | 'version'>): SpreadKeys {
  const loose = `${group.app}/${group.type}`;
  return { exact: `${loose}/${group.version}`, loose };
}

/** Pause before a job that could not start is replaced, ms, after so many such failures. */
export function replacementPause(failures: number): number {
  return failures < 5 ? 0 : failures < 15 ? 10_000 : 30_000;
}

/** Plans all groups. Running it on what it leads to yields nothing. */
export function planFormations(input: FormationInput): FormationPlan {
  const plan: FormationPlan = { claims: [], wants: [], problems: new Map(), wakeAt: undefined };
  if (!input.synced) return plan;
  const sorted = input.groups.map((group) => ({ group, sorted: sortJobs(input, group, plan) }));
  // Stops first: a job that goes no longer counts against its host when the others are spread.
  for (const item of sorted) stopSurplus(input, item.group, item.sorted, plan);
  const short = sorted.filter(({ group, sorted: { live } }) => group.desired > live.length);
  // Nearly always: nothing is missing, and what the hosts have free need not be known.
  if (short.length === 0) return plan;
  const stopped = new Set(plan.wants.filter(({ want }) => want === 'stop').map(({ job }) => job));
  countJobs(input, stopped);
  const room: Room = { pool: new Pool(input.seats), claimed: new Map() };
  for (const item of short) startMissing(input, item.group, item.sorted, plan, room);
  return plan;
}

interface Sorted {
  /** Jobs that count as running. */
  live: PlannedJob[];
  /** Those among them that may be stopped: on hosts that are there. */
  stoppable: PlannedJob[];
}

/** Sorts a group's jobs into those that count, and notes what to do with the others. */
function sortJobs(input: FormationInput, group: Group, plan: FormationPlan): Sorted {
  const live: PlannedJob[] = [];
  const stoppable: PlannedJob[] = [];
  for (const job of group.jobs) {
    if (job.want === 'stop') continue;
    const condition = input.hosts.get(job.host)?.condition;
    if (condition !== 'present') {
      const gone = condition === 'lost' || condition === 'away';
      // Not known to be gone: such jobs count, and so do all of them while the scheduler is frozen.
      const open = (condition === 'suspect' || condition === 'unseen') && job.want === 'run';
      if (open || input.frozen) live.push(job);
      if (gone && job.want === 'run' && !input.frozen)
        plan.wants.push({
          job: job.id,
          host: job.host,
          want: 'lost',
          why: `host ${job.host} is ${condition}`,
        });
      continue;
    }
    if (job.failed) {
      if (!input.frozen)
        plan.wants.push({ job: job.id, host: job.host, want: 'stop', why: 'it cannot start' });
      continue;
    }
    live.push(job);
    stoppable.push(job);
  }
  return { live, stoppable };
}

function stopSurplus(input: FormationInput, group: Group, sorted: Sorted, plan: FormationPlan): void {
  const doomed = input.frozen ? [] : surplusOf(input, group, sorted.stoppable, plan);
  const gone = new Set(doomed.map(({ id }) => id));
  for (const job of doomed) {
    plan.wants.push({
      job: job.id,
      host: job.host,
      want: 'stop',
      why: `${group.app} ${group.type} has one too many`,
    });
  }
  // What stays on a host that is back runs on as before.
  for (const job of sorted.stoppable) {
    if (job.want === 'lost' && !gone.has(job.id) && !input.frozen)
      plan.wants.push({ job: job.id, host: job.host, want: 'run', why: `host ${job.host} is back` });
  }
}

/** The jobs to stop: the younger first, unless that would take away what serves. */
function surplusOf(
  input: FormationInput,
  group: Group,
  jobs: readonly PlannedJob[],
  plan: FormationPlan,
): PlannedJob[] {
  if (jobs.length <= group.desired) return [];
  const byAge = [...jobs].sort((a, b) => compare(a.id.slice(-26), b.id.slice(-26)));
  if (group.desired === 0 || byAge.slice(0, group.desired).every(({ serving }) => serving)) {
    return byAge.slice(group.desired);
  }
  // The older ones do not all serve. If that is because their host has just come back, they are given a moment.
  const until = Math.max(
    ...byAge.slice(0, group.desired).map(({ host, serving }) => (serving ? 0 : returnEnds(input, host))),
  );
  if (until > input.now) {
    wake(plan, until);
    return [];
  }
  return [...byAge].sort((a, b) => Number(b.serving) - Number(a.serving)).slice(group.desired);
}

function returnEnds({ hosts }: FormationInput, host: string): number {
  const backAt = hosts.get(host)?.backAt;
  return backAt === undefined ? 0 : backAt + hostFigures.returnMs;
}

function countJobs(input: FormationInput, stopped: ReadonlySet<string>): void {
  const seats = new Map(input.seats.map((seat) => [seat.name, seat]));
  for (const group of input.groups) {
    for (const job of group.jobs) {
      const seat = seats.get(job.host);
      if (seat && job.want !== 'stop' && !job.failed && !stopped.has(job.id))
        countOn(seat, spreadKeys(group));
    }
  }
}

/** The hosts of a plan, and how many claims of it each has. */
interface Room {
  pool: Pool;
  claimed: Map<string, number>;
}

function startMissing(
  input: FormationInput,
  group: Group,
  { live }: Sorted,
  plan: FormationPlan,
  { pool, claimed }: Room,
): void {
  const missing = group.desired - live.length;
  if (missing <= 0) return;
  const last = group.failures.at(-1);
  const dueAt = last === undefined ? input.now : last + replacementPause(group.failures.length);
  if (dueAt > input.now) return wake(plan, dueAt);
  for (let i = 0; i < missing && plan.claims.length < maxClaims; i++) {
    const placement = place(pool, spreadKeys(group), group.need, input.rng);
    if ('excluded' in placement) {
      if (placement.excluded.some(({ why }) => why === full)) return wake(plan, input.now);
      const waiting = awaitedHosts(input, group);
      const note = waiting.length > 0 ? `; waiting for ${waiting.join(', ')}` : '';
      plan.problems.set(group.app, explain(group.app, group.type, group.need, placement.excluded) + note);
      return;
    }
    const { host } = placement;
    plan.claims.push({ id: `${host}-${ulid(input.wall, input.rng)}`, host, group });
    const onHost = (claimed.get(host) ?? 0) + 1;
    claimed.set(host, onHost);
    if (onHost >= maxPerHost) pool.close(host, full);
  }
}

/** Hosts that are missing and have jobs of the group. */
function awaitedHosts(input: FormationInput, group: Group): string[] {
  const names = group.jobs.map(({ host }) => host);
  return [...new Set(names)]
    .filter((host) => isMissing(input.hosts.get(host)?.condition ?? 'present'))
    .sort();
}

function wake(plan: FormationPlan, at: number): void {
  plan.wakeAt = Math.min(plan.wakeAt ?? at, at);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

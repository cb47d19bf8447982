// Why a job is where it is, why it finds no place, and why it was started again: facts in, sentences out.
import type { Claim, JobStatus } from '../../api/job.js';
import { needWords, reasons, tally, type HostReasons } from './explain.js';
import { exclude } from './place.js';
import { Pool } from './pool.js';
import { countOn, type Need, type Obstacle, type Seat, type SpreadKeys } from './seat.js';

/** What is known of a job, or of jobs that are wanted and not there. */
export interface WhyFacts {
  /** How people call it: `web.1 of hello`. */
  name: string;
  /** Wall clock, ms. */
  now: number;
  /** Hosts as they are, the job itself counted and booked on its own. */
  seats: readonly Seat[];
  keys: SpreadKeys;
  need: Need;
  /** The job, when it is booked or has left a status. */
  job?: {
    host: string;
    claim?: Claim;
    status?: JobStatus;
    /** What the job's host counts as, when that is not simply present: `lost`, `suspect`. */
    condition?: string;
  };
  /** How many of its kind are wanted and not booked anywhere; 0 for a job that is what was asked about. */
  missing: number;
  /** Nothing is placed or moved now, for that reason. */
  frozen?: string;
}

/** The answer: sentences in the order in which they matter, and every host with its reasons. */
export interface WhyAnswer {
  sentences: string[];
  hosts: HostReasons[];
}

/** Explains. */
export function why(facts: WhyFacts): WhyAnswer {
  const { job, missing } = facts;
  const pool = new Pool(job?.claim ? without(facts, job.host, job.claim) : facts.seats);
  const hosts = reasons(pool, facts.keys, facts.need);
  return {
    sentences: [
      ...(job ? stateWords(facts, job) : []),
      ...(job ? restartWords(facts, job) : []),
      ...(job?.claim ? placeWords(job.host, hosts) : []),
      ...(missing > 0 ? pendingWords(facts, pool, hosts) : []),
      ...(facts.frozen === undefined ? [] : [`Nothing is moved or placed now: ${facts.frozen}.`]),
    ],
    hosts,
  };
}

type Job = NonNullable<WhyFacts['job']>;

/** The seats as they would be if the job were not there: that is what its place is judged against. */
function without({ seats, keys, need }: WhyFacts, host: string, claim: Claim): Seat[] {
  const imagesKnown = seats.some(({ images }) => images !== undefined);
  return seats.map((seat) => {
    if (seat.name !== host) return seat;
    const gone = new Set(claim.p);
    const left: Seat = {
      ...seat,
      used: { m: seat.used.m - claim.m, c: seat.used.c - claim.c },
      taken: new Set([...seat.taken].filter((port) => !gone.has(port))),
      counts: new Map(seat.counts),
      ...(need.image === undefined || !imagesKnown
        ? {}
        : { images: new Set([...(seat.images ?? []), need.image]) }),
    };
    if ((left.counts.get(keys.exact) ?? 0) > 0) countOn(left, keys, -1);
    return left;
  });
}

function stateWords({ name, now }: WhyFacts, { host, claim, status, condition }: Job): string[] {
  const state = status?.state;
  const since = status ? ` for ${span(now - status.since)}` : '';
  if (!claim) {
    const how = state === 'done' ? 'is done' : state === 'failed' ? 'failed' : 'has ended';
    return [`${name} ${how} on ${host}${because(status)}; nothing is booked for it any more.`];
  }
  if (claim.w === 'lost')
    return [
      `${name} is booked on ${host} as lost: ${host} is ${condition ?? 'away'}, and others take its place.`,
    ];
  if (condition !== undefined)
    return [`${name} is on ${host}, and ${host} is ${condition}: what is said of it may be old.`];
  if (claim.w === 'stop') return [`${name} is being stopped on ${host}${since}.`];
  switch (state) {
    case undefined:
      return [`${name} is booked on ${host}; its agent has not said anything of it yet.`];
    case 'up':
      return [`${name} is up on ${host}${since}.`];
    case 'pulling':
      return [`${name} waits on ${host} for its image${since}${because(status)}.`];
    case 'crashed':
      return [`${name} is down on ${host}${since}${because(status)}${nextStart(status, now)}.`];
    default:
      return [`${name} is ${state} on ${host}${since}${because(status)}.`];
  }
}

function restartWords({ name, now }: WhyFacts, { status }: Job): string[] {
  const tail = status?.tail?.length ? [`Its last lines were: ${status.tail.slice(-5).join(' | ')}`] : [];
  if (!status || status.starts <= 1) return tail;
  const running = status.startedAt === undefined ? '' : `, the last time ${span(now - status.startedAt)} ago`;
  const code = status.exitCode === null ? '' : ` with code ${status.exitCode}`;
  const cause = status.reason ?? (code ? `its process ended${code}` : 'the container before it is gone');
  return [
    `It was started ${status.starts} times${running}: ${name} is started again when it ends; ${cause}.`,
    ...tail,
  ];
}

/** Why its own host, and which other would be taken today. */
function placeWords(host: string, hosts: readonly HostReasons[]): string[] {
  const own = hosts.find((item) => item.host === host);
  const [first, second] = hosts.filter(({ fits }) => fits);
  const others = hosts.filter((item) => !item.fits && item.host !== host);
  const out = others.slice(0, 4).map((item) => `${item.host} ${item.reasons.join(', ')}`);
  const more = others.length > out.length ? `, and ${others.length - out.length} more` : '';
  const excluded = out.length > 0 ? [`It cannot be elsewhere: ${out.join('; ')}${more}.`] : [];
  if (!own) return [`${host} is no longer part of the grid.`, ...excluded];
  if (!own.fits)
    return [`New jobs of its kind would not go to ${host} now: it ${own.reasons.join(', ')}.`, ...excluded];
  const words = (item: HostReasons) => `${item.host} ${item.reasons.join(', ')}`;
  if (first?.host === host || !first) {
    const next = second ? ` Next comes ${second.host}, which ${second.reasons.join(', ')}.` : '';
    return [`Without it, ${words(own)}: it would be put there again.${next}`, ...excluded];
  }
  return [
    `Without it, ${words(own)}. Today ${first.host} would be preferred: it ${first.reasons.join(', ')}. What runs is not moved for that.`,
    ...excluded,
  ];
}

function pendingWords(
  { name, missing, need }: WhyFacts,
  pool: Pool,
  hosts: readonly HostReasons[],
): string[] {
  const wanted = `${missing === 1 ? 'One more' : `${missing} more`} of ${name} ${missing === 1 ? 'is' : 'are'} wanted`;
  const fitting = hosts.find(({ fits }) => fits);
  if (fitting) return [`${wanted}: ${fitting.host} has room, it is placed in a moment.`];
  const needs = `it needs ${needWords(need)}`;
  if (pool.seats.length === 0) return [`${wanted} and there is no host: ${needs}.`];
  const failing = tally(exclude(pool, need)).map(({ constraint, hosts: count, least, example }) => {
    const on = count === 1 ? 'on 1 host' : `on ${count} hosts`;
    const short =
      least === undefined ? '' : `, short by ${least} ${units[constraint] ?? ''} at the least`.trimEnd();
    return `${constraintNames[constraint]} ${on}${short} (${example})`;
  });
  return [`${wanted} and there is no place: ${needs}.`, `What fails: ${failing.join('; ')}.`];
}

const units: Partial<Record<Obstacle['constraint'], string>> = {
  memory: 'MiB',
  cpu: 'millicores',
  port: 'ports',
};
const constraintNames: Record<Obstacle['constraint'], string> = {
  closed: 'the host takes nothing',
  cordon: 'the host is cordoned',
  disk: 'the disk is full',
  tag: 'a tag does not fit',
  volume: 'its volume is elsewhere',
  memory: 'too little memory',
  cpu: 'too little cpu',
  port: 'ports',
};

function because(status: JobStatus | undefined): string {
  return status?.reason ? `: ${status.reason}` : '';
}

function nextStart(status: JobStatus | undefined, now: number): string {
  return status?.restartAt === undefined
    ? ''
    : `; the next start is in ${span(Math.max(0, status.restartAt - now))}`;
}

/** A length of time in words: `4 s`, `3 min`, `2 h`, `5 days`. */
function span(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} days`;
}

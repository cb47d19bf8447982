// One-off jobs that nobody ends any more (their controller died, or they ended alone): the leader stops them.
import type { JobState } from '../../../api/job.js';
import { FlynnError } from '../../../api/errors.js';
import { keys } from '../../../api/keys.js';
import type { HostChange } from '../../../api/sampi.js';
import type { Sampi } from '../../../layer0/index.js';
import { fencedTxn, type Compare, type Leadership, type Op, type Store } from '../../../store/index.js';
import type { Clock } from '../../../util/clock.js';
import type { Log } from '../../../util/log.js';
import type { Rng } from '../../../util/rng.js';
import { ulid } from '../../../util/ulid.js';
import type { HostWatch } from '../hostwatch.js';
import type { Picture } from '../state.js';
import { isLost, parseOneOff } from './oneoff.js';

/** A one-off that is booked to run, as it is now. */
export interface OneOffView {
  job: string;
  host: string;
  template: string;
  state: JobState | undefined;
}

/** How long a leader watches before it acts, ms: a one-off that ended, and one that does not come to run. */
export const orphanFigures = { endedMs: 60_000, unstartedMs: 900_000 } as const;

type Phase = 'ended' | 'unstarted' | 'runs';

/** What a leader remembers of one-off jobs. Only its own monotonic clock counts; agents' times are for people. */
export class OrphanMemory {
  private readonly seen = new Map<string, { phase: Phase; since: number }>();

  /** The jobs that are to be stopped now. `jobs` are all one-offs booked to run on hosts that are there. */
  due(jobs: readonly OneOffView[], now: number): OneOffView[] {
    const known = new Set(jobs.map(({ job }) => job));
    for (const job of this.seen.keys()) if (!known.has(job)) this.seen.delete(job);
    return jobs.filter(({ job, state }) => {
      const phase = phaseOf(state);
      const before = this.seen.get(job);
      const since = before?.phase === phase ? before.since : now;
      this.seen.set(job, { phase, since });
      if (phase === 'runs') return false;
      return now - since >= (phase === 'ended' ? orphanFigures.endedMs : orphanFigures.unstartedMs);
    });
  }
}

function phaseOf(state: JobState | undefined): Phase {
  if (state === 'done' || state === 'failed') return 'ended';
  // A one-off has no health check that could hold it in `starting`: there it waits for an attach that does not come.
  return state === 'up' || state === 'unhealthy' || state === 'stopping' ? 'runs' : 'unstarted';
}

/** What the sweep works with. */
export interface OrphanPorts {
  picture: Picture;
  hosts: HostWatch;
  store: Pick<Store, 'txn'>;
  sampi: Pick<Sampi, 'transact'>;
  clock: Clock;
  rng: Rng;
  log: Log;
}

/** Stops per host and transaction at most (Sampi takes 120). */
const maxPerHost = 100;

/** Stops orphans of one term. */
export class Orphans {
  private readonly memory = new OrphanMemory();
  private readonly guard: Compare;

  constructor(
    private readonly ports: OrphanPorts,
    private readonly leadership: Pick<Leadership, 'key' | 'epoch' | 'guard'>,
  ) {
    this.guard = leadership.guard();
  }

  /** Looks once; to be called several times a minute. Throws `fenced`; other failures are left to the next look. */
  async sweep(): Promise<void> {
    const { clock, rng, log, sampi, store } = this.ports;
    const due = this.memory.due(oneOffViews(this.ports), clock.mono());
    for (const [host, orphans] of byHost(due)) {
      const some = orphans.slice(0, maxPerHost);
      const change: HostChange = { claims: [], want: some.map(({ job }) => ({ job, want: 'stop' })) };
      try {
        const answer = await sampi.transact({
          id: ulid(clock.now(), rng),
          guards: [{ key: this.leadership.key, createRevision: this.leadership.epoch }],
          hosts: { [host]: change },
        });
        if (answer.fenced) throw new FlynnError({ code: 'fenced', message: 'another controller leads now' });
        if (!answer.hosts[host]?.ok) continue;
      } catch (error) {
        // A stop can be said twice: the next look repeats what was lost.
        if (!isLost(error)) throw error;
        continue;
      }
      log.info({ host, jobs: some.map(({ job }) => job) }, 'one-offs that nobody ended are stopped');
      const templates = some.map(({ template }): Op => ({ op: 'delete', key: keys.template(template) }));
      await fencedTxn(store, [this.guard], { compare: [], then: templates });
    }
  }
}

/** One-offs booked to run on hosts that are there. */
export function oneOffViews({ picture, hosts }: Pick<OrphanPorts, 'picture' | 'hosts'>): OneOffView[] {
  const views: OneOffView[] = [];
  for (const [key, { value }] of picture.records.claims.items()) {
    if (value.w !== 'run' || !parseOneOff(value.o)) continue;
    const [, host = '', job = ''] = key.split('/');
    if (hosts.condition(host) !== 'present') continue;
    views.push({
      job,
      host,
      template: value.t,
      state: picture.records.statuses.get(keys.status(host, job))?.value.state,
    });
  }
  return views;
}

function byHost(jobs: readonly OneOffView[]): Map<string, OneOffView[]> {
  const hosts = new Map<string, OneOffView[]>();
  for (const job of jobs) hosts.set(job.host, [...(hosts.get(job.host) ?? []), job]);
  return hosts;
}

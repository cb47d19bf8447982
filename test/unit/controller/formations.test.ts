// The formation planner: tables for its decisions, and a simulated agent for what must always hold.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Condition, HostMemory } from '../../../src/lib/layer1/controller/hosts.js';
import {
  planFormations,
  replacementPause,
  type FormationInput,
  type FormationPlan,
  type Group,
  type PlannedJob,
} from '../../../src/lib/layer1/controller/schedulers/formations.js';
import type { Seat } from '../../../src/lib/layer0/index.js';
import { seededRng } from '../../../src/lib/util/rng.js';
import { ulid } from '../../../src/lib/util/ulid.js';

const ids = seededRng(99);
const idOn = (host: string, at: number) => `${host}-${ulid(at, ids)}`;

function job(host: string, at: number, more: Partial<PlannedJob> = {}): PlannedJob {
  return { id: idOn(host, at), host, want: 'run', serving: true, failed: false, ...more };
}

function group(desired: number, jobs: PlannedJob[], more: Partial<Group> = {}): Group {
  return {
    app: 'hello',
    version: 1,
    type: 'web',
    desired,
    need: { m: 512, c: 100, ports: 1, fixed: [] },
    jobs,
    failures: [],
    ...more,
  };
}

function memory(condition: Condition, more: Partial<HostMemory> = {}): HostMemory {
  return { condition, usable: condition === 'present', seen: true, ...more };
}

function input(
  groups: Group[],
  hosts: Record<string, HostMemory>,
  more: Partial<FormationInput> = {},
): FormationInput {
  const seats: Seat[] = Object.entries(hosts).map(([name, { usable }]) => ({
    name,
    ...(usable ? {} : { closed: 'is not there' }),
    capacity: { m: 4096, c: 4000 },
    used: { m: 0, c: 0 },
    taken: new Set<number>(),
    counts: new Map<string, number>(),
  }));
  return {
    synced: true,
    wall: 1_000_000,
    now: 100_000,
    hosts: new Map(Object.entries(hosts)),
    frozen: false,
    seats,
    groups,
    rng: seededRng(5),
    ...more,
  };
}

const there = { a: memory('present'), b: memory('present'), c: memory('present') };
const stops = (plan: FormationPlan) =>
  plan.wants.filter(({ want }) => want === 'stop').map(({ job: id }) => id);

describe('given hosts that are all there', () => {
  it('when jobs are missing, then they are booked, spread, with ids that name their hosts', () => {
    const plan = planFormations(input([group(3, [])], there));
    expect(plan.claims.map(({ host }) => host).sort()).toEqual(['a', 'b', 'c']);
    expect(plan.claims.every(({ id, host }) => id.startsWith(`${host}-`))).toBe(true);
  });

  it('when there are too many, then the younger stop', () => {
    const jobs = [job('a', 3), job('b', 1), job('c', 2)];
    expect(stops(planFormations(input([group(1, jobs)], there)))).toEqual([jobs[2]?.id, jobs[0]?.id]);
  });

  it('when an older one does not serve, then it goes before a younger one that does', () => {
    const jobs = [job('a', 1, { serving: false }), job('b', 2)];
    expect(stops(planFormations(input([group(1, jobs)], there)))).toEqual([jobs[0]?.id]);
  });

  it('when all is as it should be, then nothing is done', () => {
    const plan = planFormations(input([group(2, [job('a', 1), job('b', 2)])], there));
    expect(plan).toMatchObject({ claims: [], wants: [] });
  });

  it('when a job that stops is still booked, then it neither counts nor is stopped again', () => {
    const plan = planFormations(input([group(1, [job('a', 1, { want: 'stop' })])], there));
    expect(plan.claims).toHaveLength(1);
    expect(plan.wants).toEqual([]);
  });

  it('when nothing fits, then the problem says why', () => {
    const seats = input([], there).seats.map((seat) => ({ ...seat, used: { m: 4000, c: 0 } }));
    const plan = planFormations(input([group(1, [])], there, { seats }));
    expect(plan.problems.get('hello')).toContain(
      'no capacity: hello web needs 512 MiB and 100 millicores; a has 96 MiB free',
    );
  });
});

describe('given a job that cannot start', () => {
  it('then it is stopped and replaced, with growing pauses', () => {
    const failed = job('a', 1, { failed: true, serving: false });
    const first = planFormations(input([group(1, [failed], { failures: [100_000] })], there));
    expect(stops(first)).toEqual([failed.id]);
    expect(first.claims).toHaveLength(1);
    const later = planFormations(input([group(1, [failed], { failures: [1, 2, 3, 4, 95_000] })], there));
    expect(later.claims).toEqual([]);
    expect(later.wakeAt).toBe(105_000);
  });

  it.each([
    [4, 0],
    [5, 10_000],
    [14, 10_000],
    [15, 30_000],
  ])('after %i failures the pause is %i ms', (failures, ms) => expect(replacementPause(failures)).toBe(ms));
});

describe('given a host that is silent', () => {
  const jobs = [job('a', 1), job('b', 2)];

  it('when it is only suspect, then its job still counts', () => {
    const plan = planFormations(input([group(2, jobs)], { ...there, b: memory('suspect') }));
    expect(plan).toMatchObject({ claims: [], wants: [] });
  });

  it.each(['lost', 'away'] as const)(
    'when it is %s, then its job is replaced and marked, never stopped',
    (condition) => {
      const plan = planFormations(input([group(2, jobs)], { ...there, b: memory(condition) }));
      expect(plan.claims).toHaveLength(1);
      expect(plan.claims[0]?.host).not.toBe('b');
      expect(plan.wants).toMatchObject([{ job: jobs[1]?.id, want: 'lost' }]);
    },
  );

  it('when the scheduler is frozen, then nothing is replaced, marked or stopped', () => {
    const plan = planFormations(input([group(1, jobs)], { ...there, b: memory('lost') }, { frozen: true }));
    expect(plan).toMatchObject({ claims: [], wants: [] });
  });

  it('when it is back and its older job serves, then the younger replacement stops', () => {
    const back = { ...there, b: memory('present', { backAt: 99_000 }) };
    const now = [job('b', 1, { want: 'lost' }), job('a', 2)];
    const plan = planFormations(input([group(1, now)], back));
    expect(plan.wants).toMatchObject([
      { job: now[1]?.id, want: 'stop' },
      { job: now[0]?.id, want: 'run' },
    ]);
  });

  it('when it is back and its job does not serve yet, then nothing stops for 15 s, then what does not serve', () => {
    const now = [job('b', 1, { want: 'lost', serving: false }), job('a', 2)];
    const early = planFormations(
      input([group(1, now)], { ...there, b: memory('present', { backAt: 99_000 }) }),
    );
    expect(early.wants).toMatchObject([{ job: now[0]?.id, want: 'run' }]);
    expect(early.wakeAt).toBe(114_000);
    const late = planFormations(
      input([group(1, now)], { ...there, b: memory('present', { backAt: 80_000 }) }),
    );
    expect(stops(late)).toEqual([now[0]?.id]);
  });
});

describe('whatever the state', () => {
  const conditions = fc.constantFrom<Condition>('present', 'suspect', 'lost', 'away', 'unseen');
  const hostNames = ['a', 'b', 'c', 'd'];
  const anyHosts = fc
    .array(conditions, { minLength: 4, maxLength: 4 })
    .map((list) => Object.fromEntries(list.map((condition, i) => [hostNames[i] ?? '', memory(condition)])));
  const anyJob = fc
    .record({
      host: fc.constantFrom(...hostNames),
      at: fc.integer({ min: 1, max: 1000 }),
      want: fc.constantFrom<PlannedJob['want']>('run', 'stop', 'lost'),
      serving: fc.boolean(),
      failed: fc.boolean(),
    })
    .map(({ host, at, ...rest }) => job(host, at, rest));

  it('an informer that is not synced stops and starts nothing', () => {
    fc.assert(
      fc.property(fc.array(anyJob), anyHosts, fc.integer({ min: 0, max: 5 }), (jobs, hosts, desired) => {
        const plan = planFormations(input([group(desired, jobs)], hosts, { synced: false }));
        expect(plan).toMatchObject({ claims: [], wants: [] });
      }),
    );
  });

  it('only jobs on hosts that are there are stopped, and never so many that fewer than desired are left', () => {
    fc.assert(
      fc.property(fc.array(anyJob), anyHosts, fc.integer({ min: 0, max: 5 }), (jobs, hosts, desired) => {
        const plan = planFormations(input([group(desired, jobs)], hosts));
        const doomed = new Set(stops(plan));
        for (const { id, host } of jobs) if (doomed.has(id)) expect(hosts[host]?.condition).toBe('present');
        const good = jobs.filter(
          ({ host, want, failed }) => hosts[host]?.condition === 'present' && want !== 'stop' && !failed,
        );
        const left = good.filter(({ id }) => !doomed.has(id));
        expect(left.length).toBeGreaterThanOrEqual(Math.min(desired, good.length));
      }),
    );
  });

  it('with an agent that carries out what is planned it converges to the desired counts, and then rests', () => {
    fc.assert(
      fc.property(fc.array(anyJob), anyHosts, fc.integer({ min: 0, max: 6 }), (start, hosts, desired) => {
        const withRoom = { ...hosts, a: memory('present') };
        let jobs = start;
        for (let round = 0; round < 10; round++)
          jobs = agent(jobs, planFormations(input([group(desired, jobs)], withRoom)), withRoom);
        const last = planFormations(input([group(desired, jobs)], withRoom));
        expect(last).toMatchObject({ claims: [], wants: [] });
        const live = jobs.filter(({ host }) => withRoom[host as 'a']?.condition === 'present');
        const counted = jobs.filter(({ host, want }) => {
          const condition = withRoom[host as 'a']?.condition;
          return (
            condition === 'present' || ((condition === 'suspect' || condition === 'unseen') && want === 'run')
          );
        });
        expect(counted.length).toBeGreaterThanOrEqual(desired);
        expect(live.length).toBeLessThanOrEqual(desired);
      }),
      { numRuns: 150 },
    );
  });
});

/** What agents make of a plan: stopped jobs go, wanted ones serve, hosts that are not there do nothing. */
function agent(jobs: PlannedJob[], plan: FormationPlan, hosts: Record<string, HostMemory>): PlannedJob[] {
  const wants = new Map(plan.wants.map(({ job: id, want }) => [id, want]));
  const next = jobs.map((item) => ({ ...item, want: wants.get(item.id) ?? item.want }));
  const booked = plan.claims.map(({ id, host }): PlannedJob => ({
    id,
    host,
    want: 'run',
    serving: false,
    failed: false,
  }));
  return [...next, ...booked]
    .filter(({ host, want }) => !(want === 'stop' && hosts[host]?.condition === 'present'))
    .map((item) =>
      hosts[item.host]?.condition === 'present'
        ? { ...item, serving: item.want === 'run' && !item.failed }
        : item,
    );
}

// One-off placement: spread, refusals, lost answers; and the leader's sweep of what nobody ends.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FlynnError } from '../../../src/lib/api/errors.js';
import { keys } from '../../../src/lib/api/keys.js';
import { parseOwner } from '../../../src/lib/api/app.js';
import type { Claim, JobState } from '../../../src/lib/api/job.js';
import { silentLog } from '../../../src/lib/appliance/log.js';
import { putTemplate, transact } from '../../../src/lib/layer0/index.js';
import {
  chooseHost,
  endOneOff,
  oneOffOwner,
  parseOneOff,
  placeOneOff,
  type OneOff,
  type OneOffPorts,
} from '../../../src/lib/layer1/controller/schedulers/oneoff.js';
import { OrphanMemory } from '../../../src/lib/layer1/controller/schedulers/orphans.js';
import { seatOf } from '../../../src/lib/layer0/index.js';
import { seededRng } from '../../../src/lib/util/rng.js';
import { Grid } from './grid.js';

const MiB = 1024 * 1024;
const need = { m: 512, c: 100, ports: 0, fixed: [] };
const seat = (name: string, used = 0) =>
  seatOf(name, {
    ...{ capacity: { m: 4096, c: 4000 }, used: { m: used, c: 0 }, ports: [], freed: [] },
    ...{ nextPort: 20000, cordoned: false, tags: {}, jobs: 0 },
  });
const wanted: OneOff = {
  app: 'hello',
  kind: 'build',
  template: { image: 'b:1', resources: { memory: 512 * MiB, cpu: 100 } },
};

describe('the choice of a host', () => {
  it('prefers hosts with fewer one-offs of the kind, then of any, then with more free memory', () => {
    const choose = (booked: { host: string; kind: 'build' | 'run' }[]) =>
      chooseHost(
        [seat('a', 1000), seat('b', 0), seat('c', 500)],
        booked,
        { kind: 'build', need },
        new Map(),
        seededRng(1),
      );
    expect(choose([])).toMatchObject({ host: 'b' });
    expect(choose([{ host: 'b', kind: 'build' }])).toMatchObject({ host: 'c' });
    expect(choose([{ host: 'b', kind: 'run' }])).toMatchObject({ host: 'c' });
    expect(
      choose([
        { host: 'b', kind: 'run' },
        { host: 'c', kind: 'build' },
        { host: 'a', kind: 'build' },
      ]),
    ).toMatchObject({ host: 'b' });
  });

  it('leaves out hosts that refused, and says why', () => {
    const refused = new Map([
      ['a', 'refused: full'],
      ['b', 'is gone'],
    ]);
    expect(
      chooseHost([seat('a'), seat('b')], [], { kind: 'run', need }, refused, seededRng(1)),
    ).toMatchObject({
      excluded: [
        { host: 'a', why: 'refused: full' },
        { host: 'b', why: 'is gone' },
      ],
    });
  });
});

describe('owners of one-offs', () => {
  it('are their own kind, and never counted by formations', () => {
    for (const owner of [oneOffOwner(wanted), oneOffOwner({ kind: 'run', app: 'hello', version: 3 })]) {
      expect(parseOwner(owner)).toBeUndefined();
      expect(parseOneOff(owner)?.app).toBe('hello');
    }
    expect(parseOneOff('app/hello/3/run')).toBeUndefined();
  });
});

describe('what the leader remembers of one-offs', () => {
  it('ends them 60 s after it saw them over, 15 min after it saw them not starting, and never while they run', () => {
    const memory = new OrphanMemory();
    const at = (now: number, states: Record<string, JobState | undefined>) =>
      memory
        .due(
          Object.entries(states).map(([job, state]) => ({ job, host: 'a', template: 't', state })),
          now,
        )
        .map(({ job }) => job);
    expect(at(0, { over: 'up', stuck: undefined, runs: 'up' })).toEqual([]);
    expect(at(1_000, { over: 'done', stuck: 'pulling', runs: 'up' })).toEqual([]);
    expect(at(60_999, { over: 'done', stuck: 'starting', runs: 'up' })).toEqual([]);
    expect(at(61_000, { over: 'done', stuck: 'starting', runs: 'up' })).toEqual(['over']);
    expect(at(900_000, { stuck: 'starting', runs: 'up' })).toEqual(['stuck']);
    // Forgotten with its claim: the same id would start anew.
    expect(at(900_001, { over: 'done' })).toEqual([]);
  });
});

describe('given a grid', () => {
  let grid: Grid;
  let ports: OneOffPorts;
  let faults: string[];
  beforeEach(async () => {
    grid = await new Grid().start(['a', 'b', 'c']);
    faults = [];
    const { picture, hosts } = grid.copies[0]!;
    const rng = seededRng(5);
    ports = {
      ...{ picture, hosts, clock: grid.clock, rng, log: silentLog, store: grid.store },
      sampi: {
        transact: async (request) => {
          const fault = faults.shift();
          if (fault === 'before') throw new FlynnError({ code: 'unreachable', message: 'no copy answers' });
          const answer = await transact(grid.store, request, { clock: grid.clock, rng });
          if (fault === 'after') throw new FlynnError({ code: 'timeout', message: 'the answer was lost' });
          return answer;
        },
        putTemplate: (input) => putTemplate(grid.store, input),
      },
    };
  });
  afterEach(() => grid.stop());
  const claims = async () =>
    (await grid.store.list(keys.claims)).entries.map(({ key, value }) => ({
      ...(JSON.parse(value) as Claim),
      job: key.split('/')[2]!,
    }));
  const templates = async () => (await grid.store.list(keys.templates)).entries.length;

  it('when answers are lost before and after the write, then the job is booked once', async () => {
    faults = ['before', 'after', 'after'];
    const placed = await grid.during(placeOneOff(ports, wanted));
    expect(await claims()).toMatchObject([{ job: placed.job, o: 'build/hello', m: 512, c: 100, w: 'run' }]);
    expect(placed.job.startsWith(`${placed.host}-`)).toBe(true);
  });

  it('when the chosen host fills up meanwhile, then the next one takes it; when all have, the template goes too', async () => {
    const full = async (host: string) => {
      const book = JSON.parse((await grid.store.get(keys.hostBook(host)))!.value) as object;
      await grid.store.put(keys.hostBook(host), JSON.stringify({ ...book, used: { m: 4096, c: 0 } }));
    };
    // The picture is stopped: it shows room that is not there any more.
    grid.copies[0]!.end.abort();
    await grid.clock.advance(50);
    await full('a');
    await full('b');
    expect((await grid.during(placeOneOff(ports, wanted))).host).toBe('c');
    await full('c');
    const before = await templates();
    await expect(grid.during(placeOneOff(ports, wanted))).rejects.toMatchObject({
      code: 'no_capacity',
      message: expect.stringMatching(/a refused: .*host a has 0 MiB free.*b refused.*c refused/) as string,
    });
    expect(await templates()).toBe(before);
  });

  it('when it is ended, then its claim and its template go, however often the answer is lost', async () => {
    const placed = await grid.during(placeOneOff(ports, wanted));
    faults = ['after', 'before'];
    await grid.during(endOneOff(ports, placed));
    await grid.clock.advance(500);
    expect(await claims()).toEqual([]);
    expect(await templates()).toBe(0);
  });

  it('when nobody ends a one-off that is over, then the leader does, and leaves one that runs alone', async () => {
    const over = await grid.during(placeOneOff(ports, wanted));
    const runs = await grid.during(placeOneOff(ports, { ...wanted, kind: 'run', version: 1 }));
    const status = {
      state: 'failed',
      owner: 'build/hello',
      template: over.template,
      starts: 1,
      since: grid.clock.now(),
      addresses: {},
    };
    await grid.store.put(keys.status(over.host, over.job), JSON.stringify(status));
    await grid.clock.advance(45_000);
    expect((await claims()).map(({ job }) => job).sort()).toEqual([over.job, runs.job].sort());
    await grid.clock.advance(45_000);
    expect((await claims()).map(({ job }) => job)).toEqual([runs.job]);
    expect(await grid.store.get(keys.template(over.template))).toBeUndefined();
    expect(await grid.store.get(keys.template(runs.template))).toBeDefined();
  });
});

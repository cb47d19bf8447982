// Judgement of hosts over time, as tables: when a host counts, when it is lost, when everything freezes.
import { describe, expect, it } from 'vitest';
import { judgeHosts, newHostsMemory, type HostsMemory } from '../../../src/lib/layer1/controller/hosts.js';

interface Look {
  at: number;
  leased?: Record<string, boolean>;
  suspects?: Record<string, number>;
  /** Who reports them; two when left out. */
  reporters?: string[];
  knownLost?: string[];
}

function look(
  memory: HostsMemory,
  names: string[],
  { at, leased = {}, suspects = {}, reporters = ['x', 'y'], knownLost = [] }: Look,
) {
  return judgeHosts(memory, {
    now: at,
    leased: new Map(names.map((name) => [name, leased[name] ?? true])),
    suspects: new Map(
      Object.entries(suspects).map(([name, since]) => [name, new Map(reporters.map((by) => [by, since]))]),
    ),
    knownLost: new Set(knownLost),
  });
}

function play(names: string[], looks: Look[]): HostsMemory {
  return looks.reduce((memory, item) => look(memory, names, item).memory, newHostsMemory(0));
}

const conditionOf = (memory: HostsMemory, name: string) => memory.hosts.get(name)?.condition;

describe('given a host that was seen', () => {
  it.each([
    [2_499, 'suspect'],
    [2_500, 'lost'],
  ])('when it is silent for %i ms, then it is %s', (ms, condition) => {
    const memory = play(['a', 'b', 'c'], [{ at: 0 }, { at: 1_000 + ms, suspects: { b: 1_000 } }]);
    expect(conditionOf(memory, 'b')).toBe(condition);
    expect(memory.hosts.get('b')?.usable).toBe(false);
  });

  it.each([
    ['nobody else says so', ['a', 'b', 'c'], {}, 'suspect'],
    ['nobody else says so, and there are only two hosts', ['a', 'b'], {}, 'lost'],
    ['nobody else says so, and its lease is gone', ['a', 'b', 'c'], { b: false }, 'lost'],
  ])('when it is silent for 5 s and %s, then of %o it is %s', (_why, names, leased, condition) => {
    const memory = play(names, [{ at: 0 }, { at: 6_000, suspects: { b: 1_000 }, reporters: ['x'], leased }]);
    expect(conditionOf(memory, 'b')).toBe(condition);
  });

  it('when it was declared lost and the second observer is gone, then it stays lost until it answers', () => {
    const silent = { suspects: { b: 1_000 } };
    const lost = play(
      ['a', 'b', 'c'],
      [{ at: 0 }, { at: 4_000, ...silent }, { at: 5_000, ...silent, reporters: ['x'] }],
    );
    expect(conditionOf(lost, 'b')).toBe('lost');
  });

  it('when it answers again, then it is present, and it is known since when', () => {
    const memory = play(['a', 'b'], [{ at: 0 }, { at: 5_000, suspects: { b: 1_000 } }, { at: 6_000 }]);
    expect(memory.hosts.get('b')).toMatchObject({ condition: 'present', usable: true, backAt: 6_000 });
  });

  it.each([
    [9_999, 'present'],
    [10_000, 'away'],
  ])('when only its lease is gone for %i ms, then it is %s, and takes no new jobs', (ms, condition) => {
    const gone = { a: false };
    const memory = play(
      ['a', 'b'],
      [{ at: 0 }, { at: 1_000, leased: gone }, { at: 1_000 + ms, leased: gone }],
    );
    expect(conditionOf(memory, 'a')).toBe(condition);
    expect(memory.hosts.get('a')?.usable).toBe(false);
  });
});

describe('given a controller that has just started', () => {
  it('when a host is silent from the start, then it is lost after 30 s only', () => {
    const dead = { leased: { b: false }, suspects: { b: 0 } };
    expect(
      conditionOf(
        play(
          ['a', 'b'],
          [
            { at: 0, ...dead },
            { at: 29_999, ...dead },
          ],
        ),
        'b',
      ),
    ).toBe('unseen');
    expect(
      conditionOf(
        play(
          ['a', 'b'],
          [
            { at: 0, ...dead },
            { at: 30_000, ...dead },
          ],
        ),
        'b',
      ),
    ).toBe('lost');
  });

  it('when it never sees the majority, then it freezes instead of moving everything', () => {
    const dead = { leased: { b: false, c: false }, suspects: { b: 0, c: 0 } };
    expect(
      play(
        ['a', 'b', 'c'],
        [
          { at: 0, ...dead },
          { at: 31_000, ...dead },
        ],
      ).frozen,
    ).toBe(true);
  });

  it('when the missing were declared lost by an earlier leader, then it does not freeze', () => {
    const dead = { leased: { b: false, c: false }, suspects: { b: 0, c: 0 }, knownLost: ['b', 'c'] };
    expect(
      play(
        ['a', 'b', 'c'],
        [
          { at: 0, ...dead },
          { at: 31_000, ...dead },
        ],
      ).frozen,
    ).toBe(false);
  });
});

describe('given five hosts', () => {
  const five = ['a', 'b', 'c', 'd', 'e'];

  it('when three go missing within 30 s, then it freezes, and thaws when three are there again', () => {
    const three = { a: 1_000, b: 1_000, c: 1_000 };
    const frozen = play(five, [{ at: 0 }, { at: 4_000, suspects: three }]);
    expect(frozen.frozen).toBe(true);
    const still = look(frozen, five, { at: 90_000, suspects: three });
    expect(still.memory.frozen).toBe(true);
    const thawed = look(still.memory, five, { at: 91_000, suspects: { a: 1_000, b: 1_000 } });
    expect(thawed.freeze).toBe('ends');
  });

  it('when three go missing one after the other, slowly, then it does not freeze', () => {
    const memory = play(five, [
      { at: 0 },
      { at: 10_000, suspects: { a: 1_000 } },
      { at: 60_000, suspects: { a: 1_000, b: 50_000 } },
      { at: 120_000, suspects: { a: 1_000, b: 50_000, c: 110_000 } },
    ]);
    expect(memory.frozen).toBe(false);
  });

  it('when all others are silent for a moment, then nothing freezes before one is lost', () => {
    const hiccup = { b: 1_000, c: 1_000, d: 1_000, e: 1_000 };
    expect(play(five, [{ at: 0 }, { at: 2_000, suspects: hiccup }, { at: 2_500 }]).frozen).toBe(false);
  });
});

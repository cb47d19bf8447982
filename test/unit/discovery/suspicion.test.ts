// Suspicion as a value: which sequences of answers make a host suspect, and since when.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  endpoints,
  nextProbeAt,
  observe,
  probeInterval,
  suspectSince,
  unasked,
  type Endpoint,
  type HostState,
} from '../../../src/lib/layer0/discovery/suspicion.js';

const after = (...steps: [Endpoint, boolean, number][]): HostState =>
  steps.reduce((state, [endpoint, answered, at]) => observe(state, endpoint, answered, at), unasked);

describe('suspicion', () => {
  it('given two misses of both endpoints, then the host is suspect since the later of the first misses', () => {
    const state = after(
      ['agent', false, 100],
      ['router', false, 130],
      ['agent', false, 300],
      ['router', false, 330],
    );
    expect(suspectSince(state)).toBe(130);
    expect(state.seen).toBe(false);
  });

  it('given one process that is down, then the host is not suspect', () => {
    const state = after(['agent', false, 1], ['agent', false, 2], ['agent', false, 3], ['router', true, 4]);
    expect(suspectSince(state)).toBeUndefined();
    expect(suspectSince(observe(state, 'router', false, 5))).toBeUndefined();
  });

  it('given a suspect host, when either endpoint answers, then it is not suspect any more', () => {
    const gone = after(['agent', false, 1], ['router', false, 1], ['agent', false, 2], ['router', false, 2]);
    for (const endpoint of endpoints) {
      const back = observe(gone, endpoint, true, 3);
      expect(suspectSince(back)).toBeUndefined();
      expect(back.seen).toBe(true);
    }
  });

  it('given any answers, then a host is suspect exactly when the last two probes of both endpoints were missed', () => {
    const step = fc.tuple(fc.constantFrom<Endpoint>('agent', 'router'), fc.boolean());
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const state = after(...steps.map(([e, a], at): [Endpoint, boolean, number] => [e, a, at]));
        const lastTwo = (endpoint: Endpoint) => steps.filter(([e]) => e === endpoint).slice(-2);
        const expected = endpoints.every((e) => lastTwo(e).length === 2 && lastTwo(e).every(([, a]) => !a));
        expect(suspectSince(state) !== undefined).toBe(expected);
        expect(state.seen).toBe(steps.some(([, answered]) => answered));
      }),
    );
  });

  it('given many hosts, then the interval grows so that 1,000 probes per second are never passed', () => {
    expect(probeInterval(3)).toBe(250);
    expect(probeInterval(125)).toBe(250);
    expect(probeInterval(1000)).toBe(2000);
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 100_000 }), (n) => (2 * n * 1000) / probeInterval(n) <= 1000),
    );
  });

  it('given a first miss, then it is asked again after the timeout, and otherwise after the interval', () => {
    expect(nextProbeAt({ misses: 0 }, 1000, 250)).toBe(1250);
    expect(nextProbeAt({ misses: 1, silentSince: 1000 }, 1000, 2000)).toBe(1200);
    expect(nextProbeAt({ misses: 2, silentSince: 1000 }, 1000, 2000)).toBe(3000);
  });
});

// A server is registered when its port answers, told of again and again, and withdrawn when it answers no more.
import { beforeEach, describe, expect, it } from 'vitest';
import { FlynnError } from '../../../src/lib/api/errors.js';
import { keepRegistered } from '../../../src/lib/layer0/sdutil/keep.js';
import { addressesToAsk } from '../../../src/lib/layer0/sdutil/port-check.js';
import { fakeClock, type FakeClock } from '../../fakes/clock.js';

let clock: FakeClock;
let answer: 'yes' | 'no' | 'loopback';
let error: FlynnError | undefined;
let calls: string[];
let said: string[];
beforeEach(() => {
  clock = fakeClock();
  [answer, error, calls, said] = ['no', undefined, [], []];
});

const keep = (signal: AbortSignal): Promise<void> =>
  keepRegistered(
    {
      clock,
      client: {
        register: (service, port) => {
          calls.push(`register ${clock.mono()}`);
          return error
            ? Promise.reject(error)
            : Promise.resolve({ service, port: port + 1, id: 'x', address: '10.0.0.1', ttlMs: 10_000 });
        },
        unregister: () => Promise.resolve(void calls.push(`unregister ${clock.mono()}`)),
      },
      answers: () => Promise.resolve(answer),
      say: (text) => said.push(text),
    },
    { name: 'www', port: 8080 },
    signal,
  );

describe('keeping a server registered', () => {
  it('given its port does not answer yet, then it is registered within 100 ms of its first answer, and told every 4 s', async () => {
    const over = new AbortController();
    const kept = keep(over.signal);
    await clock.advance(950);
    expect(calls).toEqual([]);
    answer = 'yes';
    await clock.advance(12_000);
    expect(calls).toEqual(['register 1000', 'register 5000', 'register 9000']);
    over.abort();
    await kept;
    expect(clock.pending).toBe(0);
  });

  it('given two checks in a row fail, then it is withdrawn, and registered again when it answers', async () => {
    const over = new AbortController();
    answer = 'yes';
    const kept = keep(over.signal);
    await clock.advance(1_000);
    answer = 'no';
    await clock.advance(2_000);
    expect(calls).toHaveLength(1);
    await clock.advance(2_000);
    expect(calls.at(-1)).toBe('unregister 4000');
    answer = 'yes';
    await clock.advance(2_000);
    expect(calls.at(-1)).toMatch(/^register/);
    over.abort();
    await kept;
  });

  it('given it answers on loopback alone, then it is not registered, and that is said', async () => {
    const over = new AbortController();
    answer = 'loopback';
    const kept = keep(over.signal);
    await clock.advance(1_000);
    expect(calls).toEqual([]);
    expect(said[0]).toContain('127.0.0.1 alone');
    over.abort();
    await kept;
  });

  it('given discovery is away, then it tries on; given it may never be, then it ends with that error', async () => {
    const over = new AbortController();
    answer = 'yes';
    error = new FlynnError({ code: 'unreachable', message: 'away' });
    const kept = keep(over.signal);
    kept.catch(() => undefined);
    await clock.advance(3_000);
    expect(calls).toHaveLength(7);
    error = new FlynnError({ code: 'forbidden', message: 'no' });
    await clock.advance(1_000);
    await expect(kept).rejects.toMatchObject({ code: 'forbidden' });
  });
});

describe('addresses to ask', () => {
  const of = (address: string, family: 'IPv4' | 'IPv6', internal = false, scopeid = 0) =>
    ({ address, family, internal, scopeid, netmask: '', mac: '', cidr: null }) as never;
  const all = {
    lo: [of('127.0.0.1', 'IPv4', true)],
    eth0: [of('fd00::2', 'IPv6'), of('fe80::1', 'IPv6', false, 2), of('172.17.0.2', 'IPv4')],
  };

  it('are those that others reach, or those that were named', () => {
    expect(addressesToAsk({}, all)).toEqual(['172.17.0.2', 'fd00::2']);
    expect(addressesToAsk({}, { lo: all.lo })).toEqual(['127.0.0.1']);
    expect(addressesToAsk({ address: '10.9.9.9' }, all)).toEqual(['10.9.9.9']);
    expect(addressesToAsk({ iface: 'eth0' }, all)).toEqual(['fd00::2', '172.17.0.2']);
    expect(() => addressesToAsk({ iface: 'x' }, all)).toThrow('no interface x');
  });
});

// Which address of a host the others use.
import { describe, expect, it } from 'vitest';
import { candidates, chooseAddresses, isPrivate } from '../../../src/lib/operator/addresses.js';

describe('isPrivate', () => {
  it.each([
    ['10.1.2.3', true],
    ['172.15.0.1', false],
    ['172.16.0.1', true],
    ['172.32.0.1', false],
    ['192.168.1.1', true],
    ['100.64.0.1', true],
    ['100.128.0.1', false],
    ['203.0.113.7', false],
    ['fd00::1', true],
    ['2001:db8::1', false],
  ])('%s: %s', (address, expected) => expect(isPrivate(address)).toBe(expected));
});

describe('candidates', () => {
  it('leaves out loopback, link-local and the bridges of containers; private first, IPv4 first', () => {
    const on = (name: string, address: string) => ({ interface: name, address, prefix: 24 });
    expect(
      candidates([
        on('lo', '127.0.0.1'),
        on('eth0', '2001:db8::1'),
        on('eth0', '203.0.113.1'),
        on('eth1', 'fd00::1'),
        on('eth1', '10.0.0.1'),
        on('eth1', 'fe80::1'),
        on('docker0', '172.17.0.1'),
        on('br-1234', '172.18.0.1'),
        on('veth1', '10.9.9.9'),
      ]),
    ).toEqual(['10.0.0.1', 'fd00::1', '203.0.113.1', '2001:db8::1']);
  });
});

describe('chooseAddresses', () => {
  const reach = (table: Record<string, string[]>) =>
    new Map(Object.entries(table).map(([k, v]) => [k, new Set(v)]));

  it('takes the private address that everybody reaches', () => {
    const hosts = [
      { name: 'a', candidates: ['10.0.0.1', '203.0.113.1'] },
      { name: 'b', candidates: ['10.0.0.2', '203.0.113.2'] },
    ];
    const chosen = chooseAddresses(
      hosts,
      reach({ a: ['10.0.0.2', '203.0.113.2'], b: ['10.0.0.1', '203.0.113.1'] }),
    );
    expect(chosen.map((c) => c.address)).toEqual(['10.0.0.1', '10.0.0.2']);
  });

  it('given a private address that nobody reaches, falls back to the public one', () => {
    const hosts = [
      { name: 'a', candidates: ['10.0.0.1', '203.0.113.1'] },
      { name: 'b', candidates: ['192.168.0.2', '203.0.113.2'] },
    ];
    const chosen = chooseAddresses(hosts, reach({ a: ['203.0.113.2'], b: ['203.0.113.1'] }));
    expect(chosen.map((c) => c.address)).toEqual(['203.0.113.1', '203.0.113.2']);
  });

  it('given the same address on two hosts, does not take it: it is a bridge of theirs', () => {
    const hosts = [
      { name: 'a', candidates: ['192.168.122.1', '10.0.0.1'] },
      { name: 'b', candidates: ['192.168.122.1', '10.0.0.2'] },
    ];
    const all = ['192.168.122.1', '10.0.0.1', '10.0.0.2'];
    expect(chooseAddresses(hosts, reach({ a: all, b: all })).map((c) => c.address)).toEqual([
      '10.0.0.1',
      '10.0.0.2',
    ]);
  });

  it('names who does not reach a host', () => {
    const hosts = ['a', 'b', 'c'].map((name, i) => ({ name, candidates: [`10.0.0.${i + 1}`] }));
    const chosen = chooseAddresses(
      hosts,
      reach({ a: ['10.0.0.2'], b: ['10.0.0.1', '10.0.0.3'], c: ['10.0.0.1', '10.0.0.2'] }),
    );
    expect(chosen.map((c) => c.unreachedFrom)).toEqual([[], [], ['a']]);
  });

  it('given an address by the operator, takes it and still says who does not reach it', () => {
    const hosts = [
      { name: 'a', candidates: ['10.0.0.1'], given: '10.8.0.1' },
      { name: 'b', candidates: ['10.0.0.2'] },
    ];
    const [a] = chooseAddresses(hosts, reach({ a: ['10.0.0.2'], b: [] }));
    expect(a).toMatchObject({ address: '10.8.0.1', unreachedFrom: ['b'] });
  });

  it('given one host, its first address will do; given none, says so', () => {
    expect(chooseAddresses([{ name: 'a', candidates: ['10.0.0.1'] }], new Map())[0]?.address).toBe(
      '10.0.0.1',
    );
    expect(chooseAddresses([{ name: 'a', candidates: [] }], new Map())[0]?.address).toBeUndefined();
  });
});

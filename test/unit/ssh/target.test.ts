// Targets as people write them.
import { describe, expect, it } from 'vitest';
import { describeTarget, hostPort, parseTarget } from '../../../src/lib/ssh/target.js';

describe('parseTarget', () => {
  it.each([
    ['example.org', { host: 'example.org' }],
    ['root@203.0.113.7', { user: 'root', host: '203.0.113.7' }],
    ['n1=root@h:2222', { name: 'n1', user: 'root', host: 'h', port: 2222 }],
    ['n1=h', { name: 'n1', host: 'h' }],
    ['2001:db8::7', { host: '2001:db8::7' }],
    ['root@[2001:db8::7]', { user: 'root', host: '2001:db8::7' }],
    ['a=root@[fe80::1%eth0]:22', { name: 'a', user: 'root', host: 'fe80::1%eth0', port: 22 }],
    ['me@corp@jump', { user: 'me@corp', host: 'jump' }],
    [' host_1 ', { host: 'host_1' }],
  ])('given %j, then it is read', (text, spec) => {
    expect(parseTarget(text)).toEqual(spec);
  });

  it.each([
    '',
    'root@',
    '=h',
    'h:',
    'h:0',
    'h:65536',
    'h:22x',
    '-oProxyCommand=x',
    'a b',
    '[h]:22',
    'r;m@h',
    '-l@h',
    '[::1',
    'h/x',
  ])('given %j, then it is refused with an example', (text) => {
    expect(() => parseTarget(text)).toThrowError(expect.objectContaining({ code: 'usage' }));
  });
});

describe('messages', () => {
  it('given an IPv6 address, then it stands in brackets', () => {
    expect(hostPort({ host: '::1', port: 22 })).toBe('[::1]:22');
    expect(describeTarget({ host: 'h', port: 22, user: 'u' })).toBe('u@h:22');
    expect(describeTarget({ host: 'h', port: 22, user: 'u', name: 'n' })).toBe('n (u@h:22)');
  });
});

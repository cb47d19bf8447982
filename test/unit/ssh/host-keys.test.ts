// Known hosts, and the verdict on a key.
import { createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  fingerprint,
  hostKeyAlgorithms,
  hostKeyOf,
  judge,
  knownTypes,
  type Trust,
} from '../../../src/lib/ssh/host-keys.js';
import { formatKnownHost, knownHostName, parseKnownHosts } from '../../../src/lib/ssh/known-hosts.js';
import { matchesPatternList } from '../../../src/lib/ssh/patterns.js';

/** A wire blob of the given type with some body. */
const blob = (type: string, body: string): Buffer => {
  const parts = [Buffer.from(type), Buffer.from(body)];
  return Buffer.concat(parts.flatMap((part) => [Buffer.from([0, 0, 0, part.length]), part]));
};
const good = hostKeyOf(blob('ssh-ed25519', 'good'));
const other = hostKeyOf(blob('ssh-ed25519', 'other'));
const rsa = hostKeyOf(blob('ssh-rsa', 'rsa'));
const trust = (lines: string[], more: Partial<Trust> = {}): Trust => ({
  accepted: [],
  entries: parseKnownHosts(lines.join('\n'), 'kh'),
  name: 'host.example',
  ...more,
});
const line = (hosts: string, key = good): string => `${hosts} ${key.type} ${key.blob} comment`;

describe('a host key', () => {
  it('given a wire blob, then type and fingerprint are OpenSSH’s', () => {
    expect(good.type).toBe('ssh-ed25519');
    expect(good.fingerprint).toMatch(/^SHA256:[A-Za-z0-9+/]{43}$/);
    // ssh-keygen -lf on this key prints this fingerprint.
    const real = 'AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl';
    expect(fingerprint(Buffer.from(real, 'base64'))).toBe(
      'SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU',
    );
  });
});

describe('judge', () => {
  it.each([
    ['its plain name', line('host.example')],
    ['a list', line('other,host.example,10.0.0.1')],
    ['a wildcard', line('*.example')],
    ['another case', line('HOST.Example')],
    ['a tab between fields', line('host.example').replaceAll(' ', '\t')],
  ])('given the key under %s, then it is trusted', (_what, known) => {
    expect(judge(good, trust(['# comment', '', known]))).toEqual({ kind: 'trusted' });
  });

  it.each([
    ['nothing', ''],
    ['another host', line('host2.example')],
    ['a negated pattern', line('!host.example,*.example')],
    ['a certificate authority only', `@cert-authority ${line('host.example')}`],
    ['an unknown marker', `@strange ${line('host.example')}`],
    ['a cut line', 'host.example ssh-ed25519'],
    ['a dot that is no wildcard', line('hostXexample')],
    ['the name with another port', line('[host.example]:2222')],
  ])('given %s, then it is unknown', (_what, known) => {
    expect(judge(good, trust([known]))).toEqual({ kind: 'unknown' });
  });

  it('given a hashed entry, then it is found, with its port too', () => {
    const salt = Buffer.from('0123456789abcdefghij');
    const hash = (name: string) =>
      `|1|${salt.toString('base64')}|${createHmac('sha1', salt).update(name).digest('base64')}`;
    expect(judge(good, trust([line(hash('host.example'))]))).toEqual({ kind: 'trusted' });
    const at = { name: knownHostName('HOST.example', 2222) };
    expect(judge(good, trust([line(hash('[host.example]:2222'))], at))).toEqual({ kind: 'trusted' });
    expect(judge(good, trust([line(hash('[host.example]:2222'))])).kind).toBe('unknown');
    expect(judge(good, trust([line('|2|x|y')])).kind).toBe('unknown');
  });

  it('given another key of the same or of another type, then it has changed, with what was expected and where', () => {
    expect(judge(other, trust([line('host.example')]))).toEqual({
      kind: 'changed',
      expected: [`${good.fingerprint} (ssh-ed25519)`],
      origins: ['kh:1'],
    });
    expect(judge(rsa, trust([line('host.example')])).kind).toBe('changed');
  });

  it('given several keys of one type, then any of them is good', () => {
    expect(judge(good, trust([line('host.example', other), line('host.example')])).kind).toBe('trusted');
  });

  it('given a revoked key, then it is refused even when it is known, pinned and confirmed', () => {
    const lines = [line('host.example'), `@revoked ${line('*')}`];
    const all = { pinned: [good.fingerprint], accepted: [good.fingerprint] };
    expect(judge(good, trust(lines, all))).toEqual({ kind: 'revoked', origin: 'kh:2' });
    expect(judge(other, trust([`@revoked ${line('*')}`])).kind).toBe('unknown');
  });

  it('given pins, then they alone decide', () => {
    const known = [line('host.example')];
    expect(judge(good, trust(known, { pinned: [other.fingerprint] })).kind).toBe('mismatch');
    expect(judge(good, trust([], { pinned: [`${good.fingerprint}=`] })).kind).toBe('trusted');
    expect(judge(good, trust([], { pinned: [] })).kind).toBe('mismatch');
    expect(judge(good, trust([], { pinned: [other.fingerprint], accepted: [good.fingerprint] })).kind).toBe(
      'trusted',
    );
  });
});

describe('algorithms', () => {
  it('given known types, then they come first, and none uses SHA-1', () => {
    const found = hostKeyAlgorithms(knownTypes(trust([line('host.example', rsa), `@revoked ${line('*')}`])));
    expect(found.slice(0, 3)).toEqual(['rsa-sha2-512', 'rsa-sha2-256', 'ssh-ed25519']);
    expect(found).not.toContain('ssh-rsa');
    expect(hostKeyAlgorithms([])[0]).toBe('ssh-ed25519');
  });

  it('given excluded types, then nothing of them is asked for', () => {
    expect(hostKeyAlgorithms([], ['ssh-ed25519', 'ssh-rsa'])).toEqual([
      'ecdsa-sha2-nistp256',
      'ecdsa-sha2-nistp384',
      'ecdsa-sha2-nistp521',
    ]);
  });
});

describe('writing', () => {
  it('given a key, then the line it makes is read back as trusted', () => {
    const entries = parseKnownHosts(formatKnownHost('Host.example', 2222, good));
    expect(judge(good, { accepted: [], entries, name: '[host.example]:2222' }).kind).toBe('trusted');
  });

  it('given patterns, then a question mark is exactly one character', () => {
    expect(matchesPatternList(['h?st'], 'host')).toBe(true);
    expect(matchesPatternList(['h?st'], 'hst')).toBe(false);
    expect(matchesPatternList(['!host'], 'other')).toBe(false);
  });
});

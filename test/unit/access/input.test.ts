// What people type, where keys come from, and addresses as text.
import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { appOfUrl } from '../../../src/lib/access/app.js';
import { formatGateway, parseGateway } from '../../../src/lib/access/context.js';
import { parseCounts, parseEnv, readAll } from '../../../src/lib/access/input.js';
import { keysFrom } from '../../../src/lib/access/open.js';

describe('counts', () => {
  it('given types and counts, when read, then they are numbers; a type named twice is a mistake', () => {
    expect(parseCounts(['web=3', 'worker=0'])).toEqual({ web: 3, worker: 0 });
    expect(parseCounts([])).toEqual({});
    expect(() => parseCounts(['web=1', 'web=2'])).toThrow('named twice');
    expect(() => parseCounts(['__proto__=1'])).toThrow('process type');
    expect(() => parseCounts(['web=٣'])).toThrow('whole number');
  });
});

describe('variables', () => {
  const never = (): Promise<string> => Promise.reject(new Error('standard input was read'));

  it('given values with =, spaces or nothing, when read, then they stay as they are', async () => {
    expect(await parseEnv(['URL=a=b?c=d', 'EMPTY=', 'S= x '], never)).toEqual({
      URL: 'a=b?c=d',
      EMPTY: '',
      S: ' x ',
    });
  });

  it('given -, when read, then the value is standard input without its last newline only', async () => {
    expect(await parseEnv(['T=-'], () => Promise.resolve('a\n\n'))).toEqual({ T: 'a\n' });
  });

  it('given more input than allowed, when read, then it is refused; characters that span chunks stay whole', async () => {
    await expect(readAll(Readable.from([Buffer.alloc(11)]), 10)).rejects.toMatchObject({ code: 'too_large' });
    const bytes = Buffer.from('äö');
    expect(await readAll(Readable.from([bytes.subarray(0, 1), bytes.subarray(1)]), 10)).toBe('äö');
  });
});

describe('addresses', () => {
  it.each([
    ['host:2222', { host: 'host', port: 2222 }],
    ['10.0.0.1', { host: '10.0.0.1', port: 2222 }],
    ['[2001:db8::1]:22', { host: '2001:db8::1', port: 22 }],
  ])('given %s, when read and written, then nothing is lost', (text, address) => {
    expect(parseGateway(text)).toEqual(address);
    expect(parseGateway(formatGateway(address))).toEqual(address);
  });

  it.each(['', 'a:b:c', 'host:0', 'host:70000', 'ho st:22', 'host:'])(
    'given %j, when read, then it is refused',
    (text) => {
      expect(() => parseGateway(text)).toThrow('address of a gateway');
    },
  );

  it.each([
    ['ssh://git@h:2222/hello.git', 'hello'],
    ['ssh://git@h/hello', 'hello'],
    ['git@h:hello.git', 'hello'],
    ['ssh://git@h:2222/hello.git/', 'hello'],
  ])('given the remote %s, when read, then it leads to %s', (url, app) => {
    expect(appOfUrl(url)).toBe(app);
  });
});

describe('which keys are offered', () => {
  it('given FLYNN_SSH_KEY, when offered, then it alone is, with newlines as they should be', () => {
    const text = '-----BEGIN OPENSSH PRIVATE KEY-----\\nabc\\n-----END OPENSSH PRIVATE KEY-----';
    expect(keysFrom({ FLYNN_SSH_KEY: text }, {})).toEqual({
      keyTexts: ['-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY-----\n'],
      agent: false,
      defaultIdentities: false,
    });
    expect(() => keysFrom({ FLYNN_SSH_KEY: '~/.ssh/id' }, {})).toThrow('not the text of a private key');
  });

  it('given none, when offered, then the identity of the cluster comes before the default ones', () => {
    expect(keysFrom({}, { identity: '/k' })).toEqual({ identityFiles: ['/k'], defaultIdentities: true });
    expect(keysFrom({ FLYNN_SSH_KEY: '' }, {})).toEqual({ defaultIdentities: true });
  });
});

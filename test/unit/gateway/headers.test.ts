// What the gateway tells a controller about the person, and what it lets nobody tell.
import { describe, expect, it } from 'vitest';
import type { SshKey } from '../../../src/lib/api/app.js';
import { headersFor } from '../../../src/lib/layer1/gateway/proxy.js';
import { fingerprintOf } from '../../../src/lib/layer1/gateway/keys.js';

const key: SshKey = {
  fingerprint: 'SHA256:abc',
  type: 'ssh-ed25519',
  blob: '',
  name: 'ada',
  role: 'developer',
  apps: ['one', 'two'],
  createdAt: 1,
};

describe('headers', () => {
  it("given a person's own claims, when passed on, then ours stand in their place", () => {
    const headers = headersFor({ 'x-flynn-role': 'admin', 'x-flynn-new': 'x', accept: 'a', host: 'h' }, key);
    expect(headers).toEqual({
      accept: 'a',
      host: 'controller',
      'x-flynn-key': 'SHA256:abc',
      'x-flynn-name': 'ada',
      'x-flynn-role': 'developer',
      'x-flynn-apps': 'one,two',
    });
  });

  it('given headers of one hop, also those named by Connection, when passed on, then they stay behind', () => {
    const headers = headersFor(
      {
        connection: 'keep-alive, X-Secret',
        'x-secret': '1',
        te: 'trailers',
        upgrade: 'x',
        'content-length': '3',
      },
      key,
    );
    expect(Object.keys(headers)).not.toContain('x-secret');
    expect(Object.keys(headers)).not.toContain('te');
    expect(headers['content-length']).toBe('3');
  });

  it('given a name that would split headers, when passed on, then it cannot', () => {
    const headers = headersFor({}, { ...key, name: 'a\r\nx-flynn-role: admin\u0000é' });
    expect(headers['x-flynn-name']).toBe('a??x-flynn-role: admin??');
    expect(headers['x-flynn-role']).toBe('developer');
  });
});

describe('fingerprints', () => {
  it('given a key, when hashed, then it is what ssh-keygen prints', () => {
    const blob = 'AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl';
    // github.com's published host key.
    expect(fingerprintOf(Buffer.from(blob, 'base64'))).toBe(
      'SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU',
    );
  });
});

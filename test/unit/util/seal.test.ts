// Sealed values open with the right key and context only; wrapped keys open on their host only.
import { describe, expect, it } from 'vitest';
import { newKey, newWrapKeys, seal, unseal, unwrapKey, wrapKey } from '../../../src/lib/util/seal.js';

describe('seal', () => {
  it('opens with its key and its context', () => {
    const key = newKey();
    expect(unseal(key, seal(key, 'DATABASE_URL=x', 'releases/hello/1'), 'releases/hello/1').toString()).toBe(
      'DATABASE_URL=x',
    );
  });

  it('does not open elsewhere, with another key, or changed', () => {
    const key = newKey();
    const sealed = seal(key, 'secret', 'here');
    expect(() => unseal(key, sealed, 'there')).toThrow();
    expect(() => unseal(newKey(), sealed, 'here')).toThrow();
    const bytes = Buffer.from(sealed, 'base64');
    bytes[bytes.length - 20]! ^= 1;
    expect(() => unseal(key, bytes.toString('base64'), 'here')).toThrow();
    expect(() => unseal(key, 'c2hvcnQ=', 'here')).toThrow('too short');
  });
});

describe('wrapKey', () => {
  it('gives the key to its host and to no other', () => {
    const [host, other, key] = [newWrapKeys(), newWrapKeys(), newKey()];
    const wrapped = wrapKey(host.publicKey, key);
    expect(wrapped.length).toBeLessThanOrEqual(108);
    expect(unwrapKey(host.privateKey, wrapped)).toEqual(key);
    expect(() => unwrapKey(other.privateKey, wrapped)).toThrow();
  });
});

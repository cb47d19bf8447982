// The small parts: semaphore, line splitting, bounded output, key outlines.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BoundedText, LineSplitter } from '../../../src/lib/ssh/collect.js';
import { remoteLimit } from '../../../src/lib/ssh/exec.js';
import { outlineKey, readKey } from '../../../src/lib/ssh/key-file.js';
import { Semaphore } from '../../../src/lib/ssh/semaphore.js';

/** Cuts a buffer at the given places. */
const cut = (bytes: Buffer, places: number[]): Buffer[] => {
  const at = [0, ...places.map((p) => p % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  return at.slice(1).map((end, i) => bytes.subarray(at[i], end));
};

describe('Semaphore', () => {
  it('given two slots, then a third waits its turn and giving back twice frees one', async () => {
    const gate = new Semaphore(2);
    const [first] = await Promise.all([gate.acquire(), gate.acquire()]);
    const order: number[] = [];
    const third = gate.acquire().then(() => order.push(3));
    const fourth = gate.acquire().then(() => order.push(4));
    first();
    first();
    await third;
    await new Promise((resolve) => setImmediate(resolve));
    expect(order).toEqual([3]);
    void fourth;
  });

  it('given an abort while waiting, then the reason is thrown and the place is given up', async () => {
    const gate = new Semaphore(1);
    const release = await gate.acquire();
    const aborting = new AbortController();
    const waiting = gate.acquire(aborting.signal);
    aborting.abort(new Error('no patience'));
    await expect(waiting).rejects.toThrow('no patience');
    release();
    await expect(gate.acquire(AbortSignal.abort(new Error('late')))).rejects.toThrow('late');
    expect(typeof (await gate.acquire())).toBe('function');
  });
});

describe('lines', () => {
  it('given any text cut anywhere, then the lines are the same', () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ unit: 'grapheme' }).map((s) => s.replaceAll(/[\r\n]/g, ''))),
        fc.array(fc.nat()),
        (lines, places) => {
          const got: string[] = [];
          const splitter = new LineSplitter((line) => got.push(line));
          for (const piece of cut(Buffer.from(lines.map((l) => `${l}\n`).join('')), places))
            splitter.add(piece);
          splitter.end();
          expect(got).toEqual(lines);
        },
      ),
    );
  });

  it('given no newline for long, then pieces are handed out, and CRLF ends are stripped', () => {
    const got: string[] = [];
    const splitter = new LineSplitter((line) => got.push(line));
    splitter.add(Buffer.from('a\r\n'));
    splitter.add(Buffer.alloc(70_000, 'x'));
    expect(got).toHaveLength(2);
    expect(got[0]).toBe('a');
  });

  it('given more than the limit, then the head is kept and it says so', () => {
    const text = new BoundedText(3);
    text.add(Buffer.from('ab'));
    expect(text.truncated).toBe(false);
    text.add(Buffer.from('cd'));
    text.add(Buffer.from('e'));
    expect(text.toString()).toBe('abc');
    expect(text.truncated).toBe(true);
  });
});

describe('remote limit', () => {
  it('given a deadline, then the host’s own limit comes later', () => {
    expect(remoteLimit(300)).toEqual(['timeout', '-k', '5', '3']);
    expect(remoteLimit()[3]).toBe('122');
  });
});

describe('keys', () => {
  it('given texts that are no private keys, then they are usage errors that name the file', () => {
    for (const text of [
      '',
      'nonsense',
      '-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----',
    ])
      expect(() => readKey(text, '/keys/id')).toThrowError(
        expect.objectContaining({ code: 'usage', message: expect.stringContaining('/keys/id') }),
      );
    const pub = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl x';
    expect(() => readKey(pub, 'id.pub')).toThrowError(/public key/);
  });

  it('given marks of encryption, then they are seen without a passphrase', () => {
    expect(outlineKey('-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n').encrypted).toBe(true);
    expect(outlineKey('-----BEGIN ENCRYPTED PRIVATE KEY-----\n').encrypted).toBe(true);
    expect(outlineKey('PuTTY-User-Key-File-2: ssh-rsa\nEncryption: none\n').encrypted).toBe(false);
    expect(outlineKey('PuTTY-User-Key-File-2: ssh-rsa\nEncryption: aes256-cbc\n').encrypted).toBe(true);
    expect(outlineKey('whatever')).toEqual({ encrypted: false });
  });
});

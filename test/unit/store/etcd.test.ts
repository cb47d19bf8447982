// The pure parts of the etcd adapter: what an error means for a write, and ids and ranges on the wire.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EtcdCalls } from '../../../src/lib/store/etcd-calls.js';
import { NotSentError, type Endpoint } from '../../../src/lib/store/etcd-endpoint.js';
import { judge, storeError, type GrpcError } from '../../../src/lib/store/etcd-errors.js';
import { idFromWire, idToWire, rangeEnd, rangeStart, toEvent } from '../../../src/lib/store/etcd-wire.js';

const grpc = (code: number, details = ''): GrpcError => Object.assign(new Error(details), { code, details });

describe('judging an error', () => {
  it.each([
    [grpc(14, 'etcdserver: no leader'), 'not-applied', 'no_quorum'],
    [grpc(14, 'etcdserver: request timed out'), 'unknown', 'no_quorum'],
    [grpc(14, 'etcdserver: leader changed'), 'unknown', 'no_quorum'],
    [grpc(14, 'Connection dropped'), 'unknown', 'no_quorum'],
    [grpc(4), 'unknown', 'no_quorum'],
    [grpc(2), 'unknown', 'no_quorum'],
    [grpc(8, 'etcdserver: too many requests'), 'not-applied', 'no_quorum'],
    [grpc(8, 'etcdserver: mvcc: database space exceeded'), 'refused', 'no_capacity'],
    [grpc(8, 'Received message larger than max'), 'refused', 'too_large'],
    [grpc(3, 'etcdserver: request is too large'), 'refused', 'too_large'],
    [grpc(3, 'etcdserver: duplicate key given in txn request'), 'refused', 'invalid'],
    [grpc(5), 'refused', 'not_found'],
    [grpc(7), 'refused', 'forbidden'],
    [grpc(9), 'refused', 'conflict'],
    [grpc(11), 'refused', 'compacted'],
  ])('given %s, then it is %s with code %s', (error, kind, code) => {
    expect(judge(error)).toEqual({ kind, code });
  });

  it('given any code, when an error of ours is made, then it names the object, the endpoint and a next command', () => {
    for (const code of ['unreachable', 'no_quorum', 'ambiguous', 'no_capacity', 'invalid'] as const) {
      const error = storeError(code, 'put a/b', ['https://h1:2379'], grpc(14, 'why'));
      expect(error).toMatchObject({ code });
      expect(error.message).toContain('put a/b');
      expect(error.hint).toBeTruthy();
    }
  });
});

describe('calls over three endpoints', () => {
  const urls = ['http://one:1', 'http://two:1', 'http://three:1'];
  const run = async (kind: 'read' | 'write', answers: (Error | string)[]) => {
    const calls = new EtcdCalls({ endpoints: urls });
    const asked: string[] = [];
    const work = (endpoint: Endpoint): Promise<string> => {
      asked.push(endpoint.url);
      const answer = answers[asked.length - 1] ?? 'too many tries';
      return typeof answer === 'string' ? Promise.resolve(answer) : Promise.reject(answer);
    };
    const outcome = await calls.each('it', kind, undefined, work).catch((e: { code: string }) => e.code);
    const next = calls.endpoint().url;
    calls.close();
    return { outcome, asked, next };
  };

  it('given a failed first, when read, then the next is asked and stays the one in use', async () => {
    expect(await run('read', [grpc(4), 'ok'])).toEqual({
      outcome: 'ok',
      asked: urls.slice(0, 2),
      next: urls[1],
    });
  });

  it('given an answer that was lost, when written, then no other is asked and it is ambiguous', async () => {
    expect(await run('write', [grpc(4), 'ok'])).toEqual({
      outcome: 'ambiguous',
      asked: urls.slice(0, 1),
      next: urls[1],
    });
  });

  it('given requests that were surely not applied, when written, then the next is asked', async () => {
    const answers = [new NotSentError('x'), grpc(14, 'etcdserver: no leader'), 'ok'];
    expect(await run('write', answers)).toEqual({ outcome: 'ok', asked: urls, next: urls[2] });
  });

  it('given nobody to be reached, or only members without a leader, when asked, then the code says which', async () => {
    const gone = new NotSentError('x');
    expect((await run('write', [gone, gone, gone])).outcome).toBe('unreachable');
    expect((await run('write', [gone, grpc(14, 'etcdserver: no leader'), gone])).outcome).toBe('no_quorum');
    expect((await run('read', [grpc(4), grpc(4), grpc(4)])).outcome).toBe('no_quorum');
  });

  it('given a refusal, when it comes, then no other is asked and the endpoint stays', async () => {
    expect(await run('write', [grpc(3), 'ok'])).toEqual({
      outcome: 'invalid',
      asked: urls.slice(0, 1),
      next: urls[0],
    });
  });

  it('given another list of endpoints, when it is taken over, then the one in use stays if it is still there', () => {
    const calls = new EtcdCalls({ endpoints: urls });
    calls.leave(calls.endpoint());
    calls.setUrls(['http://four:1', 'http://two:1']);
    expect(calls.endpoint().url).toBe('http://two:1');
    calls.setUrls(['http://five:1']);
    expect(calls.endpoint().url).toBe('http://five:1');
    calls.close();
  });
});

describe('the wire', () => {
  it('given any 64-bit id, when printed and read back, then it is the same', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 1n, max: 2n ** 63n - 1n }), (id) => {
        expect(idToWire(idFromWire(id.toString()))).toBe(id.toString());
      }),
    );
    expect(idFromWire('0')).toBe('');
    // A member's id is unsigned; decoded as signed it must not turn negative.
    expect(idFromWire('-1')).toBe('ffffffffffffffff');
  });

  it('given any prefix and key, when compared, then the range holds the key exactly if it begins with the prefix', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'b', '/', 'ÿ', '\u0000'), maxLength: 4 });
    fc.assert(
      fc.property(text, text, (prefix, key) => {
        fc.pre(key !== '' && prefix !== '');
        const bytes = Buffer.from(key);
        const end = rangeEnd(prefix);
        const inside = bytes.compare(rangeStart(prefix)) >= 0 && bytes.compare(end) < 0;
        expect(inside).toBe(key.startsWith(prefix));
      }),
    );
    expect(rangeEnd('')).toEqual(Buffer.from([0]));
  });

  it('given a deletion, when decoded, then it has the key and the revision', () => {
    const none = Buffer.alloc(0);
    const kv = {
      key: Buffer.from('k'),
      value: none,
      create_revision: '0',
      mod_revision: '9',
      version: '0',
      lease: '0',
    };
    expect(toEvent({ type: 'Delete', kv, prev_kv: kv })).toEqual({
      type: 'delete',
      key: 'k',
      modRevision: 9,
    });
  });
});

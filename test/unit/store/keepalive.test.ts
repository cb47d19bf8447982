// Lease renewals over one stream: who gets which answer, and what a late answer or a broken stream does to the others.
import { EventEmitter } from 'node:events';
import { describe, expect, it } from 'vitest';
import type { DuplexStream } from '../../../src/lib/store/etcd-endpoint.js';
import { KeepaliveStream } from '../../../src/lib/store/etcd-keepalive.js';

class FakeStream extends EventEmitter {
  readonly asked: string[] = [];
  cancelled = false;
  write = (message: { ID: string }): void => void this.asked.push(message.ID);
  end = (): void => undefined;
  cancel = (): void => void (this.cancelled = true);
  answer(id: string, ttl: number): void {
    this.emit('data', { ID: id, TTL: String(ttl) });
  }
}

const rig = () => {
  const streams: FakeStream[] = [];
  const keepalive = new KeepaliveStream(() => {
    const stream = new FakeStream();
    streams.push(stream);
    return Promise.resolve(stream as unknown as DuplexStream<never, never>);
  });
  const stream = async (n = 0): Promise<FakeStream> => {
    await expect.poll(() => streams[n]?.asked.length).toBeGreaterThan(0);
    return streams[n] as FakeStream;
  };
  return { keepalive, streams, stream };
};

describe('renewals of leases', () => {
  it('given two leases, when the answers come in another order, then each gets its own over one stream', async () => {
    const { keepalive, streams, stream } = rig();
    const first = keepalive.renew('a', 1_000);
    const second = keepalive.renew('b', 1_000);
    const it = await stream();
    await expect.poll(() => it.asked).toEqual(['10', '11']);
    it.answer('11', 2);
    it.answer('10', 10);
    expect(await Promise.all([first, second])).toEqual([10, 2]);
    expect(streams).toHaveLength(1);
  });

  it('given a lease that is gone, then its renewal says 0', async () => {
    const { keepalive, stream } = rig();
    const renewal = keepalive.renew('a', 1_000);
    (await stream()).answer('10', 0);
    expect(await renewal).toBe(0);
  });

  it('given no answer in time, then the stream is given up, and a late answer is taken for no other renewal', async () => {
    const { keepalive, streams, stream } = rig();
    await expect(keepalive.renew('a', 20)).rejects.toMatchObject({ code: 4 });
    const old = await stream();
    expect(old.cancelled).toBe(true);
    const again = keepalive.renew('a', 1_000);
    const fresh = await stream(1);
    old.answer('10', 99);
    old.emit('error', Object.assign(new Error('cancelled'), { code: 1, details: '' }));
    fresh.answer('10', 10);
    expect(await again).toBe(10);
    expect(streams).toHaveLength(2);
    expect(fresh.cancelled).toBe(false);
  });

  it('given a stream that fails, then all renewals under way fail with its error', async () => {
    const { keepalive, stream } = rig();
    const both = Promise.allSettled([keepalive.renew('a', 1_000), keepalive.renew('b', 1_000)]);
    const it = await stream();
    await expect.poll(() => it.asked.length).toBe(2);
    it.emit('error', Object.assign(new Error('no leader'), { code: 14, details: 'etcdserver: no leader' }));
    expect(await both).toMatchObject([{ reason: { code: 14 } }, { reason: { code: 14 } }]);
  });

  it('given a signal that is aborted, then its renewal ends with the reason and the others go on', async () => {
    const { keepalive, stream } = rig();
    const stop = new AbortController();
    const first = keepalive.renew('a', 1_000, stop.signal);
    const second = keepalive.renew('b', 1_000);
    const it = await stream();
    await expect.poll(() => it.asked.length).toBe(2);
    stop.abort(new Error('enough'));
    await expect(first).rejects.toThrow('enough');
    it.answer('11', 2);
    expect(await second).toBe(2);
  });
});

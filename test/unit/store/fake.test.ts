// The fake store keeps the contract that the real one is held to, and its faults do what they say.
import { describe, expect, it } from 'vitest';
import { record, storeContract } from '../../contract/store.suite.js';
import { fakeClock } from '../../fakes/clock.js';
import { fakeEtcd, fakeStore } from '../../fakes/store.js';

storeContract('fake', () => {
  const db = fakeEtcd();
  const store = db.client();
  const other = db.client();
  return Promise.resolve({
    store,
    other,
    end: async () => {
      await store.close();
      await other.close();
    },
  });
});

describe('the fake store', () => {
  it('given a client that is cut off, when it calls and watches, then it fails and another does not', async () => {
    const db = fakeEtcd();
    const [a, b] = [db.client(), db.client()];
    const { seen } = record(a, 'k', 1);
    a.cut();
    await b.put('k', '1');
    await expect(a.get('k')).rejects.toMatchObject({ code: 'unreachable' });
    expect(seen.ends).toEqual(['disconnected']);
    a.heal();
    expect((await a.get('k'))?.value).toBe('1');
    expect(seen.events).toEqual([]);
  });

  it('given a silent cut, when it calls, then reads time out without an answer and writes are ambiguous', async () => {
    const clock = fakeClock();
    const store = fakeStore(clock);
    store.cut('silent');
    const read = expect(store.get('k')).rejects.toMatchObject({ code: 'no_quorum' });
    const write = expect(store.put('k', '1')).rejects.toMatchObject({ code: 'ambiguous' });
    await clock.advance(1000);
    await read;
    await write;
  });

  it('given a lost answer, when written, then it is ambiguous and the write is there', async () => {
    const store = fakeStore();
    store.loseAnswers(1);
    await expect(store.put('k', '1')).rejects.toMatchObject({ code: 'ambiguous' });
    expect((await store.get('k'))?.value).toBe('1');
  });
});

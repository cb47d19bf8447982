// Sessions and elections by our own clock, with a store that is cut off, silent or loses answers.
import { describe, expect, it } from 'vitest';
import { campaign, leaderOf, runElection, type Leadership } from '../../../src/lib/store/election.js';
import { fencedTxn } from '../../../src/lib/store/fenced.js';
import { keepSession, openSession, type Session, type SessionEnd } from '../../../src/lib/store/session.js';
import { seededRng } from '../../../src/lib/util/rng.js';
import { fakeClock } from '../../fakes/clock.js';
import { fakeEtcd, fakeStore, type FakeStore } from '../../fakes/store.js';

describe('a session', () => {
  it('given a silent store, when its time is up, then it ends at sent + TTL - margin, before the lease can expire', async () => {
    const clock = fakeClock();
    const db = fakeEtcd(clock);
    const [store, witness] = [db.client(), db.client()] as [FakeStore, FakeStore];
    const session = await openSession({ store, clock, ttlSeconds: 10, marginMs: 1000 });
    await witness.put('k', '1', { lease: session.leaseId });
    await clock.advance(2_500);
    expect(session.endsAt()).toBe(2_500 + 9_000);
    store.cut('silent');
    let why: SessionEnd | undefined;
    session.onLost((w) => (why = w));
    await clock.advance(8_999);
    expect(session.alive()).toBe(true);
    await clock.advance(1);
    expect(why).toBe('expired');
    expect(session.alive()).toBe(false);
    expect(await witness.get('k')).toBeDefined();
    await clock.advance(1_000);
    expect(await witness.get('k')).toBeUndefined();
  });

  it('given a process that was stopped for longer than the TTL, when it goes on, then alive is false before any timer ran', async () => {
    const clock = fakeClock();
    let frozenFor = 0;
    const thawing = { ...clock, mono: () => clock.mono() + frozenFor };
    const session = await openSession({ store: fakeStore(clock), clock: thawing, ttlSeconds: 10 });
    frozenFor = 20_000;
    expect(session.alive()).toBe(false);
    expect(session.ended).toBe('expired');
  });

  it('given a keepalive whose answer comes after the end, when it arrives, then the session stays ended', async () => {
    const clock = fakeClock();
    const store = fakeStore(clock);
    store.keepAliveOnce = async () => {
      await clock.sleep(30_000);
      return 10;
    };
    const session = await openSession({ store, clock, ttlSeconds: 10 });
    await clock.advance(60_000);
    expect(session.ended).toBe('expired');
    expect(session.endsAt()).toBe(9_000);
  });

  it('given a slow answer, when the session is renewed, then its time counts from when the keepalive was sent', async () => {
    const clock = fakeClock();
    const store = fakeStore(clock);
    store.keepAliveOnce = async () => {
      await clock.sleep(900);
      return 10;
    };
    const session = await openSession({ store, clock, ttlSeconds: 10, marginMs: 1000 });
    await clock.advance(2_500 + 900);
    expect(session.endsAt()).toBe(2_500 + 9_000);
  });

  it('given a store that comes back in time, when keepalives go through again, then the session lives on', async () => {
    const clock = fakeClock();
    const store = fakeStore(clock);
    const session = await openSession({ store, clock, ttlSeconds: 10 });
    await clock.advance(3_000);
    store.cut();
    await clock.advance(7_000);
    store.heal();
    await clock.advance(60_000);
    expect(session.alive()).toBe(true);
    await session.close();
    await clock.settle();
    expect(clock.pending).toBe(0);
  });

  it('given a kept session, when it is lost, then another is opened, and closing lets go of the last', async () => {
    const clock = fakeClock();
    const db = fakeEtcd(clock);
    const [store, witness] = [db.client(), db.client()] as [FakeStore, FakeStore];
    const stop = new AbortController();
    const sessions: Session[] = [];
    const ends: SessionEnd[] = [];
    const done = keepSession({
      store,
      clock,
      ttlSeconds: 10,
      signal: stop.signal,
      rng: seededRng(1),
      onOpen: async (s) => {
        sessions.push(s);
        await store.put('host', s.leaseId, { lease: s.leaseId });
      },
      onLost: (why) => ends.push(why),
    });
    await clock.settle();
    store.cut();
    await clock.advance(30_000);
    expect(await witness.get('host')).toBeUndefined();
    store.heal();
    await clock.advance(6_000);
    expect(sessions).toHaveLength(2);
    expect((await witness.get('host'))?.value).toBe(sessions[1]?.leaseId);
    await witness.revoke(sessions[1]?.leaseId ?? '');
    await clock.advance(6_000);
    expect(ends).toEqual(['expired', 'gone']);
    stop.abort(new Error('stopped'));
    await done;
    expect(await witness.get('host')).toBeUndefined();
  });
});

describe('an election', () => {
  const stand = async (store: FakeStore, clock: ReturnType<typeof fakeClock>) => {
    const session = await openSession({ store, clock, ttlSeconds: 10 });
    return { session, won: campaign({ store, session, clock, name: 'x', value: 'v', rng: seededRng(2) }) };
  };

  it('given candidates, when compared, then the one created first leads', () => {
    const entry = (key: string, createRevision: number) => ({
      key,
      value: '',
      createRevision,
      modRevision: 9,
      version: 1,
    });
    expect(leaderOf([entry('a', 7), entry('b', 3), entry('c', 5)])?.key).toBe('b');
    expect(leaderOf([])).toBeUndefined();
  });

  it('given a lost answer to the candidacy, when it is repeated, then the candidate stands once and wins', async () => {
    const clock = fakeClock();
    const store = fakeStore(clock);
    store.loseAnswers(1);
    const { won } = await stand(store, clock);
    await clock.advance(1_000);
    const leader = await won;
    expect((await store.list('elections/x/')).entries.map((e) => e.key)).toEqual([leader.key]);
  });

  it('given a leader cut off, when its session ends, then it stops being one before the other becomes one', async () => {
    const clock = fakeClock();
    const db = fakeEtcd(clock);
    const [a, b] = [db.client(), db.client()] as [FakeStore, FakeStore];
    const one = await (await stand(a, clock)).won;
    const other = (await stand(b, clock)).won;
    let lostAt = 0;
    let wonAt = 0;
    let two: Leadership | undefined;
    one.onLost(() => (lostAt = clock.mono()));
    const winning = other.then((l) => {
      two = l;
      wonAt = clock.mono();
    });
    a.cut('silent');
    await clock.advance(30_000);
    await winning;
    expect(lostAt).toBeGreaterThan(0);
    expect(wonAt).toBeGreaterThan(lostAt);
    a.heal();
    const put = { compare: [], then: [{ op: 'put', key: 'k', value: '' } as const] };
    await expect(fencedTxn(a, [one.guard()], put)).rejects.toMatchObject({ code: 'fenced' });
    expect((await fencedTxn(b, [(two as Leadership).guard()], put)).succeeded).toBe(true);
    expect((two as Leadership).epoch).toBeGreaterThan(one.epoch);
  });

  it('given two that run for ever, when the work of a leader fails or ends, then leadership passes and never overlaps', async () => {
    const clock = fakeClock();
    const db = fakeEtcd(clock);
    const stop = new AbortController();
    let acting = 0;
    let most = 0;
    const terms: string[] = [];
    const runs = ['a', 'b'].map((name, i) =>
      runElection({
        store: db.client(),
        clock,
        name: 'x',
        value: name,
        ttlSeconds: 10,
        signal: stop.signal,
        rng: seededRng(i),
        onElected: async (leader) => {
          terms.push(name);
          acting += 1;
          most = Math.max(most, acting);
          try {
            await clock.sleep(3_000, leader.signal);
            if (terms.length % 2) throw new Error('the work failed');
          } finally {
            acting -= 1;
          }
        },
      }),
    );
    await clock.advance(30_000);
    expect(most).toBe(1);
    expect(terms.length).toBeGreaterThanOrEqual(6);
    expect(new Set(terms)).toEqual(new Set(['a', 'b']));
    stop.abort(new Error('stopped'));
    await clock.advance(5_000);
    await Promise.all(runs);
    expect((await db.client().list('elections/')).entries).toEqual([]);
    expect(clock.pending).toBe(0);
  });
});

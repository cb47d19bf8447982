// Following an app: broken, silent and refused watches.
import { describe, expect, it } from 'vitest';
import type { AppState } from '../../../src/lib/api/app.js';
import { FlynnError } from '../../../src/lib/api/errors.js';
import type { ControllerClient } from '../../../src/lib/access/controller.js';
import { followApp } from '../../../src/lib/access/follow.js';
import { systemClock } from '../../../src/lib/util/clock.js';

const state = (n: number): AppState => ({
  app: { name: 'x', id: 'i', createdAt: 0, lastRelease: n, strategy: 'all-at-once', deployTimeoutMs: 1 },
  formation: {},
  jobs: [],
  converged: true,
  settled: true,
});

type Watch = (signal: AbortSignal) => AsyncGenerator<AppState>;

/** A controller whose watches are played one after the other; the last one is repeated. */
function playing(...watches: Watch[]): { client: ControllerClient; opened: () => number } {
  let opened = 0;
  const watchApp = (_app: string, { signal }: { signal: AbortSignal }): AsyncGenerator<AppState> => {
    const watch = watches[Math.min(opened, watches.length - 1)] as Watch;
    opened += 1;
    return watch(signal);
  };
  return { client: { watchApp } as unknown as ControllerClient, opened: () => opened };
}

const silent: Watch = async function* (signal) {
  yield state(1);
  await new Promise((_resolve, reject) =>
    signal.addEventListener('abort', () => reject(new FlynnError({ code: 'interrupted', message: 'x' }))),
  );
};

async function take(
  count: number,
  client: ControllerClient,
  options: Partial<Parameters<typeof followApp>[2]> = {},
) {
  const seen: number[] = [];
  const signal = AbortSignal.timeout(5_000);
  for await (const each of followApp(client, 'x', { clock: systemClock, signal, ...options })) {
    seen.push(each.app.lastRelease);
    if (seen.length === count) break;
  }
  return seen;
}

describe('following', () => {
  it('given a watch that breaks, when followed, then it is opened again', async () => {
    const { client, opened } = playing(
      async function* () {
        yield state(1);
        await Promise.resolve();
        throw new Error('aborted');
      },
      async function* () {
        yield state(2);
        await Promise.resolve();
      },
    );
    expect(await take(2, client)).toEqual([1, 2]);
    expect(opened()).toBe(2);
  });

  it('given a watch that falls silent, when the quiet is over, then it is opened again', async () => {
    const { client, opened } = playing(silent);
    expect(await take(2, client, { quietMs: 50 })).toEqual([1, 1]);
    expect(opened()).toBe(2);
  });

  it('given an app that is gone, when followed, then that is thrown at once', async () => {
    const { client, opened } = playing(async function* () {
      await Promise.resolve();
      if (opened() > 0) throw new FlynnError({ code: 'not_found', message: 'no app x' });
      yield state(1);
    });
    await expect(take(1, client)).rejects.toMatchObject({ code: 'not_found' });
    expect(opened()).toBe(1);
  });

  it('given a controller that stays away, when patience ends, then its error is thrown', async () => {
    const { client, opened } = playing(async function* () {
      await Promise.resolve();
      if (opened() > 0) throw new FlynnError({ code: 'unreachable', message: 'away' });
      yield state(1);
    });
    await expect(take(1, client, { patienceMs: 300 })).rejects.toMatchObject({ code: 'unreachable' });
    expect(opened()).toBeGreaterThan(1);
  });

  it('given a signal, when it is aborted during a watch, then its reason is thrown and the watch ended', async () => {
    const abort = new AbortController();
    setTimeout(() => abort.abort(new Error('enough')), 20);
    await expect(take(9, playing(silent).client, { signal: abort.signal })).rejects.toThrow('enough');
  });
});

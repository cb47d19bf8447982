// Pushes end to end against fakes: build on a one-off job, image in two registries, release, deployment, and every way it fails.
import { afterEach, describe, expect, it } from 'vitest';
import { frame, writeFrame } from '../../../src/lib/api/attach.js';
import { keys } from '../../../src/lib/api/keys.js';
import { processesOf } from '../../../src/lib/layer1/controller/builds.js';
import { LineQueue } from '../../../src/lib/layer1/controller/lines.js';
import { Turns } from '../../../src/lib/layer1/shared/turns.js';
import { goodBuilder, stdinOf, WorkRig, type JobBody } from './work-rig.js';

let rig: WorkRig;
afterEach(() => rig?.stop());

const commit = '0123456789abcdef0123456789abcdef01234567';
const source = Buffer.alloc(300_000, 'source ');
const failing: JobBody = async (socket, _template, frames) => {
  await stdinOf(frames);
  await writeFrame(socket, frame.stderr, '-----> npm ci\n !     no such module\n !     → npm install\n');
  await writeFrame(socket, frame.exit, { code: 1 });
};
const release = async (app: string, version: number) =>
  JSON.parse((await rig.store.get(keys.release(app, version)))!.value) as {
    image: string;
    processes: unknown;
    git: string;
    why: string;
    by: string;
  };

describe('given two control hosts and an app', () => {
  const start = async (options = {}) => {
    rig = await new WorkRig().start(['a', 'b'], options);
    await rig.post('/v1/apps', { name: 'hello' });
  };

  it('when source is pushed, then it is built with the app env, stored twice, deployed, and nothing of the build stays', async () => {
    await start();
    await rig.post('/v1/apps/hello/env', { set: { GREETING: 'hi' } });
    const seen: { source?: Buffer; header?: string } = {};
    rig.body = goodBuilder({ web: 'node server.js', worker: 'node worker.js' }, seen);
    for (const agent of rig.agents.values()) agent.notReady = 2;

    const { last, lines } = await rig.push('hello', source, { commit });

    expect({ error: last.error }).toEqual({});
    expect(last.result).toMatchObject({ app: 'hello', url: 'http://hello.example.com:8080' });
    expect(JSON.parse(seen.header!)).toEqual({ env: { GREETING: 'hi' }, commit });
    expect(seen.source!.equals(source)).toBe(true);
    expect(lines).toContain('-----> Node.js app detected');
    expect(lines.some((line) => /web\.1 on [ab]: serving/.test(line))).toBe(true);

    const made = await release('hello', Number(last.result!.release));
    expect(made).toMatchObject({
      ...{ git: commit, why: 'git push 0123456', by: 'ann', image: last.result!.image },
      processes: { web: { args: ['node server.js'] }, worker: { args: ['node worker.js'] } },
    });
    const digest = /^127\.0\.0\.1:5555\/hello@(sha256:[0-9a-f]{64})$/.exec(made.image)![1]!;
    for (const registry of rig.registries.values()) {
      expect(await registry.manifest('hello', digest)).toBeDefined();
      expect(await registry.manifest('flynn/slugrunner', 'r1')).toBeDefined();
    }
    expect([...rig.agents.values()].flatMap(({ pushed }) => pushed)).toEqual([
      { image: 'flynn/slugrunner:r1', as: '127.0.0.1:5555/flynn/slugrunner:r1' },
    ]);
    await rig.until(
      async () => (await rig.oneOffClaims()).length === 0,
      'the claim of the build is given back',
    );
    await rig.until(
      async () => (await rig.templates()).every(({ kind }) => kind !== 'oneoff'),
      'its template is gone',
    );
    expect((await rig.claims()).map(({ o }) => o)).toEqual(['app/hello/2/web']);
  });

  it('when the builder is placed, then it has its limits and a light cpu weight', async () => {
    await start();
    let seen: unknown;
    rig.body = async (socket, template, frames) => {
      seen = template;
      await failing(socket, template, frames);
    };
    await rig.push('hello', source);
    expect(seen).toMatchObject({
      ...{ kind: 'oneoff', image: 'flynn/slugbuilder:b1', attach: true, cpuShares: 128, network: 'bridge' },
      memoryLimit: 1024 * 1024 * 1024,
      resources: { cpu: 100 },
      meta: { app: 'hello', type: 'build' },
    });
  });

  it('when the build fails, then the pusher reads why and no release is made', async () => {
    await start();
    rig.body = failing;
    const { last, lines } = await rig.push('hello', source);
    expect(lines).toContain('-----> npm ci');
    expect(lines.join('\n')).not.toContain('no such module');
    expect(last.error).toMatchObject({
      code: 'build_failed',
      message: 'hello was not built, nothing changed: no such module (exited with code 1)',
      hint: 'npm install',
    });
    expect((await rig.store.list(keys.releasesAt('hello'))).entries).toEqual([]);
    await rig.until(async () => (await rig.oneOffClaims()).length === 0, 'the claim is given back');
  });

  it('when the new release cannot start, then the push fails with the reason and the old one goes on', async () => {
    await start();
    expect((await rig.push('hello', source)).last.result).toMatchObject({ release: 1 });
    for (const host of rig.hosts.values())
      host.behaviour = ({ kind, meta }) =>
        kind === 'service' && meta.release === '2' ? 'cannot-start' : 'up';
    const { last } = await rig.push('hello', Buffer.from('other source'));
    expect(last.error?.code).toBe('failed');
    expect(last.error?.message).toMatch(
      /release 2 of hello was not deployed: .*cannot be pulled.*release 1 goes on/,
    );
    const app = JSON.parse((await rig.store.get(keys.app('hello')))!.value) as { release: number };
    expect(app.release).toBe(1);
  });

  it('when the same source is pushed again, then nothing changes', async () => {
    await start();
    await rig.push('hello', source);
    const { last, lines } = await rig.push('hello', source);
    expect(last.result).toMatchObject({ release: 1 });
    expect(lines.at(-1)).toMatch(/Nothing changed/);
  });

  it('when the source is too large, then the builder is ended and the push says so', async () => {
    await start({ maxSourceBytes: 100_000 });
    const { last } = await rig.push('hello', source);
    expect(last.error).toMatchObject({ code: 'too_large' });
    await rig.until(async () => (await rig.oneOffClaims()).length === 0, 'the claim is given back');
  });

  it('when the pusher hangs up, then the build is ended', async () => {
    await start();
    let began = false;
    rig.body = async (_socket, _template, frames) => {
      began = true;
      for await (const _ of frames);
    };
    const hangUp = new AbortController();
    const pushing = rig.push('hello', source, { signal: hangUp.signal }).catch((error: Error) => error.name);
    await rig.until(() => began, 'the build begins');
    hangUp.abort();
    expect(await pushing).toBe('AbortError');
    await rig.until(
      () => [...rig.agents.values()].some(({ gone }) => gone.length === 1),
      'the attach is let go of',
    );
    await rig.until(async () => (await rig.oneOffClaims()).length === 0, 'the claim is given back');
    expect((await rig.store.list(keys.releasesAt('hello'))).entries).toEqual([]);
  });

  it('when two pushes come at once, then the second says that it waits, and both are deployed in their order', async () => {
    await start();
    let building = 0;
    let most = 0;
    rig.body = async (...args) => {
      most = Math.max(most, ++building);
      await new Promise((resolve) => setTimeout(resolve, 100));
      await goodBuilder()(...args);
      building -= 1;
    };
    const first = rig.push('hello', Buffer.from('one'));
    await rig.until(() => building === 1, 'the first is being built');
    const second = await rig.push('hello', Buffer.from('two'));
    expect((await first).last.result).toMatchObject({ release: 1 });
    expect(second.lines[0]).toMatch(/this one waits for its turn/);
    expect(second.last.result).toMatchObject({ release: 2 });
    expect(most).toBe(1);
  });

  it('when the app does not exist, or no registry answers, or no host has room, then the code says so', async () => {
    await start();
    expect((await rig.push('nope', source)).status).toBe(404);
    for (const host of rig.hosts.keys()) {
      const { entries } = await rig.store.list(keys.hostBook(host));
      const book = JSON.parse(entries[0]!.value) as object;
      await rig.store.put(keys.hostBook(host), JSON.stringify({ ...book, cordoned: true }));
    }
    await rig.until(
      () => [...rig.controller.picture.hosts().values()].every(({ book }) => book?.cordoned),
      'cordons',
    );
    const full = await rig.push('hello', source);
    expect(full.last.error).toMatchObject({ code: 'no_capacity' });
    expect(full.last.error?.message).toMatch(/a is cordoned, b is cordoned/);
    for (const registry of rig.registries.values()) registry.up = false;
    expect((await rig.push('hello', source)).last.error).toMatchObject({ code: 'unreachable' });
  });
});

describe('process types of a slug', () => {
  it('take the new command and keep what the release before said of port, health and resources', () => {
    const resources = { memory: 64 * 1024 * 1024, cpu: 50 };
    const base = {
      processes: { web: { args: ['old'], entrypoint: ['/x'], port: 5000, resources }, gone: { args: ['y'] } },
    };
    expect(processesOf({ web: 'new $PORT', clock: 'tick' }, base)).toEqual({
      web: { args: ['new $PORT'], port: 5000, resources },
      clock: { args: ['tick'] },
    });
  });

  it('are refused when there is none, or one has no proper name', () => {
    expect(() => processesOf({}, undefined)).toThrow(/no process type/);
    expect(() => processesOf({ 'Bad Name': 'x' }, undefined)).toThrow(/Bad Name/);
  });
});

describe('lines for a slow reader', () => {
  it('are bounded, and what is left out is said', async () => {
    const got: string[] = [];
    let release = (): void => undefined;
    const gate = new Promise<void>((resolve) => (release = resolve));
    const queue = new LineQueue(async (line) => {
      await gate;
      got.push(line);
    }, 3);
    for (let i = 0; i < 10; i++) queue.push(`line ${i}`);
    release();
    await queue.flush();
    expect(got.slice(0, 4)).toEqual(['line 0', 'line 1', 'line 2', 'line 3']);
    expect(got[4]).toMatch(/6 lines were left out/);
    expect(got).toHaveLength(5);
  });
});

describe('turns', () => {
  it('pass on when one gives up waiting, without letting the next one overtake', async () => {
    const turns = new Turns();
    const order: string[] = [];
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    const options = (signal = new AbortController().signal) => ({
      signal,
      onWait: () => order.push('waits'),
    });
    const first = turns.take(
      'x',
      async () => {
        await held;
        order.push('first');
      },
      options(),
    );
    const impatient = new AbortController();
    const second = turns.take('x', async () => void order.push('second'), options(impatient.signal));
    const third = turns.take('x', async () => void order.push('third'), options());
    impatient.abort();
    await expect(second).rejects.toThrow();
    await new Promise((resolve) => setImmediate(resolve));
    expect(order).toEqual(['waits', 'waits']);
    release();
    await Promise.all([first, third]);
    expect(order).toEqual(['waits', 'waits', 'first', 'third']);
  });
});

// `flynn run`: an upgraded request, a one-off job of the current release, frames both ways, and an orderly end each time.
import type { Duplex } from 'node:stream';
import { afterEach, describe, expect, it } from 'vitest';
import { decodeFrames, frame, writeFrame } from '../../../src/lib/api/attach.js';
import { keys } from '../../../src/lib/api/keys.js';
import { parseRunQuery, runPath } from '../../../src/lib/api/run.js';
import type { Asker } from './grid.js';
import { stdinOf, WorkRig } from './work-rig.js';

let rig: WorkRig;
afterEach(() => rig?.stop());

const start = async (capacity?: { m: number; c: number }) => {
  rig = await new WorkRig().start(['a', 'b'], capacity ? { capacity } : {});
  await rig.post('/v1/apps', { name: 'hello' });
};
const deployed = async () => {
  await rig.post('/v1/apps/hello/env', { set: { SECRET: 'from the release', COLOUR: 'red' } });
  await rig.post('/v1/apps/hello/deploy', { image: 'hello:1' });
  await rig.until(() => rig.controller.picture.app('hello')?.release === 2, 'the release');
};
const run = (
  request: Parameters<typeof runPath>[1],
  who: Asker = { role: 'deploy', apps: 'hello' },
): Promise<Duplex> => rig.client(who).upgrade('POST', runPath('hello', request));
const read = async (socket: Duplex) => {
  const frames: { type: number; text: string }[] = [];
  for await (const { type, payload } of decodeFrames(socket as AsyncIterable<Buffer>))
    frames.push({ type, text: payload.toString() });
  return frames;
};

describe('given an app with a release', () => {
  it('when a command is run, then it has the release with its environment, its streams, and its exit code', async () => {
    await start();
    await deployed();
    rig.body = async (socket, template, frames) => {
      expect(template).toMatchObject({
        kind: 'oneoff',
        image: 'hello:1',
        args: ['cat', '-n'],
        attach: true,
        tty: false,
        ports: [],
      });
      await writeFrame(socket, frame.stdout, await stdinOf(frames));
      await writeFrame(socket, frame.stderr, 'careful');
      await writeFrame(socket, frame.exit, { code: 3 });
      socket.end();
    };
    const socket = await run({ args: ['cat', '-n'], env: { COLOUR: 'blue', MORE: 'a=b' } });
    await writeFrame(socket, frame.stdin, 'hello there');
    await writeFrame(socket, frame.eof);
    const frames = await read(socket);

    expect(frames.map(({ type }) => type)).toEqual([frame.started, frame.stdout, frame.stderr, frame.exit]);
    expect(frames.map(({ text }) => text).slice(1)).toEqual(['hello there', 'careful', '{"code":3}']);
    await rig.until(async () => (await rig.oneOffClaims()).length === 0, 'the claim is given back');
    await rig.until(
      async () => (await rig.templates()).every(({ kind }) => kind !== 'oneoff'),
      'the template is gone',
    );
  });

  it('when it runs, then its environment is sealed, and what was added wins', async () => {
    await start();
    await deployed();
    let text = '';
    rig.body = async (_socket, template, frames) => {
      text = JSON.stringify(template);
      for await (const _ of frames);
    };
    const socket = await run({ args: ['x'], env: { COLOUR: 'blue' } });
    await rig.until(
      () =>
        [...rig.hosts.values()].some(({ envs, running }) =>
          [...envs.keys()].some((job) => running.get(job)?.kind === 'oneoff'),
        ),
      'a host opens it',
    );
    const host = [...rig.hosts.values()].find(({ running }) =>
      [...running.values()].some(({ kind }) => kind === 'oneoff'),
    )!;
    const [job] = [...host.running].find(([, { kind }]) => kind === 'oneoff')!;
    expect(host.envs.get(job)).toEqual({ SECRET: 'from the release', COLOUR: 'blue' });
    expect(text).not.toMatch(/blue|from the release/);
    expect((await rig.oneOffClaims()).map(({ o }) => o)).toEqual(['run/hello/2']);
    socket.destroy();
  });

  it('when a terminal is asked for, then its size follows the start, and only what callers may say is passed on', async () => {
    await start();
    await deployed();
    const got: string[] = [];
    rig.body = async (socket, template, frames) => {
      expect(template.tty).toBe(true);
      for (let i = 0; i < 3; i++) {
        const { value } = (await frames.next()) as { value: { type: number; payload: Buffer } };
        got.push(`${value.type} ${value.payload.toString()}`);
      }
      await writeFrame(socket, frame.exit, { code: 0 });
      socket.end();
    };
    const socket = await run({ args: ['top'], tty: true, size: { columns: 80, rows: 24 } });
    const reading = read(socket);
    await rig.until(() => got.length === 1, 'the size');
    await writeFrame(socket, frame.exit, { code: 99 });
    await writeFrame(socket, frame.resize, { columns: 100, rows: 30 });
    await writeFrame(socket, frame.signal, { signal: 'SIGINT' });
    expect((await reading).at(-1)).toEqual({ type: frame.exit, text: '{"code":0}' });
    expect(got).toEqual([
      '5 {"columns":80,"rows":24}',
      '5 {"columns":100,"rows":30}',
      '6 {"signal":"SIGINT"}',
    ]);
  });

  it('when the host is lost in between, then the last frame is an error that names it', async () => {
    await start();
    await deployed();
    rig.body = async (socket) => {
      await writeFrame(socket, frame.stdout, 'half');
      socket.destroy();
    };
    const last = (await read(await run({ args: ['x'] }))).at(-1)!;
    expect(last.type).toBe(frame.error);
    expect(JSON.parse(last.text)).toMatchObject({
      code: 'unreachable',
      message: expect.stringMatching(/on host [ab] was lost/) as string,
    });
  });

  it('when the caller hangs up, then the job is let go of and its claim is given back', async () => {
    await start();
    await deployed();
    rig.body = async (_socket, _template, frames) => {
      for await (const _ of frames);
    };
    const socket = await run({ args: ['sleep', '1000'] });
    await rig.until(async () => (await rig.oneOffClaims()).length === 1, 'the job');
    await new Promise((resolve) => setTimeout(resolve, 100));
    socket.destroy();
    await rig.until(
      () => [...rig.agents.values()].some(({ gone }) => gone.length === 1),
      'the attach is gone',
    );
    await rig.until(async () => (await rig.oneOffClaims()).length === 0, 'the claim is given back');
  });

  it('when its agent says that it cannot start, then that is the error, at once', async () => {
    await start();
    await deployed();
    for (const host of rig.hosts.values())
      host.behaviour = ({ kind }) => (kind === 'oneoff' ? 'cannot-start' : 'up');
    for (const agent of rig.agents.values()) agent.holds = true;
    const frames = await read(await run({ args: ['x'] }));
    expect(JSON.parse(frames.at(-1)!.text)).toMatchObject({
      code: 'failed',
      message: expect.stringMatching(/cannot be pulled/) as string,
    });
    await rig.until(async () => (await rig.oneOffClaims()).length === 0, 'the claim is given back');
  });

  it('when there is no room, then the error says what each host lacks', async () => {
    await start({ m: 700, c: 4000 });
    await deployed();
    const book = JSON.parse((await rig.store.get(keys.hostBook('b')))!.value) as object;
    await rig.store.put(keys.hostBook('b'), JSON.stringify({ ...book, cordoned: true }));
    await rig.until(() => rig.controller.picture.hosts().get('b')?.book?.cordoned, 'cordon');
    await rig.until(async () => (await rig.claims()).length > 0, 'the app');
    await rig.store.put(keys.hostBook('a'), JSON.stringify({ ...book, used: { m: 600, c: 0 } }));
    await rig.until(() => rig.controller.picture.hosts().get('a')?.book?.used.m === 600, 'use');
    const frames = await read(await run({ args: ['x'] }));
    expect(frames).toHaveLength(1);
    expect(JSON.parse(frames[0]!.text)).toMatchObject({
      code: 'no_capacity',
      message: expect.stringMatching(/a has 100 MiB free, b is cordoned/) as string,
    });
  });
});

describe('given requests that are no runs', () => {
  it('when the app has no release, the role is not enough, or the request is wrong, then it is answered as HTTP with its code', async () => {
    await start();
    await expect(run({ args: ['x'] })).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringMatching(/no release yet/) as string,
      hint: expect.stringMatching(/flynn deploy .*git push/) as string,
    });
    await expect(run({ args: ['x'] }, { role: 'deploy', apps: 'other' })).rejects.toMatchObject({
      code: 'forbidden',
    });
    await expect(rig.client().upgrade('GET', '/v1/apps/nope/run?arg=x')).rejects.toMatchObject({
      code: 'not_found',
    });
    await expect(rig.client().upgrade('GET', '/v1/apps/hello/run')).rejects.toMatchObject({
      code: 'invalid',
    });
    await expect(rig.client().upgrade('GET', '/v1/apps/hello/scale')).rejects.toMatchObject({
      code: 'not_found',
    });
  });

  it('a request survives its way through the query', () => {
    const request = {
      args: ['echo', 'a&b=c', ''],
      tty: true,
      size: { columns: 80, rows: 24 },
      env: { A: '=x=', B: '' },
    };
    const url = new URL(runPath('hello', request), 'http://x');
    expect(url.pathname).toBe('/v1/apps/hello/run');
    expect(parseRunQuery(url.searchParams)).toEqual(request);
  });
});

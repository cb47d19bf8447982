// What every Docker of ours must do: the same suite runs on the fake and on a real engine.
import { afterAll, describe, expect, it } from 'vitest';
import { isFlynnError, type FlynnError } from '../../src/lib/api/errors.js';
import type { ContainerSpec, Docker, DockerEvent } from '../../src/lib/docker/index.js';

/** The scripts that containers of this suite run; a fake brings a program for each of them. */
export const scripts = {
  forever: 'trap "exit 143" TERM; while :; do sleep 0.05; done',
  stubborn: 'trap "" TERM; while :; do sleep 0.05; done',
  exits: 'echo out; echo err >&2; exit 7',
  echoes: 'cat; exit 0',
} as const;

const failure = async (work: Promise<unknown>): Promise<FlynnError> => {
  const error: unknown = await work.then(
    () => undefined,
    (e: unknown) => e,
  );
  if (!isFlynnError(error)) throw new Error(`expected a FlynnError, got ${String(error)}`, { cause: error });
  return error;
};

/** Declares the suite. `image` must be there; everything made carries the label `flynn.suite=run`. */
export const describeDocker = (name: string, docker: () => Docker, image: string, run: string): void => {
  let serial = 0;
  const spec = (script: keyof typeof scripts, more: Partial<ContainerSpec> = {}): ContainerSpec => ({
    name: `${run}-suite-${serial++}`,
    image,
    cmd: ['sh', '-c', scripts[script]],
    labels: { 'flynn.suite': run },
    ...more,
  });
  const mine = [`flynn.suite=${run}`];

  describe(name, () => {
    afterAll(async () => {
      for (const { id } of await docker().containers.list({ labels: mine }))
        await docker().containers.remove(id, { force: true });
    });

    it('given a container, then its states are created, running, exited, and its times grow', async () => {
      const { containers } = docker();
      const id = await containers.create(spec('forever'));
      expect(await containers.inspect(id)).toMatchObject({ id, state: 'created', pid: 0, restartCount: 0 });
      await containers.start(id);
      await containers.start(id);
      const running = await containers.inspect(id);
      expect(running).toMatchObject({ state: 'running', exitCode: 0, restart: 'no' });
      expect(running.pid).toBeGreaterThan(0);
      expect(running.ip).toMatch(/^\d+\.\d+\.\d+\.\d+$/);
      await containers.stop(id, 5);
      await containers.stop(id, 5);
      const stopped = await containers.inspect(id);
      expect(stopped).toMatchObject({ state: 'exited', exitCode: 143, pid: 0, ip: undefined });
      expect(stopped.finishedAt).toBeGreaterThanOrEqual(running.startedAt ?? Infinity);
      await containers.start(id);
      await containers.kill(id);
      expect((await containers.wait(id)).exitCode).toBe(137);
    });

    it('given a program that ignores SIGTERM, then stop kills it after the timeout', async () => {
      const { containers } = docker();
      const id = await containers.create(spec('stubborn'));
      await containers.start(id);
      await containers.stop(id, 1);
      expect(await containers.inspect(id)).toMatchObject({ state: 'exited', exitCode: 137 });
    });

    it('given names, labels and states, then list finds what is asked for', async () => {
      const { containers } = docker();
      const one = spec('forever', { labels: { 'flynn.suite': run, part: 'a' } });
      const id = await containers.create(one);
      expect((await containers.list({ labels: [...mine, 'part=a'] })).map((c) => c.id)).toEqual([id]);
      expect(await containers.list({ labels: [...mine, 'part=b'] })).toEqual([]);
      expect((await containers.list({ labels: ['part'], names: [one.name] })).map((c) => c.name)).toEqual([
        one.name,
      ]);
      expect(await containers.list({ names: [one.name], all: false })).toEqual([]);
      expect(await containers.list({ names: [one.name.slice(0, -1)] })).toEqual([]);
    });

    it('given what is not there or in the way, then the codes say so', async () => {
      const { containers, images, volumes, networks } = docker();
      expect((await failure(containers.inspect('absent'))).code).toBe('not_found');
      expect((await failure(containers.stop('absent'))).code).toBe('not_found');
      await containers.remove('absent');
      const one = spec('exits');
      const id = await containers.create(one);
      expect((await failure(containers.create(one))).code).toBe('conflict');
      expect((await failure(containers.kill(id))).code).toBe('conflict');
      expect((await failure(containers.exec(id, ['true']))).code).toBe('conflict');
      expect((await failure(containers.create({ ...spec('exits'), image: 'absent:1' }))).code).toBe(
        'image_missing',
      );
      expect((await failure(images.inspect('absent:1'))).code).toBe('image_missing');
      await images.remove('absent:1');
      expect((await failure(volumes.inspect('absent'))).code).toBe('not_found');
      expect((await failure(networks.inspect('absent'))).code).toBe('not_found');
      const busy = await containers.create(spec('forever'));
      await containers.start(busy);
      expect((await failure(containers.remove(busy))).code).toBe('conflict');
      await containers.remove(busy, { force: true });
    });

    it('given two containers for one host port, then the second does not start', async () => {
      const { containers } = docker();
      const publish = [{ hostIp: '127.0.0.1', hostPort: 39_417, containerPort: 80, proto: 'tcp' as const }];
      const [first, second] = [spec('forever', { publish }), spec('forever', { publish })];
      const one = await containers.create(first);
      const two = await containers.create(second);
      await containers.start(one);
      expect((await failure(containers.start(two))).message).toContain('already allocated');
      await containers.remove(one, { force: true });
      await containers.start(two);
      expect((await containers.inspect(two)).ports).toEqual(publish);
      await containers.remove(two, { force: true });
    });

    it('given an exit, then wait, logs and events tell about it', async () => {
      const { containers } = docker();
      const since = Date.now() / 1000 - 0.5;
      const id = await containers.create(spec('exits'));
      const ended = containers.wait(id, { condition: 'next-exit' });
      await containers.start(id);
      expect(await ended).toEqual({ exitCode: 7 });
      const lines = [];
      for await (const { stream, line } of containers.logs(id, { follow: true }))
        lines.push(`${stream} ${line}`);
      expect(lines.sort()).toEqual(['stderr err', 'stdout out']);
      const aborting = new AbortController();
      const seen: DockerEvent[] = [];
      for await (const event of docker().events({ since, labels: mine, signal: aborting.signal })) {
        if (event.id === id) seen.push(event);
        if (event.id === id && event.action === 'die') aborting.abort();
      }
      const actions = seen.map((event) => event.action).filter((a) => ['create', 'start', 'die'].includes(a));
      expect(actions).toEqual(['create', 'start', 'die']);
      expect(seen.at(-1)?.attributes['exitCode']).toBe('7');
    });

    it('given restart always, then a container that was stopped stays down', async () => {
      const { containers } = docker();
      const id = await containers.create(spec('forever', { restart: 'always' }));
      await containers.start(id);
      await containers.stop(id, 1);
      expect(await containers.inspect(id)).toMatchObject({ state: 'exited' });
      await containers.remove(id);
    });

    it('given an attach before the start, then input goes in and output comes out', async () => {
      const { containers } = docker();
      const id = await containers.create(
        spec('echoes', { openStdin: true, stdinOnce: true, attachStdin: true }),
      );
      const io = await containers.attach(id);
      io.stderr.resume();
      await containers.start(id);
      io.stdin.end('ping');
      let text = '';
      for await (const chunk of io.stdout) text += String(chunk);
      expect(text).toBe('ping');
      await io.closed;
      expect(await containers.wait(id)).toEqual({ exitCode: 0 });
      expect((await failure(io.resize(80, 24))).code).toBe('conflict');
    });

    it('given a volume, then making it twice is fine and a user keeps it', async () => {
      const { containers, volumes } = docker();
      const volume = `${run}-suite-vol`;
      await volumes.create({ name: volume, labels: { 'flynn.suite': run } });
      const again = await volumes.create({ name: volume });
      expect(again.labels).toEqual({ 'flynn.suite': run });
      const mounts = [{ type: 'volume' as const, source: volume, target: '/data' }];
      const id = await containers.create(spec('exits', { mounts }));
      expect((await failure(volumes.remove(volume))).code).toBe('conflict');
      await containers.remove(id);
      await volumes.remove(volume);
      await volumes.remove(volume);
    });

    it('given a tag, then the image has both names, and removing one leaves the other', async () => {
      const { images } = docker();
      const tag = `${run}-suite:tagged`;
      await images.tag(image, tag);
      expect((await images.inspect(tag)).id).toBe((await images.inspect(image)).id);
      await images.remove(tag);
      expect((await failure(images.inspect(tag))).code).toBe('image_missing');
      expect((await images.inspect(image)).tags).toContain(image);
    });
  });
};

// The fake engine keeps the port's promises, and the test's hands do what they say.
import { describe, expect, it } from 'vitest';
import { FlynnError } from '../../../src/lib/api/errors.js';
import type { DockerEvent } from '../../../src/lib/docker/index.js';
import { describeDocker, scripts } from '../../fakes/docker-contract.js';
import { FakeDocker, type Program } from '../../fakes/docker.js';

const programs: Record<string, Program> = {
  [scripts.stubborn]: (io) => io.onSignal(() => undefined),
  [scripts.exits]: (io) => {
    io.out('out\n');
    io.err('err\n');
    setImmediate(() => io.exit(7));
  },
  [scripts.echoes]: (io) => {
    io.stdin.on('data', (chunk: Buffer) => io.out(chunk.toString()));
    io.stdin.on('end', () => io.exit(0));
  },
};
const suite = new FakeDocker({
  images: ['debian:bookworm-slim'],
  program: (spec) => programs[spec.cmd?.[2] ?? ''],
});
describeDocker('the fake engine', () => suite, 'debian:bookworm-slim', 'fake');

describe('the test’s hands', () => {
  const make = () => new FakeDocker({ images: ['app:1'] });

  it('given a crash, then restart always starts it again and counts it, and an event tells the code', async () => {
    const docker = make();
    const id = await docker.containers.create({ name: 'web', image: 'app:1', restart: 'always' });
    await docker.containers.start(id);
    const { pid } = await docker.containers.inspect(id);
    const events: DockerEvent[] = [];
    const aborting = new AbortController();
    const reading = (async () => {
      for await (const event of docker.events({ signal: aborting.signal })) events.push(event);
    })();
    docker.exit('web', 137, { oom: true });
    const after = await docker.containers.inspect(id);
    expect(after).toMatchObject({ state: 'running', restartCount: 1 });
    expect(after.pid).not.toBe(pid);
    await expect.poll(() => events.map((e) => e.action)).toEqual(['oom', 'die', 'start']);
    aborting.abort();
    await reading;
  });

  it('given a fault, then that call fails as often as it was told, and the next works', async () => {
    const docker = make();
    docker.failNext('containers.create', new FlynnError({ code: 'failed', message: 'disk full' }), 2);
    const spec = { name: 'web', image: 'app:1' };
    await expect(docker.containers.create(spec)).rejects.toThrow('disk full');
    await expect(docker.containers.create(spec)).rejects.toThrow('disk full');
    await docker.containers.create(spec);
    expect(docker.calls.filter((call) => call === 'containers.create')).toHaveLength(3);
  });

  it('given an engine that goes down, then calls and events are unreachable, containers go on', async () => {
    const docker = make();
    const id = await docker.intrude({ name: 'web', image: 'other:1' });
    const events = docker.events()[Symbol.asyncIterator]();
    const next = events.next();
    await new Promise((resolve) => setImmediate(resolve));
    docker.goDown();
    await expect(next).rejects.toMatchObject({ code: 'unreachable' });
    await expect(docker.ping()).rejects.toMatchObject({ code: 'unreachable' });
    docker.comeBack();
    expect((await docker.containers.inspect(id)).state).toBe('running');
  });

  it('given a reboot, then only restart always comes back', async () => {
    const docker = make();
    const kept = await docker.containers.create({ name: 'agent', image: 'app:1', restart: 'always' });
    const lost = await docker.containers.create({ name: 'job', image: 'app:1' });
    await docker.containers.start(kept);
    await docker.containers.start(lost);
    docker.reboot();
    expect((await docker.containers.inspect(kept)).state).toBe('running');
    expect((await docker.containers.inspect(lost)).state).toBe('exited');
  });

  it('given output, then followers and attachments get it, and since and tail choose', async () => {
    const docker = make();
    const id = await docker.containers.create({ name: 'web', image: 'app:1' });
    await docker.containers.start(id);
    docker.output('web', 'one\ntwo');
    const got: string[] = [];
    const reading = (async () => {
      for await (const { line } of docker.containers.logs(id, { follow: true })) got.push(line);
    })();
    await expect.poll(() => got).toEqual(['one']);
    docker.output('web', '!\n');
    docker.exit('web', 0);
    await reading;
    expect(got).toEqual(['one', 'two!']);
    const last: string[] = [];
    for await (const { line } of docker.containers.logs(id, { tail: 1 })) last.push(line);
    expect(last).toEqual(['two!']);
    expect(docker.get('web').signals).toEqual([]);
  });

  it('given a bundle, then saving and loading it moves its images', async () => {
    const [from, to] = [make(), new FakeDocker()];
    expect(await to.images.load(await from.images.save(['app:1']))).toEqual(['app:1']);
    expect((await to.images.inspect('app:1')).id).toBe((await from.images.inspect('app:1')).id);
    await expect(to.images.save(['app:2'])).rejects.toMatchObject({ code: 'image_missing' });
  });
});

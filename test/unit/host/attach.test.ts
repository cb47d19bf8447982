// Attaches on a fake engine: order of frames, what ends what, and what an attach waits for.
import { afterEach, describe, expect, it } from 'vitest';
import { frame, writeFrame } from '../../../src/lib/api/attach.js';
import { attachTimeLeft } from '../../../src/lib/layer0/host/attach-wait.js';
import { FakeDocker, type Program } from '../../fakes/docker.js';
import { fakeClock } from '../../fakes/clock.js';
import { AttachRig, readAll, say } from './attach-rig.js';
import { claim, jobId, kinds, template, World } from './world.js';

const rigs: AttachRig[] = [];
const rigWith = (
  program: Program,
  clock = fakeClock(),
): AttachRig & { docker: FakeDocker; clock: typeof clock } => {
  const rig = new AttachRig(new FakeDocker({ clock, images: ['app:1'], program: () => program }), clock);
  rigs.push(rig);
  return rig as AttachRig & { docker: FakeDocker; clock: typeof clock };
};
afterEach(() => {
  for (const rig of rigs.splice(0)) rig.stop.abort();
});

const cat: Program = (io) => {
  io.stdin.on('data', (data: Buffer) => io.out(data.toString()));
  io.stdin.on('end', () => {
    io.err('done\n');
    io.exit(3);
  });
};

describe('an attach that starts its job', () => {
  it('given a created container, then started comes first, all output next, and the exit last', async () => {
    const rig = rigWith(cat);
    const id = await rig.create(rig.claim());
    const { client, served } = rig.attach();
    const seen = readAll(client);
    await say(client, 'hello');
    await served;
    client.end();
    const { stdout, stderr, types, lastJson } = await seen;
    expect({ stdout, stderr, lastJson }).toEqual({
      stdout: 'hello',
      stderr: 'done\n',
      lastJson: { code: 3 },
    });
    expect(types[0]).toBe(frame.started);
    expect(types.at(-1)).toBe(frame.exit);
    expect(rig.state.busy.size).toBe(0);
    expect(rig.docker.get(id).info.exitCode).toBe(3);
  });

  it('given output in the very moment of the start, then nothing of it is lost', async () => {
    const rig = rigWith((io) => {
      io.out('first');
      io.exit(0);
    });
    await rig.create(rig.claim());
    const { client, served } = rig.attach();
    const seen = readAll(client);
    await served;
    client.end();
    expect(await seen).toMatchObject({ stdout: 'first', lastJson: { code: 0 } });
  });

  it('given a claim that is on its way, then the attach waits for the container', async () => {
    const rig = rigWith(cat);
    const { client, served } = rig.attach();
    const seen = readAll(client);
    await rig.clock.advance(5_000);
    const made = rig.claim();
    await rig.clock.advance(100_000);
    await rig.create(made);
    await say(client, 'x');
    await served;
    client.end();
    expect(await seen).toMatchObject({ stdout: 'x', lastJson: { code: 3 } });
  });

  it('given no such job, then the attach is told so after 10 s', async () => {
    const rig = rigWith(cat);
    const { client, served } = rig.attach();
    const seen = readAll(client);
    await rig.clock.advance(10_001);
    await served;
    client.end();
    expect(await seen).toMatchObject({ lastJson: { code: 'not_found' } });
  });

  it('given an engine that refuses the start, then the job has failed and nothing is left over', async () => {
    const rig = rigWith(cat);
    await rig.create(rig.claim());
    rig.docker.failNext('containers.start', new Error('exec: "nope": not found'));
    const { client, served } = rig.attach();
    const seen = readAll(client);
    await served;
    client.end();
    expect(await seen).toMatchObject({ lastJson: { code: 'failed' } });
    expect(rig.docker.all.size).toBe(0);
    expect(rig.state.jobs.get(rig.job)?.exit).toMatchObject({
      code: null,
      reason: 'exec: "nope": not found',
    });
  });

  it('given a kernel that killed it for memory, then the exit tells the reason', async () => {
    const rig = rigWith(() => undefined);
    const id = await rig.create(rig.claim());
    const { client, served } = rig.attach();
    const seen = readAll(client, ({ type }) => {
      if (type === frame.started) rig.docker.exit(id, 137, { oom: true });
    });
    await served;
    client.end();
    expect(await seen).toMatchObject({ lastJson: { code: 137, reason: 'killed: out of memory at 64 MiB' } });
  });

  it('given a terminal size and a signal before the start, then both arrive', async () => {
    const rig = rigWith((io) => io.onSignal((name) => (io.out(name), io.exit(0))));
    const id = await rig.create(rig.claim({ tty: true }));
    const { client, served } = rig.attach();
    const seen = readAll(client);
    await writeFrame(client, frame.resize, { columns: 100, rows: 30 });
    await writeFrame(client, frame.signal, { signal: 'SIGUSR1' });
    await served;
    client.end();
    expect((await seen).stdout).toBe('SIGUSR1');
    expect(new Set(rig.docker.get(id).sizes)).toEqual(new Set(['100x30']));
  });
});

describe('the end of an attached side', () => {
  const deaf: Program = (io) => io.onSignal(() => undefined);

  it('given a job that listens, then SIGTERM ends it', async () => {
    const rig = rigWith(() => undefined);
    const id = await rig.create(rig.claim());
    const { client, served } = rig.attach();
    await untilStarted(client);
    client.destroy();
    await served;
    expect(rig.docker.get(id).info).toMatchObject({ state: 'exited', exitCode: 143 });
  });

  it('given a job that does not listen, then SIGKILL comes 10 s later', async () => {
    const rig = rigWith(deaf);
    const id = await rig.create(rig.claim());
    const { client, served } = rig.attach();
    await untilStarted(client);
    client.destroy();
    await rig.clock.advance(9_900);
    expect(rig.docker.get(id).running).toBe(true);
    await rig.clock.advance(200);
    await served;
    expect(rig.docker.get(id).info.exitCode).toBe(137);
  });

  it('given it left while it waited, then the container still waits for another attach', async () => {
    const rig = rigWith(cat);
    const made = rig.claim();
    const first = rig.attach();
    first.client.destroy();
    await first.served;
    const id = await rig.create(made);
    expect(rig.docker.get(id).info.state).toBe('created');
  });

  it('given the agent ends, then the job goes on and the attached side is told', async () => {
    const rig = rigWith(() => undefined);
    const id = await rig.create(rig.claim());
    const { client, served } = rig.attach();
    const seen = readAll(client, ({ type }) => type === frame.started && rig.stop.abort());
    await served;
    client.end();
    expect(await seen).toMatchObject({ lastJson: { code: 'unreachable' } });
    expect(rig.docker.get(id).running).toBe(true);
  });

  it('given a frame that makes no sense, then it is told and the job is ended', async () => {
    const rig = rigWith(() => undefined);
    const id = await rig.create(rig.claim());
    const { client, served } = rig.attach();
    const seen = readAll(client);
    await writeFrame(client, frame.exit, { code: 0 });
    await served;
    client.end();
    expect(await seen).toMatchObject({ lastJson: { code: 'invalid' } });
    expect(rig.docker.get(id).running).toBe(false);
  });
});

describe('an attach to a job that runs', () => {
  it('given a service, then its output from now on is shown, input is not read, and leaving does not end it', async () => {
    const rig = rigWith(cat);
    const id = await rig.create(rig.claim({ kind: 'service', attach: false }), true);
    rig.docker.output(id, 'before\n');
    const { client, served } = rig.attach();
    let got = '';
    const seen = readAll(client, ({ type, payload }) => {
      if (type === frame.started) setImmediate(() => rig.docker.output(id, 'after\n'));
      if (type === frame.stdout) got += payload.toString();
      if (got === 'after\n') client.destroy();
    }).catch(() => undefined);
    await say(client, 'ignored');
    await served;
    await seen;
    expect(got).toBe('after\n');
    expect(rig.docker.get(id).running).toBe(true);
  });

  it('given a job that has ended, then a late attach is told how', async () => {
    const rig = rigWith((io) => io.exit(4));
    await rig.create(rig.claim());
    const first = rig.attach();
    first.client.resume();
    await first.served;
    const record = rig.state.jobs.get(rig.job);
    const container = record?.container ?? '';
    if (record) record.exit = { container, code: 4, reason: 'exited with code 4', tail: [] };
    const { client, served } = rig.attach();
    const seen = readAll(client);
    await served;
    client.end();
    expect(await seen).toMatchObject({ lastJson: { code: 4 } });
  });
});

describe('the plan of a one-off that waits for its attach', () => {
  const once = template({ kind: 'oneoff', attach: true });
  const job = jobId(1);
  const waiting = (): World => new World({ once }).sync().put(job, claim({ t: 'once', p: [] }));
  const status = (world: World) => world.state.statuses.get(`status/a/${job}`)?.value;

  it('given its claim, then it is created once, is starting, and not started by the plan', () => {
    const world = waiting();
    for (let i = 0; i < 5; i++) world.step();
    expect(kinds(world.log).filter((kind) => kind === 'start')).toHaveLength(1);
    expect(status(world)).toMatchObject({ state: 'starting', reason: 'waits for its attach' });
  });

  it('given nobody attaches for 60 s, then it has failed, is not tried again, and keeps its claim', () => {
    const world = waiting();
    for (let i = 0; i < 5; i++) world.step();
    world.pass(59_000).step();
    expect(kinds(world.log)).not.toContain('abandon');
    world.pass(1_500).settle();
    expect(kinds(world.log).filter((kind) => kind === 'start' || kind === 'abandon')).toEqual([
      'start',
      'abandon',
    ]);
    expect(status(world)).toMatchObject({ state: 'failed', reason: 'nobody attached' });
    expect(world.claims.has(job)).toBe(true);
    world.restartAgent();
    world.sync().pass(120_000).settle();
    expect(status(world)).toMatchObject({ state: 'failed', reason: 'nobody attached' });
  });

  it('given an attach is starting it, then the plan leaves it alone', () => {
    const world = waiting();
    for (let i = 0; i < 5; i++) world.step();
    world.state.busy.set(`container:${job}`, 'start');
    expect(kinds(world.pass(70_000).plan())).toEqual([]);
  });

  it('given a one-off without attach that was created and not started, then it is started', () => {
    const plain = template({ kind: 'oneoff' });
    const world = new World({ plain });
    world.container(job, { state: 'created', template: 'plain' });
    world.sync().put(job, claim({ t: 'plain', p: [] }));
    expect(kinds(world.plan())).toContain('start');
  });

  it('given a container of an agent before this one, then its age by the wall clock counts', () => {
    const at = { mono: 5, wall: 100_000 };
    expect(attachTimeLeft({}, { createdAt: 70_000 }, at)).toBe(30_000);
    expect(attachTimeLeft({ waitSince: 1 }, { createdAt: 0 }, at)).toBe(59_996);
  });
});

/** Resolves when the job has been started; reads on and drops what follows. */
const untilStarted = (client: AsyncIterable<Buffer>): Promise<void> =>
  new Promise((resolve, reject) => {
    readAll(client, ({ type }) => type === frame.started && resolve()).catch(reject);
  });

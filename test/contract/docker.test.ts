// The Docker room against this machine's engine: containers, streams, images, errors, tunnels.
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Duplex, PassThrough, Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pack } from 'tar-stream';
import { isFlynnError, type FlynnError } from '../../src/lib/api/errors.js';
import {
  openDocker,
  type ContainerSpec,
  type Docker,
  type DockerEvent,
  type LogLine,
} from '../../src/lib/docker/index.js';
import { createConnector, type SshConnection } from '../../src/lib/ssh/index.js';
import { describeDocker } from '../fakes/docker-contract.js';
import { fingerprintOf, startSshd, type Sshd } from '../fakes/sshd.js';

const IMAGE = 'debian:bookworm-slim';
const run = `flynn-contract-${randomBytes(4).toString('hex')}`;
const label = { 'flynn.test': run };
let docker: Docker;
let count = 0;

const spec = (script: string, more: Partial<ContainerSpec> = {}): ContainerSpec => ({
  name: `${run}-${count++}`,
  image: IMAGE,
  cmd: ['sh', '-c', script],
  labels: label,
  ...more,
});
const start = async (script: string, more: Partial<ContainerSpec> = {}): Promise<string> => {
  const id = await docker.containers.create(spec(script, more));
  await docker.containers.start(id);
  return id;
};
const failure = async (work: Promise<unknown>): Promise<FlynnError> => {
  const error: unknown = await work.then(
    () => undefined,
    (e: unknown) => e,
  );
  if (!isFlynnError(error)) throw new Error(`expected a FlynnError, got ${String(error)}`, { cause: error });
  return error;
};
const text = async (stream: Readable): Promise<string> => {
  let all = '';
  for await (const chunk of stream) all += String(chunk);
  return all;
};
const lines = async (source: AsyncIterable<LogLine>): Promise<LogLine[]> => {
  const all: LogLine[] = [];
  for await (const line of source) all.push(line);
  return all;
};
const tarOf = (files: Record<string, string>): Readable => {
  const tar = pack();
  for (const [name, content] of Object.entries(files)) tar.entry({ name }, content);
  tar.finalize();
  return tar as unknown as Readable;
};

beforeAll(() => {
  // A host of somebody else's environment must not be looked at.
  process.env['DOCKER_HOST'] = 'tcp://192.0.2.1:2375';
  docker = openDocker();
});
afterAll(async () => {
  delete process.env['DOCKER_HOST'];
  for (const { id } of await docker.containers.list({ labels: [`flynn.test=${run}`] }))
    await docker.containers.remove(id, { force: true, volumes: true });
  for (const { id } of await docker.images.list({ labels: [`flynn.test=${run}`] }))
    await docker.images.remove(id, { force: true });
  for (const { name } of await docker.volumes.list({ labels: [`flynn.test=${run}`] }))
    await docker.volumes.remove(name);
  for (const { name } of await docker.networks.list({ labels: [`flynn.test=${run}`] }))
    await docker.networks.remove(name);
  docker.close();
});

describeDocker('the real engine', () => docker, IMAGE, run);

describe('the engine', () => {
  it('given a running engine, then it tells about itself', async () => {
    await docker.ping();
    expect((await docker.version()).apiVersion).toMatch(/^1\.\d+$/);
    const info = await docker.info();
    expect(info.cpus).toBeGreaterThan(0);
    expect(info.memoryBytes).toBeGreaterThan(1e8);
    expect(info.rootDir).toMatch(/^\//);
  });

  it('given a socket that is not there, then it is unreachable with a hint; a closed client too', async () => {
    const absent = openDocker({ socketPath: '/no/such.sock' });
    const error = await failure(absent.ping());
    expect(error.code).toBe('unreachable');
    expect(error.message).toContain('/no/such.sock');
    expect(error.hint).toContain('docker info');
    absent.close();
    expect((await failure(absent.ping())).code).toBe('unreachable');
  });

  it('given an engine that never answers, then the deadline and the abort hold', async () => {
    const silent = () => new Duplex({ read: () => undefined, write: (_chunk, _encoding, done) => done() });
    const mute = openDocker({ dial: () => Promise.resolve(silent()), where: 'on nowhere' });
    expect((await failure(mute.ping({ timeoutMs: 100 }))).code).toBe('timeout');
    const aborting = new AbortController();
    setTimeout(() => aborting.abort(new Error('enough')), 50);
    await expect(mute.ping({ signal: aborting.signal })).rejects.toThrow('enough');
    mute.close();
  });
});

describe('containers', () => {
  it('given a spec, then inspect and list show it', async () => {
    const id = await start('sleep 60', {
      env: { A: '1', B: 'x=y z' },
      publish: [{ hostIp: '127.0.0.1', hostPort: 39321, containerPort: 80, proto: 'tcp' }],
      memoryBytes: 64 * 1024 * 1024,
      cpuShares: 102,
      pidsLimit: 50,
      capDrop: ['ALL'],
      capAdd: ['CHOWN'],
      noNewPrivileges: true,
      init: true,
      user: 'nobody',
      workingDir: '/tmp',
      restart: 'always',
      stopTimeout: 1,
      logDriver: 'json-file',
      logOpts: { 'max-size': '1m' },
      ulimits: [{ name: 'nofile', soft: 100, hard: 100 }],
      extraHosts: { 'db.flynn': '10.9.8.7' },
      dns: ['127.0.0.9'],
      tmpfs: { '/scratch': 'size=1m' },
      readonlyRootfs: true,
      oomScoreAdj: 500,
      hostname: 'unit',
      healthcheck: 'none',
    });
    const found = await docker.containers.inspect(id);
    expect(found).toMatchObject({
      id,
      image: IMAGE,
      state: 'running',
      labels: label,
      restart: 'always',
      restartCount: 0,
      memoryBytes: 64 * 1024 * 1024,
      ports: [{ hostIp: '127.0.0.1', hostPort: 39321, containerPort: 80, proto: 'tcp' }],
      oomKilled: false,
      tty: false,
    });
    expect(found.name).toMatch(run);
    expect(found.pid).toBeGreaterThan(0);
    expect(found.env['B']).toBe('x=y z');
    expect(found.ip).toMatch(/^\d+\.\d+\.\d+\.\d+$/);
    expect(found.startedAt).toBeGreaterThan(Date.now() - 60_000);
    expect(found.finishedAt).toBeUndefined();
    const [listed] = await docker.containers.list({ labels: [`flynn.test=${run}`], names: [found.name] });
    expect(listed).toMatchObject({
      id,
      name: found.name,
      state: 'running',
      imageId: found.imageId,
      labels: label,
    });
    const inside = await docker.containers.exec(id, [
      'sh',
      '-c',
      'id -un; pwd; ulimit -n; hostname; grep db.flynn /etc/hosts; grep NoNewPrivs /proc/self/status; touch /x || echo read-only; grep nameserver /etc/resolv.conf',
    ]);
    expect(inside.stdout.replaceAll('\t', ' ')).toBe(
      'nobody\n/tmp\n100\nunit\n10.9.8.7 db.flynn\nNoNewPrivs: 1\nread-only\nnameserver 127.0.0.9\n',
    );
    const stats = await docker.containers.stats(id);
    expect(stats.memoryBytes).toBeGreaterThan(0);
    expect(stats.memoryLimitBytes).toBe(64 * 1024 * 1024);
    expect(stats.pids).toBeGreaterThan(0);
    await docker.containers.stop(id);
    const stopped = await docker.containers.inspect(id);
    expect(stopped).toMatchObject({ state: 'exited', pid: 0, ip: undefined, ports: found.ports });
    expect(stopped.finishedAt).toBeGreaterThan(0);
  });

  it('given start, stop and remove twice, then the second is no error; kill of a stopped one is a conflict', async () => {
    const id = await start('exec sleep 60', { init: true });
    await docker.containers.start(id);
    await docker.containers.stop(id, 1);
    await docker.containers.stop(id, 1);
    expect((await failure(docker.containers.kill(id))).code).toBe('conflict');
    await docker.containers.remove(id);
    await docker.containers.remove(id);
    expect((await failure(docker.containers.inspect(id))).code).toBe('not_found');
    expect((await failure(docker.containers.start(id))).code).toBe('not_found');
  });

  it('given a name in use, then it is a conflict; a missing image is image_missing', async () => {
    const one = spec('true');
    await docker.containers.create(one);
    expect((await failure(docker.containers.create(one))).code).toBe('conflict');
    const missing = await failure(docker.containers.create({ ...spec('true'), image: 'no.such/image:1' }));
    expect(missing.code).toBe('image_missing');
    expect(missing.message).toContain('no.such/image:1');
  });

  it('given an exit, then wait tells the code, before and after it', async () => {
    const id = await docker.containers.create(spec('sleep 0.3; exit 7'));
    const waiting = docker.containers.wait(id, { condition: 'next-exit' });
    await docker.containers.start(id);
    expect(await waiting).toEqual({ exitCode: 7 });
    expect(await docker.containers.wait(id)).toEqual({ exitCode: 7 });
    const endless = await start('sleep 60');
    expect((await failure(docker.containers.wait(endless, { timeoutMs: 100 }))).code).toBe('timeout');
    await docker.containers.pause(endless);
    expect((await docker.containers.inspect(endless)).state).toBe('paused');
    await docker.containers.unpause(endless);
    await docker.containers.kill(endless, 'SIGKILL');
    expect((await docker.containers.wait(endless)).exitCode).toBe(137);
  });

  it('given too little memory, then the end is told as out of memory', async () => {
    const id = await start('head -c 300m /dev/zero | tail; sleep 0.5; exit 9', {
      memoryBytes: 16 * 1024 * 1024,
      memorySwapBytes: 16 * 1024 * 1024,
    });
    await docker.containers.wait(id);
    const found = await docker.containers.inspect(id);
    expect(found.exitCode).toBe(9);
    expect(found.oomKilled).toBe(true);
  });

  it('given a command that does not exist, then the start fails with the reason', async () => {
    const id = await docker.containers.create({ ...spec(''), cmd: ['/no/such/program'] });
    const error = await failure(docker.containers.start(id));
    expect(error.message).toContain('/no/such/program');
    expect((await docker.containers.inspect(id)).error).toContain('/no/such/program');
  });
});

describe('streams', () => {
  it('given output on both streams, then logs tell it by line, stream and time', async () => {
    const long = 'x'.repeat(40_000);
    const id = await start(
      `echo one; echo two >&2; head -c 40000 /dev/zero | tr '\\0' x; echo; printf 'no end'`,
    );
    await docker.containers.wait(id);
    const all = await lines(docker.containers.logs(id));
    const out = all.filter((l) => l.stream === 'stdout').map((l) => l.line);
    expect(out).toEqual(['one', long, 'no end']);
    expect(all.filter((l) => l.stream === 'stderr').map((l) => l.line)).toEqual(['two']);
    expect(all[0]?.ts).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$/);
    const tail = await lines(docker.containers.logs(id, { tail: 1 }));
    expect(tail.map((l) => l.line)).toEqual(['no end']);
    const last = all.at(-1)?.ts ?? '';
    expect((await lines(docker.containers.logs(id, { since: last }))).map((l) => l.line)).toContain('no end');
    expect(await lines(docker.containers.logs(id, { since: Date.now() / 1000 + 10 }))).toEqual([]);
  });

  it('given follow, then lines come as they are written; the abort and the end of the container end it', async () => {
    const id = await start('for i in 1 2 3; do echo $i; sleep 0.2; done');
    const seen = (await lines(docker.containers.logs(id, { follow: true }))).map((l) => l.line);
    expect(seen).toEqual(['1', '2', '3']);
    const endless = await start('while :; do echo tick; sleep 0.1; done');
    const aborting = new AbortController();
    const got: string[] = [];
    for await (const { line } of docker.containers.logs(endless, { follow: true, signal: aborting.signal })) {
      if (got.push(line) === 2) aborting.abort();
    }
    expect(got.length).toBeLessThan(5);
    for await (const { line } of docker.containers.logs(endless, { follow: true })) {
      expect(line).toBe('tick');
      break;
    }
    await docker.containers.kill(endless);
  });

  it('given a terminal, then its lines are read as well', async () => {
    const id = await start('echo a; echo b', { tty: true });
    await docker.containers.wait(id);
    expect((await lines(docker.containers.logs(id))).map((l) => l.line)).toEqual(['a', 'b']);
  });

  it('given an attach before the start, then nothing is lost and the streams stay apart', async () => {
    const id = await docker.containers.create(
      spec('cat; echo done >&2; exit 3', { openStdin: true, stdinOnce: true, attachStdin: true }),
    );
    const io = await docker.containers.attach(id);
    const out = text(io.stdout);
    const err = text(io.stderr);
    await docker.containers.start(id);
    io.stdin.write('hello ');
    io.stdin.end('world');
    expect(await out).toBe('hello world');
    expect(await err).toBe('done\n');
    await io.closed;
    expect((await docker.containers.wait(id)).exitCode).toBe(3);
  });

  it('given 50 MB through an attached cat, then every byte comes back with backpressure', async () => {
    const id = await docker.containers.create(
      spec('cat', { openStdin: true, stdinOnce: true, attachStdin: true }),
    );
    const io = await docker.containers.attach(id);
    io.stderr.resume();
    await docker.containers.start(id);
    const block = Buffer.alloc(64 * 1024, 'x');
    Readable.from(Array.from({ length: 800 }, () => block)).pipe(io.stdin);
    let size = 0;
    for await (const chunk of io.stdout) size += (chunk as Buffer).length;
    expect(size).toBe(800 * block.length);
  });

  it('given a terminal, then it can be sized before the start and later, and detach leaves it running', async () => {
    const id = await docker.containers.create(
      spec('read x; stty size; read y; stty size; sleep 60', {
        tty: true,
        openStdin: true,
        attachStdin: true,
      }),
    );
    const io = await docker.containers.attach(id);
    let seen = '';
    io.stdout.on('data', (chunk: Buffer) => (seen += chunk.toString()));
    await io.resize(100, 40);
    await docker.containers.start(id);
    io.stdin.write('go\n');
    await expect.poll(() => seen, { timeout: 5_000 }).toMatch(/\d+ \d+\r\n/);
    await io.resize(77, 33);
    io.stdin.write('go\n');
    await expect.poll(() => seen, { timeout: 5_000 }).toContain('33 77');
    io.detach();
    await io.closed;
    expect((await docker.containers.inspect(id)).state).toBe('running');
    await docker.containers.kill(id);
  });

  it('given commands in a container, then output, input and exit code come back', async () => {
    const id = await start('sleep 60');
    expect(
      await docker.containers.exec(id, ['sh', '-c', 'echo $X; echo err >&2; exit 5'], { env: { X: 'é' } }),
    ).toEqual({
      code: 5,
      stdout: 'é\n',
      stderr: 'err\n',
    });
    expect((await docker.containers.exec(id, ['cat'], { input: 'fed' })).stdout).toBe('fed');
    const endless = Readable.from(
      (function* () {
        for (;;) yield Buffer.alloc(65_536);
      })(),
    );
    expect((await docker.containers.exec(id, ['head', '-c', '3'], { input: endless })).stdout).toHaveLength(
      3,
    );
    expect((await failure(docker.containers.exec(id, ['sleep', '9'], { timeoutMs: 200 }))).code).toBe(
      'timeout',
    );
    expect((await docker.containers.exec(id, ['/no/such'])).code).toBeGreaterThan(125);
    await docker.containers.kill(id);
    expect((await failure(docker.containers.exec(id, ['true']))).code).toBe('conflict');
    expect((await failure(docker.containers.exec('no-such-one', ['true']))).code).toBe('not_found');
  });

  it('given an interactive command with a terminal, then it can be resized and tells its exit code', async () => {
    const id = await start('sleep 60');
    const io = await docker.containers.execAttach(id, ['sh', '-c', 'read x; stty size; exit 6'], {
      tty: true,
    });
    await io.resize(90, 20);
    io.stdin.write('go\n');
    expect(await text(io.stdout)).toContain('20 90');
    expect(await io.exitCode()).toBe(6);
    await docker.containers.kill(id);
  });

  it('given events, then they come in order; the abort ends them', async () => {
    const aborting = new AbortController();
    const since = Date.now() / 1000 - 0.001;
    const id = await start('exit 4');
    await docker.containers.wait(id);
    const seen: DockerEvent[] = [];
    const opts = { types: ['container'], labels: [`flynn.test=${run}`], since, signal: aborting.signal };
    for await (const event of docker.events(opts)) {
      if (event.id === id) seen.push(event);
      if (event.id === id && event.action === 'die') aborting.abort();
    }
    expect(seen.map((e) => e.action)).toEqual(expect.arrayContaining(['create', 'start', 'die']));
    expect(seen.at(-1)?.attributes).toMatchObject({ exitCode: '4', 'flynn.test': run });
    expect(Number(seen[0]?.timeNano) / 1e9).toBeGreaterThan(since - 1);
  });

  it('given a tar, then it is unpacked into a container and read back', async () => {
    const id = await docker.containers.create(spec('cat /etc/note'));
    await docker.containers.putArchive(id, '/etc', tarOf({ note: 'from a tar' }));
    await docker.containers.start(id);
    await docker.containers.wait(id);
    expect((await lines(docker.containers.logs(id)))[0]?.line).toBe('from a tar');
    expect(await text(await docker.containers.getArchive(id, '/etc/note'))).toContain('from a tar');
  });
});

describe('images', () => {
  const tag = `flynn-contract:${run}`;
  const dockerfile = `FROM ${IMAGE}\nARG WHO\nLABEL flynn.test=${run}\nENV WHO=$WHO\nEXPOSE 8080/tcp\nCMD ["echo","hi"]\nRUN echo built for $WHO >/who\n`;

  it('given a context, then it builds, tags, saves, removes and loads it again', async () => {
    let output = '';
    const id = await docker.images.build(tarOf({ Dockerfile: dockerfile }), {
      tags: [tag],
      buildArgs: { WHO: 'me' },
      onOutput: (piece) => (output += piece),
    });
    expect(output).toContain('Step');
    const image = await docker.images.inspect(tag);
    expect(image).toMatchObject({
      id,
      tags: [tag],
      cmd: ['echo', 'hi'],
      exposed: [{ port: 8080, proto: 'tcp' }],
    });
    expect(image.env['WHO']).toBe('me');
    await docker.images.tag(tag, `${tag}-2`);
    expect((await docker.images.inspect(id)).tags).toHaveLength(2);
    expect((await docker.images.list({ reference: 'flynn-contract' })).some((i) => i.id === id)).toBe(true);
    const saved = new PassThrough();
    const copy: Buffer[] = [];
    saved.on('data', (chunk: Buffer) => copy.push(chunk));
    (await docker.images.save([tag])).pipe(saved);
    await new Promise((resolve) => saved.once('end', resolve));
    await docker.images.remove(`${tag}-2`);
    await docker.images.remove(tag);
    await docker.images.remove(tag);
    expect((await failure(docker.images.inspect(tag))).code).toBe('image_missing');
    expect(await docker.images.load(Readable.from(copy))).toEqual([tag]);
    expect((await docker.images.inspect(tag)).id).toBe(id);
  });

  it('given a step that fails, then the build fails with the last output', async () => {
    const bad = `FROM ${IMAGE}\nRUN echo the reason && exit 9\n`;
    const error = await failure(docker.images.build(tarOf({ Dockerfile: bad }), { tags: [`${tag}-bad`] }));
    expect(error.code).toBe('build_failed');
    expect(error.message).toContain('the reason');
    expect(error.message).toContain('9');
    const syntax = await failure(
      docker.images.build(tarOf({ Dockerfile: 'NOSUCH x\n' }), { tags: [`${tag}-bad`] }),
    );
    expect(syntax.message).toMatch(/NOSUCH/i);
  });

  it('given a file that is no image, then load fails although the engine answers 200', async () => {
    const error = await failure(docker.images.load(Readable.from([Buffer.alloc(2048, 1)])));
    expect(isFlynnError(error)).toBe(true);
    expect(error.message).toContain('load');
  });

  it('given a registry nobody answers for, then pull fails with a code', async () => {
    const error = await failure(docker.images.pull('127.0.0.1:1/no/such:1'));
    expect(['unreachable', 'failed', 'image_missing']).toContain(error.code);
    expect(error.message).toContain('127.0.0.1:1/no/such:1');
  });
});

describe('networks and volumes', () => {
  it('given a network and a volume, then containers use them and removal is idempotent', async () => {
    const net = `${run}-net`;
    const vol = `${run}-vol`;
    await docker.networks.create({ name: net, subnet: '10.213.57.0/24', labels: label });
    expect((await failure(docker.networks.create({ name: net }))).code).toBe('conflict');
    expect(await docker.networks.inspect(net)).toMatchObject({ name: net, subnets: ['10.213.57.0/24'] });
    await docker.volumes.create({ name: vol, labels: label });
    await docker.volumes.create({ name: vol, labels: label });
    const id = await start('echo kept >/data/file; sleep 60', {
      network: net,
      mounts: [{ type: 'volume', source: vol, target: '/data' }],
    });
    const found = await docker.containers.inspect(id);
    expect(found.ip).toMatch(/^10\.213\.57\./);
    expect(found.mounts).toEqual([{ type: 'volume', source: vol, target: '/data', readOnly: false }]);
    expect((await failure(docker.volumes.remove(vol))).code).toBe('conflict');
    await docker.containers.remove(id, { force: true });
    await docker.volumes.remove(vol);
    await docker.volumes.remove(vol);
    await docker.networks.remove(net);
    await docker.networks.remove(net);
    expect((await failure(docker.volumes.inspect(vol))).code).toBe('not_found');
  });
});

describe('through SSH', () => {
  let sshd: Sshd;
  let conn: SshConnection;
  beforeAll(async () => {
    sshd = await startSshd();
    conn = await createConnector().connect(
      { host: '127.0.0.1', port: sshd.port, user: sshd.user },
      {
        sshConfig: false,
        hostKeys: { pinned: [await fingerprintOf(sshd.hostKeys[0] ?? '')] },
        auth: { identityFiles: [sshd.userKey] },
      },
    );
  });
  afterAll(async () => {
    await conn.close();
    await sshd.stop();
  });

  const doors: [string, () => Docker][] = [
    [
      'a forwarded socket',
      () => openDocker({ dial: () => conn.forwardUnix('/var/run/docker.sock'), where: 'on one' }),
    ],
    [
      'docker system dial-stdio',
      () =>
        openDocker({
          where: 'on one',
          maxIdle: 1,
          dial: async () => {
            const proc = await conn.spawn(
              ['docker', '-H', 'unix:///var/run/docker.sock', 'system', 'dial-stdio'],
              {
                sudo: true,
              },
            );
            proc.stderr.resume();
            return proc;
          },
        }),
    ],
  ];
  it.each(doors)('given %s, then calls, parallel calls, attach and a big load work', async (_name, open) => {
    const remote = open();
    try {
      await remote.ping();
      const infos = await Promise.all(Array.from({ length: 6 }, () => remote.info()));
      expect(infos[5]?.cpus).toBeGreaterThan(0);
      const id = await remote.containers.create(
        spec('cat; exit 2', { openStdin: true, stdinOnce: true, attachStdin: true }),
      );
      const io = await remote.containers.attach(id);
      io.stderr.resume();
      const out = text(io.stdout);
      await remote.containers.start(id);
      io.stdin.end('over ssh');
      expect(await out).toBe('over ssh');
      expect(await remote.containers.wait(id)).toEqual({ exitCode: 2 });
      expect((await remote.containers.exec(await start('sleep 60'), ['echo', 'x'])).stdout).toBe('x\n');
      // There and back again: the whole image through the tunnel in both directions, memory stays flat.
      const before = process.memoryUsage().rss;
      const loaded = await remote.images.load(await remote.images.save([IMAGE]));
      expect(loaded).toEqual([IMAGE]);
      expect((process.memoryUsage().rss - before) / 1024 / 1024).toBeLessThan(150);
    } finally {
      remote.close();
    }
  });

  it('given a connection that is cut, then calls are unreachable and the error names the host', async () => {
    const remote = openDocker({ dial: () => conn.forwardUnix('/var/run/docker.sock'), where: 'on one' });
    await remote.ping();
    // Others' containers may come and go meanwhile: only the end of the stream counts.
    const pending = failure(
      (async () => {
        for await (const _event of remote.events());
      })(),
    );
    await sleep(200);
    await conn.close();
    expect((await pending).code).toBe('unreachable');
    expect((await failure(remote.ping())).code).toBe('unreachable');
    remote.close();
  });
});

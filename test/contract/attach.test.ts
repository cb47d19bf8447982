// Attaches over HTTP against this machine's Docker engine: bytes, codes, terminals, and what becomes of a lost attach.
import { createHash, randomBytes } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { Hono } from 'hono';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decodeFrames, frame, writeFrame, type Frame } from '../../src/lib/api/attach.js';
import { HttpClient } from '../../src/lib/api/http.js';
import { serve } from '../../src/lib/appliance/server.js';
import { openDocker, type Docker } from '../../src/lib/docker/index.js';
import { attachUpgrade } from '../../src/lib/layer0/host/attach.js';
import { mayCallAgent } from '../../src/lib/layer0/host/api.js';
import type { JobTemplateInput } from '../../src/lib/api/job.js';
import { makeCerts } from '../fakes/test-certs.js';
import { AttachRig } from '../unit/host/attach-rig.js';
import { Agent } from 'node:https';

const MiB = 1024 * 1024;
const image = 'debian:bookworm-slim';
const docker: Docker = openDocker();
const made: string[] = [];
const servers: Server[] = [];
let certs: Awaited<ReturnType<typeof makeCerts>>;

beforeAll(async () => {
  certs = await makeCerts();
  await docker.images.inspect(image);
});
afterAll(async () => {
  for (const server of servers) {
    server.closeAllConnections();
    server.close();
  }
  for (const id of made) await docker.containers.remove(id, { force: true, volumes: true });
  docker.close();
});

/** A created job that runs a shell script, and a client of its agent. */
const jobOf = async (script: string, more: Partial<JobTemplateInput> = {}) => {
  const rig = new AttachRig(docker);
  // Names of containers are the machine's: one job id per test.
  Object.assign(rig, { job: `a-${randomBytes(13).toString('hex')}` });
  const id = await rig.create(rig.claim({ image, args: ['sh', '-c', script], ...more }));
  made.push(id);
  const server = await serve({
    app: new Hono(),
    host: '127.0.0.1',
    port: 0,
    identity: certs.server,
    onUpgrade: attachUpgrade(rig.agent, (name) => name === 'client' || mayCallAgent(name), rig.stop.signal),
  });
  servers.push(server);
  const { port } = server.address() as AddressInfo;
  const client = new HttpClient({ baseUrl: `https://127.0.0.1:${port}`, agent: new Agent(certs.client) });
  const attach = (): Promise<Duplex> => client.upgrade('POST', `/v1/jobs/${rig.job}/attach`);
  return { rig, id, attach, client, port };
};

const follow = async (
  socket: Duplex,
  each: (one: Frame) => void | Promise<void> = () => undefined,
): Promise<{ stdout: string; stderr: string; exit: unknown; types: number[] }> => {
  const all = { stdout: '', stderr: '', exit: undefined as unknown, types: [] as number[] };
  for await (const one of decodeFrames(socket)) {
    all.types.push(one.type);
    if (one.type === frame.stdout) all.stdout += one.payload.toString();
    if (one.type === frame.stderr) all.stderr += one.payload.toString();
    if (one.type === frame.exit || one.type === frame.error) all.exit = JSON.parse(one.payload.toString());
    await each(one);
  }
  return all;
};

const untilState = async (id: string, state: string, ms: number): Promise<number> => {
  const began = Date.now();
  while ((await docker.containers.inspect(id)).state !== state) {
    if (Date.now() - began > ms) throw new Error(`not ${state} within ${ms} ms`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return Date.now() - began;
};

describe('an attach to a real container', () => {
  it('given 200 MB through cat, then every byte comes back and memory stays flat', async () => {
    const { attach } = await jobOf('cat');
    const socket = await attach();
    const total = 200 * MiB;
    // Text: what Docker's log makes of other bytes takes longer than all the rest.
    const block = Buffer.from(
      randomBytes(MiB)
        .toString('base64')
        .replace(/(.{99})/g, '$1\n')
        .slice(0, MiB),
    );
    const [sent, got] = [createHash('sha256'), createHash('sha256')];
    let bytes = 0;
    let exit: unknown;
    const before = process.memoryUsage().rss;
    let peak = before;
    const writing = (async () => {
      for (let at = 0; at < total; at += block.length) {
        block.write(String(at).padStart(10, '0'), 0);
        sent.update(block);
        await writeFrame(socket, frame.stdin, block);
      }
      await writeFrame(socket, frame.eof);
    })();
    for await (const { type, payload } of decodeFrames(socket)) {
      if (type === frame.stdout) {
        got.update(payload);
        bytes += payload.length;
      }
      if (type === frame.exit) exit = JSON.parse(payload.toString());
      peak = Math.max(peak, process.memoryUsage().rss);
    }
    await writing;
    expect(bytes).toBe(total);
    expect(got.digest('hex')).toBe(sent.digest('hex'));
    expect(exit).toEqual({ code: 0 });
    // Client, agent and both ends of TLS share this process.
    expect((peak - before) / MiB).toBeLessThan(120);
  }, 120_000);

  it('given a reader that stalls, then the job waits and memory stays flat', async () => {
    const { attach } = await jobOf('head -c 300000000 /dev/zero; echo end >&2');
    const socket = await attach();
    const before = process.memoryUsage().rss;
    let bytes = 0;
    let stalled = false;
    const seen = await follow(socket, async ({ type, payload }) => {
      if (type !== frame.stdout) return;
      bytes += payload.length;
      if (stalled) return;
      stalled = true;
      await new Promise((resolve) => setTimeout(resolve, 2_000));
      expect((process.memoryUsage().rss - before) / MiB).toBeLessThan(100);
    }).then(({ stderr, exit }) => ({ stderr, exit }));
    expect(bytes).toBe(300_000_000);
    expect(seen).toEqual({ stderr: 'end\n', exit: { code: 0 } });
  }, 120_000);

  it('given a script with both outputs, then they come apart, the exit last, with its code', async () => {
    for (const code of [0, 7]) {
      const { attach } = await jobOf(`printf out; printf err >&2; exit ${code}`);
      const seen = await follow(await attach());
      expect(seen).toMatchObject({ stdout: 'out', stderr: 'err', exit: { code } });
      expect(seen.types[0]).toBe(frame.started);
      expect(seen.types.at(-1)).toBe(frame.exit);
    }
  });

  it('given many short jobs, then none loses a byte', async () => {
    for (let i = 0; i < 8; i++) {
      const { attach } = await jobOf(`printf first; printf last`);
      expect(await follow(await attach())).toMatchObject({ stdout: 'firstlast', exit: { code: 0 } });
    }
  });

  it('given a signal, then the code is 128 + n and the reason names it', async () => {
    const { attach } = await jobOf('sleep 60', { priority: 'user' });
    const socket = await attach();
    const seen = await follow(socket, ({ type }) => {
      if (type === frame.started)
        setTimeout(() => void writeFrame(socket, frame.signal, { signal: 'SIGTERM' }), 300);
    });
    expect(seen.exit).toMatchObject({ code: 143, reason: expect.stringContaining('SIGTERM') as string });
  });

  it('given too much memory, then the reason says so', async () => {
    const { attach } = await jobOf('head -c 200000000 /dev/zero | tail');
    const { exit } = await follow(await attach());
    expect(exit).toMatchObject({ code: 137, reason: 'killed: out of memory at 64 MiB' });
  });

  it('given a terminal, then it has the size that was told first, and the one told later', async () => {
    const { attach } = await jobOf('sleep 0.5; stty size; read line; stty size; echo "[$line]"', {
      tty: true,
    });
    const socket = await attach();
    await writeFrame(socket, frame.resize, { columns: 91, rows: 33 });
    let text = '';
    const seen = await follow(socket, async ({ type, payload }) => {
      if (type !== frame.stdout) return;
      const had = text.includes('33 91');
      text += payload.toString();
      if (had || !text.includes('33 91')) return;
      await writeFrame(socket, frame.resize, { columns: 120, rows: 40 });
      setTimeout(() => void writeFrame(socket, frame.stdin, 'typed\n'), 300);
    });
    expect(seen.stdout).toContain('40 120');
    expect(seen.stdout).toContain('[typed]');
    expect(seen.exit).toEqual({ code: 0 });
  });

  it('given a job that does not read its input, then its end is told all the same', async () => {
    const { attach } = await jobOf('exec <&-; sleep 1; exit 5');
    const socket = await attach();
    const writing = (async () => {
      for (let i = 0; i < 64; i++) await writeFrame(socket, frame.stdin, Buffer.alloc(MiB));
    })().catch(() => undefined);
    expect((await follow(socket)).exit).toEqual({ code: 5 });
    await writing;
  });

  it('given an image without that program, then the attach says what is wrong and the container is gone', async () => {
    const { attach, id } = await jobOf('', { args: ['no-such-program'], entrypoint: ['/nope'] });
    const { exit } = await follow(await attach());
    // With an init process in between, the start itself succeeds and the init ends with 127.
    expect(
      [{ code: 'failed' }, { code: 127 }].some(({ code }) => (exit as { code: unknown }).code === code),
    ).toBe(true);
    const found = await docker.containers.list({ all: true });
    if ((exit as { code: unknown }).code === 'failed') expect(found.some((c) => c.id === id)).toBe(false);
  });
});

describe('a client that vanishes', () => {
  const started = (socket: Duplex): Promise<void> =>
    new Promise((resolve, reject) => {
      follow(socket, ({ type }) => {
        if (type === frame.started) resolve();
      }).catch(reject);
    });

  it('given a job that listens, then it is ended at once', async () => {
    const { attach, id } = await jobOf('trap "exit 9" TERM; while :; do sleep 0.1; done');
    const socket = await attach();
    await started(socket).finally(() => socket.destroy());
    expect(await untilState(id, 'exited', 5_000)).toBeLessThan(5_000);
    expect((await docker.containers.inspect(id)).exitCode).toBe(9);
  });

  it('given a job that ignores SIGTERM, then it is killed 10 s later', async () => {
    const { attach, id } = await jobOf('trap "" TERM; while :; do sleep 0.1; done');
    const socket = await attach();
    await started(socket).finally(() => socket.destroy());
    const ms = await untilState(id, 'exited', 15_000);
    expect(ms).toBeGreaterThan(8_000);
    expect((await docker.containers.inspect(id)).exitCode).toBe(137);
  }, 30_000);

  it('given input that nobody reads, then its leaving is noticed too', async () => {
    const { attach, id } = await jobOf('sleep 60');
    const socket = await attach();
    socket.on('error', () => undefined);
    socket.resume();
    const writing = (async () => {
      for (let i = 0; i < 64; i++) await writeFrame(socket, frame.stdin, Buffer.alloc(MiB));
    })().catch(() => undefined);
    await untilState(id, 'running', 5_000);
    await new Promise((resolve) => setTimeout(resolve, 500));
    socket.destroy();
    await untilState(id, 'exited', 25_000);
    await writing;
  }, 40_000);
});

describe('the upgrade', () => {
  it('given a caller that is not allowed, or another path, then the answer is a coded error', async () => {
    const { rig } = await jobOf('true');
    const plain = createServer();
    servers.push(plain);
    plain.on('upgrade', attachUpgrade(rig.agent, mayCallAgent, rig.stop.signal));
    await new Promise<void>((resolve) => plain.listen(0, '127.0.0.1', resolve));
    const { port } = plain.address() as AddressInfo;
    const unknown = new HttpClient({ baseUrl: `http://127.0.0.1:${port}` });
    await expect(unknown.upgrade('POST', `/v1/jobs/${rig.job}/attach`)).rejects.toMatchObject({
      code: 'forbidden',
    });
    const { client } = await jobOf('true');
    await expect(client.upgrade('POST', '/v1/else')).rejects.toMatchObject({ code: 'not_found' });
    await expect(client.upgrade('POST', '/v1/jobs/no!id/attach')).rejects.toMatchObject({ code: 'invalid' });
  });
});

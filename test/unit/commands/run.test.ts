// flynn run as it is typed: the request it makes over HTTP, its streams, and the code it ends with.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import Run from '../../../src/commands/run.js';
import { decodeFrames, frame, writeFrame } from '../../../src/lib/api/attach.js';
import { parseRunQuery, type RunRequest } from '../../../src/lib/api/run.js';
import { run, type RunOptions } from './harness.js';

/** A controller that runs one thing: it echoes its input and ends with the code it was told. */
let server: Server;
let url: string;
let code: number;
let refusal: string | undefined;
const open: Duplex[] = [];
const asked: { app: string; request: RunRequest }[] = [];

async function echo(socket: Duplex): Promise<void> {
  await writeFrame(socket, frame.started, { job: 'a-1', host: 'a' });
  await writeFrame(socket, frame.stderr, 'begins\n');
  // The iterator would destroy the socket when it is left early.
  const chunks = { [Symbol.asyncIterator]: () => socket.iterator({ destroyOnReturn: false }) };
  for await (const { type, payload } of decodeFrames(chunks)) {
    if (type === frame.stdin) await writeFrame(socket, frame.stdout, payload);
    if (type === frame.eof) break;
  }
  await writeFrame(socket, frame.exit, { code, ...(code > 128 ? { reason: 'ended by SIGKILL' } : {}) });
}

beforeEach(async () => {
  code = 0;
  refusal = undefined;
  asked.length = 0;
  server = createServer();
  server.on('upgrade', (request, socket: Duplex) => {
    socket.on('error', () => undefined);
    open.push(socket);
    const at = new URL(request.url ?? '/', 'http://x');
    if (refusal !== undefined) {
      const length = Buffer.byteLength(refusal);
      socket.end(`HTTP/1.1 409 Conflict\r\ncontent-length: ${length}\r\nconnection: close\r\n\r\n${refusal}`);
      return;
    }
    asked.push({ app: at.pathname.split('/')[3] ?? '', request: parseRunQuery(at.searchParams) });
    socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: flynn\r\n\r\n');
    void echo(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterEach(async () => {
  // The server counts upgraded connections no more, and still waits for them.
  for (const socket of open.splice(0)) socket.destroy();
  await new Promise((resolve) => server.close(resolve));
});

const on = (options: RunOptions = {}): RunOptions => ({ url, env: { FLYNN_APP: 'hello' }, ...options });

describe('flynn run', () => {
  it('given a command with flags and words twice, when run, then they arrive as typed, and input, output and code are joined', async () => {
    code = 3;
    const done = await run(Run, ['-e', 'A=1', '--', 'sh', '-c', 'x', 'sh', '--json'], on({ stdin: 'hi\n' }));
    expect(asked).toEqual([
      { app: 'hello', request: { args: ['sh', '-c', 'x', 'sh', '--json'], tty: false, env: { A: '1' } } },
    ]);
    expect(done).toMatchObject({ code: 3, stdout: 'hi\n', stderr: 'begins\n', closed: 1 });
  });

  it('given a job that a signal ended, when it is over, then the code is 128 + n and the reason is said', async () => {
    code = 137;
    const done = await run(Run, ['--', 'true'], on());
    expect(done).toMatchObject({ code: 137, stdout: '' });
    expect(done.stderr).toContain('ended by SIGKILL');
  });

  it('given what the cluster refuses, when run, then its code and hint are ours', async () => {
    refusal = JSON.stringify({
      code: 'conflict',
      message: 'app hello has no release yet',
      hint: 'flynn deploy',
    });
    const done = await run(Run, ['--', 'ls'], on());
    expect(done.code).toBe(4);
    expect(done.stderr).toMatch(/no release yet\n {2}→ flynn deploy\n$/);
    expect((await run(Run, [], on())).code).toBe(2);
  });
});

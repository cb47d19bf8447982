// Runs the one-shot seed appliance beside etcd: request on its stdin, lines back from its stdout, then it is gone.
import { createInterface } from 'node:readline';
import { errorFromBody, FlynnError } from '../api/errors.js';
import type { Docker } from '../docker/port.js';
import { SeedLine, type Pending, type SeedRequestInput } from '../seed/protocol.js';

/** How a one-shot is run. */
export interface SeedRunOptions {
  docker: Docker;
  image: string;
  /** Name of the container; one of that name from a run that was killed is removed first. */
  name: string;
  request: SeedRequestInput;
  onPending?(up: number, of: number, pending: readonly Pending[]): void;
  /** Bound of the whole run, ms. */
  timeoutMs: number;
  signal: AbortSignal;
}

/** Runs it to its last line. Throws the coded error it answered, `timeout`, or `failed` when it ended without one. */
export async function runOneShot(options: SeedRunOptions): Promise<{ changed: number; pending: Pending[] }> {
  const { docker, name } = options;
  const signal = AbortSignal.any([options.signal, AbortSignal.timeout(options.timeoutMs)]);
  await docker.containers.remove(name, { force: true }, { signal });
  const id = await docker.containers.create(
    {
      name,
      image: options.image,
      cmd: ['seed'],
      labels: { 'flynn.system': 'seed' },
      network: 'host',
      restart: 'no',
      attachStdin: true,
      openStdin: true,
      stdinOnce: true,
      // Its output comes to us; nothing of the conversation stays on the host.
      logDriver: 'none',
    },
    { signal },
  );
  try {
    const attachment = await docker.containers.attach(id, {
      stdin: true,
      stdout: true,
      stderr: true,
      signal,
    });
    const complaints: Buffer[] = [];
    attachment.stderr.on('data', (chunk: Buffer) => complaints.push(chunk));
    await docker.containers.start(id, { signal });
    attachment.stdin.write(`${JSON.stringify(options.request)}\n`);
    for await (const text of createInterface({ input: attachment.stdout, crlfDelay: Infinity })) {
      const line = lineIn(text);
      if (line === undefined) complaints.push(Buffer.from(`${text}\n`));
      else if (line.seed === 'pending') options.onPending?.(line.up, line.of, line.pending);
      else if (line.seed === 'done') return { changed: line.changed, pending: line.pending };
      else throw errorFromBody(line.error, 500);
    }
    throw new FlynnError({
      code: 'failed',
      message: `the container ${name} ended without an answer: ${lastWords(complaints)}`,
    });
  } catch (error) {
    if (!options.signal.aborted && signal.aborted) {
      throw new FlynnError({
        code: 'timeout',
        message: `the container ${name} did not finish within ${options.timeoutMs / 1000} s`,
        cause: error,
      });
    }
    throw error;
  } finally {
    await docker.containers.remove(id, { force: true }, { timeoutMs: 20_000 });
  }
}

function lineIn(text: string): SeedLine | undefined {
  if (!text.startsWith('{"seed":')) return undefined;
  return SeedLine.parse(JSON.parse(text));
}

function lastWords(chunks: readonly Buffer[]): string {
  return Buffer.concat(chunks).toString('utf8').trim().split('\n').slice(-5).join(' / ') || 'it said nothing';
}

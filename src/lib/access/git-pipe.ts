// A remote command's streams joined with our own, raw and with backpressure, until it has ended.
import { pipeline } from 'node:stream/promises';
import { Writable, type Readable } from 'node:stream';
import type { RemoteProcess } from '../ssh/port.js';

/** Our side of the pipe. */
export interface PipeEnds {
  stdin: Readable;
  stdout: Writable;
  stderr: Writable;
}

/** Pipes until the command has ended and all it said is written; its exit code, undefined when the connection was lost. */
export async function pipeProcess(remote: RemoteProcess, ends: PipeEnds): Promise<number | undefined> {
  // What ends early is told by the exit code, and our input may go on after the command has ended.
  const sending = pipeline(ends.stdin, remote).catch(() => undefined);
  await Promise.all([
    pipeline(remote, passTo(ends.stdout)).catch(() => undefined),
    pipeline(remote.stderr, passTo(ends.stderr)).catch(() => undefined),
  ]);
  const code = await remote.exit;
  // An input that nobody reads any more would keep the process.
  ends.stdin.destroy();
  await sending;
  return code ?? undefined;
}

/** A stream that writes to another one and does not end it: standard output stays open. */
function passTo(target: Writable): Writable {
  return new Writable({
    write(chunk: Buffer, _encoding, done) {
      target.write(chunk, (error) => done(error));
    },
  });
}

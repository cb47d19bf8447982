// One exchange over a command socket of HAProxy: connect, send, read until it closes.
import { connect } from 'node:net';
import { FlynnError } from '../../api/errors.js';

/** The answer to one line of commands; throws `unreachable` when nothing listens and `timeout` after `timeoutMs`. */
export function ask(path: string, line: string, timeoutMs = 2_000): Promise<string> {
  return new Promise((resolve, reject) => {
    // HAProxy's master answers and closes only after our side is closed: half-open on purpose.
    const socket = connect({ path, allowHalfOpen: true });
    const chunks: Buffer[] = [];
    const timer = setTimeout(() => {
      socket.destroy();
      reject(
        new FlynnError({
          code: 'timeout',
          message: `HAProxy did not answer "${line.slice(0, 60)}" at ${path}`,
        }),
      );
    }, timeoutMs);
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('error', (cause) => {
      clearTimeout(timer);
      reject(new FlynnError({ code: 'unreachable', message: `HAProxy does not listen at ${path}`, cause }));
    });
    socket.on('end', () => {
      clearTimeout(timer);
      socket.end();
      resolve(Buffer.concat(chunks).toString('utf8'));
    });
    socket.end(`${line}\n`);
  });
}

/** Holds a connection open and calls back once when it ends: the process behind it is gone, or never was. */
export function whenClosed(path: string, callback: () => void): () => void {
  const socket = connect(path);
  let told = false;
  const tell = (): void => {
    if (told) return;
    told = true;
    callback();
  };
  socket.on('error', tell);
  socket.on('close', tell);
  socket.on('data', () => undefined);
  return () => {
    told = true;
    socket.destroy();
  };
}

// One health check over the network: a TCP connect, or an HTTP request whose answer counts.
import http from 'node:http';
import net from 'node:net';
import type { Probe } from './health.js';

const place = (address: string, port: number): string => `${address}:${port}`;

/** Connects, and is content when that works. */
const tcp = (
  address: string,
  port: number,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<string | undefined> =>
  new Promise((resolve) => {
    const socket = net.connect({ host: address, port });
    const end = (problem: string | undefined): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      socket.destroy();
      resolve(problem);
    };
    const onAbort = (): void => end('interrupted');
    const timer = setTimeout(
      () => end(`no connection to ${place(address, port)} within ${timeoutMs} ms`),
      timeoutMs,
    );
    signal.addEventListener('abort', onAbort, { once: true });
    socket.once('connect', () => end(undefined));
    // Listens for good: a reset after the verdict must not become an uncaught error.
    socket.on('error', (error: NodeJS.ErrnoException) =>
      end(`${place(address, port)}: ${error.code ?? error.message}`),
    );
  });

interface HttpCheck {
  address: string;
  port: number;
  path: string;
  status: number | undefined;
  timeoutMs: number;
}

/** Asks for a path; its status decides. The body is not read. */
const httpGet = (check: HttpCheck, signal: AbortSignal): Promise<string | undefined> =>
  new Promise((resolve) => {
    const { address, port, path, timeoutMs } = check;
    const where = `http://${place(address, port)}${path}`;
    const request = http.get(
      { host: address, port, path, agent: false, signal, headers: { 'user-agent': 'flynn-health' } },
      (response) => {
        const status = response.statusCode ?? 0;
        const ok = check.status === undefined ? status >= 200 && status < 400 : status === check.status;
        end(ok ? undefined : `${where} answered ${status}`);
      },
    );
    const end = (problem: string | undefined): void => {
      clearTimeout(timer);
      request.destroy();
      resolve(problem);
    };
    // The deadline covers the whole exchange: a socket timeout alone would start again with every byte.
    const timer = setTimeout(() => end(`${where} gave no answer within ${timeoutMs} ms`), timeoutMs);
    request.on('error', (error: NodeJS.ErrnoException) => end(`${where}: ${error.code ?? error.message}`));
  });

/** The check that agents use. */
export const networkProbe: Probe = ({ check, address, port }, signal) =>
  check.type === 'tcp'
    ? tcp(address, port, check.timeoutMs, signal)
    : httpGet({ address, port, path: check.path, status: check.status, timeoutMs: check.timeoutMs }, signal);

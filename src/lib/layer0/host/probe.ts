// One health check: a TCP connect, an HTTP request whose answer counts, or a command in the container.
import http from 'node:http';
import net from 'node:net';
import type { Docker } from '../../docker/port.js';
import type { ExecProbe, Probe } from './health.js';

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
  /** Text that the answer must contain. */
  body: string | undefined;
  timeoutMs: number;
}

/** How much of an answer is looked at for its text, bytes. */
const maxBody = 64 * 1024;

/** Whether the text is in the first 64 KiB of the answer. */
const contains = async (response: AsyncIterable<Buffer>, text: string): Promise<boolean> => {
  let seen = Buffer.alloc(0);
  for await (const chunk of response) {
    seen = Buffer.concat([seen, chunk.subarray(0, maxBody - seen.length)]);
    if (seen.includes(text)) return true;
    if (seen.length >= maxBody) break;
  }
  return false;
};

/** Asks for a path; its status decides, and its text where one is asked for. Otherwise the body is not read. */
const httpGet = (check: HttpCheck, signal: AbortSignal): Promise<string | undefined> =>
  new Promise((resolve) => {
    const { address, port, path, timeoutMs } = check;
    const where = `http://${place(address, port)}${path}`;
    const request = http.get(
      { host: address, port, path, agent: false, signal, headers: { 'user-agent': 'flynn-health' } },
      (response) => {
        const status = response.statusCode ?? 0;
        const ok = check.status === undefined ? status >= 200 && status < 400 : status === check.status;
        const text = check.body;
        if (!ok || text === undefined) return end(ok ? undefined : `${where} answered ${status}`);
        contains(response, text).then(
          (found) => end(found ? undefined : `${where} answered without '${text}'`),
          (error: unknown) => end(`${where}: ${error instanceof Error ? error.message : String(error)}`),
        );
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
    : httpGet(
        {
          address,
          port,
          path: check.path,
          status: check.status,
          body: check.body,
          timeoutMs: check.timeoutMs,
        },
        signal,
      );

/** The last line of a command's output, for people. */
const lastLine = (text: string): string => text.trim().split('\n').at(-1)?.slice(0, 200) ?? '';

/** The `exec` check that agents use. A command that hangs is left behind in its container: it ends with it. */
export const containerProbe =
  (docker: Docker): ExecProbe =>
  async ({ check, command }, container, signal) => {
    const how = { timeoutMs: check.timeoutMs, signal, maxOutput: 4096 };
    const { code, stdout, stderr } = await docker.containers.exec(container, command, how);
    const said = lastLine(stderr) || lastLine(stdout);
    return code === 0 ? undefined : `${command[0]} ended with ${code}${said ? `: ${said}` : ''}`;
  };

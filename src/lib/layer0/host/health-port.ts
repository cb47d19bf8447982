// The port that probes ask, many times a second: one fixed answer, nothing that could wait for anything.
import { createServer, type Server, type Socket } from 'node:net';

/** A server whose connections can be ended too. */
export type HealthServer = Server & { closeAllConnections(): void };

/** Requests above this many bytes are of nobody that we know. */
const maxRequest = 8 * 1024;
/** Probes keep their connections; an interval that grows with the grid must not outlast them. */
const idleMs = 30_000;
const endOfRequest = '\r\n\r\n';

const answer = (status: string, body: string): string =>
  `HTTP/1.1 ${status}\r\ncontent-type: text/plain\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
const healthy = answer('200 OK', 'ok');
const unknown = answer('404 Not Found', 'no');

/**
 * Listens; resolves with the server once the port is open, rejects when it cannot be had. `GET /healthz` is answered
 * with 200, all else with 404. On bare sockets: an agent is asked eight times a second on a grid of three, and node's
 * HTTP server was a tenth of what an idle agent takes.
 */
export const serveHealth = (host: string, port: number): Promise<HealthServer> => {
  const open = new Set<Socket>();
  const server = createServer({ noDelay: true }, (socket) => {
    open.add(socket);
    let heard = '';
    socket.setEncoding('latin1');
    socket.setTimeout(idleMs, () => socket.destroy());
    socket.on('error', () => undefined); // `close` follows
    socket.on('close', () => open.delete(socket));
    socket.on('data', (chunk: string) => {
      heard += chunk;
      for (let at = heard.indexOf(endOfRequest); at >= 0; at = heard.indexOf(endOfRequest)) {
        socket.write(heard.startsWith('GET /healthz ') ? healthy : unknown);
        heard = heard.slice(at + endOfRequest.length);
      }
      if (heard.length > maxRequest) socket.destroy();
    });
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      const closeAllConnections = (): void => {
        for (const socket of open) socket.destroy();
      };
      resolve(Object.assign(server, { closeAllConnections }));
    });
  });
};

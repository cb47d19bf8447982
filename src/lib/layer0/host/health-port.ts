// The port that probes ask, many times a second: plain HTTP, one fixed answer, nothing that could wait for anything.
import { createServer, type Server } from 'node:http';

const headers = { 'content-type': 'text/plain', 'content-length': '2' };

/** Listens; resolves with the server once the port is open, rejects when it cannot be had. */
export const serveHealth = (host: string, port: number): Promise<Server> => {
  const server = createServer((request, response) => {
    const known = request.url === '/healthz';
    response.writeHead(known ? 200 : 404, headers).end(known ? 'ok' : 'no');
  });
  // Probes keep their connections; an interval that grows with the grid must not outlast them.
  server.keepAliveTimeout = 30_000;
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve(server);
    });
  });
};

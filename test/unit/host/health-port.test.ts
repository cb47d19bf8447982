// The port that probes ask.
import { once } from 'node:events';
import { connect, type AddressInfo } from 'node:net';
import { expect, it } from 'vitest';
import { httpProbe } from '../../../src/lib/layer0/discovery/probe.js';
import { serveHealth } from '../../../src/lib/layer0/host/health-port.js';

it('given the health port, when probed twice, then it answers over one connection, and knows one path', async () => {
  const server = await serveHealth('127.0.0.1', 0);
  let connections = 0;
  server.on('connection', () => (connections += 1));
  const { port } = server.address() as AddressInfo;
  const { probe, close } = httpProbe({ agent: port, router: port });
  expect(await probe('127.0.0.1', 'agent', 500)).toBe('answered');
  expect(await probe('127.0.0.1', 'agent', 500)).toBe('answered');
  expect(connections).toBe(1);
  expect((await fetch(`http://127.0.0.1:${port}/v1/facts`)).status).toBe(404);
  close();
  server.closeAllConnections();
  server.close();
});

it('given requests in pieces, several at once, and one without an end, then each is answered and the last is cut off', async () => {
  const server = await serveHealth('127.0.0.1', 0);
  const { port } = server.address() as AddressInfo;
  const socket = connect({ host: '127.0.0.1', port });
  let heard = '';
  socket.on('data', (chunk) => (heard += chunk.toString()));
  socket.write('GET /healthz HT');
  socket.write('TP/1.1\r\nhost: x\r\n\r\nGET /healthz HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n');
  await expect
    .poll(() => heard.match(/HTTP\/1.1 \d+/g))
    .toEqual(['HTTP/1.1 200', 'HTTP/1.1 200', 'HTTP/1.1 404']);
  const closed = once(socket, 'close');
  socket.on('error', () => undefined);
  socket.write('x'.repeat(64 * 1024));
  await closed;
  server.close();
});

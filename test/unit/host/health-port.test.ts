// The port that probes ask.
import type { AddressInfo } from 'node:net';
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

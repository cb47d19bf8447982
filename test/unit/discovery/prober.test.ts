// The prober on a clock in the test's hands, and its real probe against servers that answer, refuse and freeze.
import { createServer, type Server } from 'node:http';
import { createServer as createTcpServer, type AddressInfo, type Server as TcpServer } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { httpProbe, type ProbeResult } from '../../../src/lib/layer0/discovery/probe.js';
import { HostProber, type ProbedHost } from '../../../src/lib/layer0/discovery/prober.js';
import { fakeClock } from '../../fakes/clock.js';

const rig = (hosts: ProbedHost[]) => {
  const clock = fakeClock();
  const answers = new Map<string, ProbeResult>();
  const asked: { at: number; address: string; endpoint: string }[] = [];
  const changes: [string, boolean][] = [];
  const prober = new HostProber({
    hosts: () => hosts,
    clock,
    self: 'self',
    probe: async (address, endpoint, timeoutMs) => {
      asked.push({ at: clock.mono(), address, endpoint });
      const result = answers.get(`${address}/${endpoint}`) ?? answers.get(address) ?? 'answered';
      if (result !== 'answered') await clock.sleep(timeoutMs);
      return result;
    },
  });
  prober.onChange((host, suspect) => changes.push([host, suspect]));
  const stop = new AbortController();
  prober.start(stop.signal);
  return { clock, answers, asked, changes, prober, stop };
};

describe('HostProber', () => {
  it('given a host that goes silent, then it is suspect within 0.66 s, and well again with its first answer', async () => {
    const { clock, answers, changes, prober } = rig([{ name: 'b', address: '10.0.0.2' }]);
    await clock.advance(1000);
    expect(prober.suspects().size).toBe(0);
    expect(prober.seen('b')).toBe(true);
    answers.set('10.0.0.2', 'missed');
    const frozen = clock.mono();
    await clock.advanceUntil(() => prober.suspects().has('b'), 700, 10);
    expect(clock.mono() - frozen).toBeLessThanOrEqual(660);
    expect(prober.suspects().get('b')).toBeGreaterThanOrEqual(frozen);
    answers.set('10.0.0.2/router', 'answered');
    await clock.advanceUntil(() => !prober.suspects().has('b'), 500, 10);
    expect(changes).toEqual([
      ['b', true],
      ['b', false],
    ]);
  });

  it('given one silent process, or a prober that was held up, then nobody is suspect', async () => {
    const { clock, answers, changes } = rig([
      { name: 'b', address: 'b' },
      { name: 'c', address: 'c' },
    ]);
    answers.set('b/agent', 'missed');
    answers.set('c', 'unknown');
    await clock.advance(5000);
    expect(changes).toEqual([]);
  });

  it('given itself and a host that leaves, then neither is suspect', async () => {
    const hosts = [
      { name: 'self', address: 'self' },
      { name: 'b', address: 'b' },
    ];
    const { clock, answers, asked, prober } = rig(hosts);
    answers.set('self', 'missed').set('b', 'missed');
    await clock.advance(2000);
    expect([...prober.suspects().keys()]).toEqual(['b']);
    expect(prober.seen('b')).toBe(false);
    expect(prober.seen('self')).toBe(true);
    expect(asked.some(({ address }) => address === 'self')).toBe(false);
    hosts.pop();
    await clock.advance(500);
    expect(prober.suspects().size).toBe(0);
  });

  it('given a thousand silent hosts, then no second has more than 1,000 probes', async () => {
    const hosts = Array.from({ length: 1000 }, (_, n) => ({ name: `h${n}`, address: `h${n}` }));
    const { clock, answers, asked, stop } = rig(hosts);
    for (const { address } of hosts) answers.set(address, 'missed');
    await clock.advance(4000);
    stop.abort();
    const perSecond = [0, 1, 2, 3].map((s) => asked.filter(({ at }) => Math.floor(at / 1000) === s).length);
    expect(Math.max(...perSecond)).toBeLessThanOrEqual(1000);
    const before = asked.length;
    await clock.advance(2000);
    expect(asked.length).toBe(before);
  });
});

describe('httpProbe', () => {
  const servers: (Server | TcpServer)[] = [];
  const ends: (() => void)[] = [];
  afterEach(async () => {
    for (const end of ends.splice(0)) end();
    for (const server of servers.splice(0)) await new Promise((resolve) => server.close(resolve));
  });
  const listen = async (server: Server | TcpServer): Promise<number> => {
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return (server.address() as AddressInfo).port;
  };

  it('given an answer, a refusal and a frozen process, then only the answer counts', async () => {
    const healthy = createServer((_, response) => response.writeHead(503).end('busy'));
    const agent = await listen(healthy);
    const closed = createTcpServer();
    const refused = await listen(closed);
    await new Promise((resolve) => servers.splice(1, 1)[0]?.close(resolve));
    const sockets: import('node:net').Socket[] = [];
    const frozen = await listen(createTcpServer((socket) => void sockets.push(socket)));
    const one = httpProbe({ agent, router: refused });
    const two = httpProbe({ agent: frozen, router: frozen });
    ends.push(
      one.close,
      two.close,
      () => healthy.closeAllConnections(),
      () => sockets.forEach((s) => s.destroy()),
    );

    expect(await one.probe('127.0.0.1', 'agent', 200)).toBe('answered');
    expect(await one.probe('127.0.0.1', 'router', 200)).toBe('missed');
    const started = performance.now();
    expect(await two.probe('127.0.0.1', 'agent', 200)).toBe('missed');
    expect(performance.now() - started).toBeGreaterThanOrEqual(190);
  });

  it('given a kept connection that the other side has closed, then a fresh one is tried', async () => {
    let connections = 0;
    const server = createServer((_, response) => response.end('ok'));
    // Cuts every kept connection at the moment its second request arrives.
    server.on('connection', (socket) => {
      connections += 1;
      let count = 0;
      socket.prependListener('data', () => {
        count += 1;
        if (count > 1) socket.destroy();
      });
    });
    const port = await listen(server);
    const { probe, close } = httpProbe({ agent: port, router: port });
    ends.push(close, () => server.closeAllConnections());
    expect(await probe('127.0.0.1', 'agent', 200)).toBe('answered');
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(await probe('127.0.0.1', 'agent', 200)).toBe('answered');
    expect(connections).toBe(2);
  });
});

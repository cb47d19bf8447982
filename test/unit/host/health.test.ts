// Health: the verdict as a table, and the monitor's rhythm on a clock that stands still.
import { createServer } from 'node:http';
import net, { type AddressInfo } from 'node:net';
import { describe, expect, it } from 'vitest';
import { HealthCheck } from '../../../src/lib/api/job.js';
import {
  HealthMonitor,
  healthStep,
  type HealthState,
  type HealthTarget,
} from '../../../src/lib/layer0/host/health.js';
import { healthPlan, placePorts } from '../../../src/lib/layer0/host/ports.js';
import { containerProbe, networkProbe } from '../../../src/lib/layer0/host/probe.js';
import { fakeClock } from '../../fakes/clock.js';
import { FakeDocker } from '../../fakes/docker.js';
import { template, web } from './world.js';

const plan = { upAfter: 2, downAfter: 2 };
const run = (answers: string, adopted: boolean): string[] => {
  let state: HealthState = { verdict: 'unknown', good: 0, bad: 0 };
  return [...answers].map((a) => (state = healthStep(state, a === '+', plan, adopted)).verdict);
};

describe('the verdict', () => {
  it.each([
    ['++', false, ['unknown', 'up']],
    ['----', false, ['unknown', 'unknown', 'unknown', 'unknown']],
    ['--', true, ['unknown', 'down']],
    ['++-+--', false, ['unknown', 'up', 'up', 'up', 'up', 'down']],
    ['++--+-++', false, ['unknown', 'up', 'up', 'down', 'down', 'down', 'down', 'up']],
  ])('given answers %s (adopted: %s), then %j', (answers, adopted, verdicts) => {
    expect(run(answers, adopted)).toEqual(verdicts);
  });
});

describe('where a job is asked', () => {
  it('given the bridge, then at the container itself; given the host network, then at the internal address', () => {
    expect(healthPlan(web, '10.0.0.1', '172.17.0.3')).toMatchObject({
      address: '172.17.0.3',
      port: 8080,
      upAfter: 1,
    });
    expect(healthPlan(web, '10.0.0.1', undefined)).toBeUndefined();
    const onHost = template({ network: 'host', ports: [{ name: 'api', container: 1116, fixed: 1116 }] });
    expect(healthPlan(onHost, '10.0.0.1', undefined)).toMatchObject({ address: '10.0.0.1', port: 1116 });
    expect(healthPlan(template(), '10.0.0.1', undefined)).toEqual({ type: 'running', ms: 1000 });
  });

  it('given fixed and given ports mixed, then each port finds its own, wherever it stands in the claim', () => {
    const mixed = template({
      ports: [
        { name: 'a', container: 1 },
        { name: 'b', container: 2, fixed: 5432 },
        { name: 'c', container: 3 },
      ],
    });
    for (const p of [
      [5432, 20000, 20001],
      [20000, 5432, 20001],
    ]) {
      expect(placePorts(mixed, { p }).map((port) => port.hostPort)).toEqual([20000, 5432, 20001]);
    }
  });
});

const noCommands = (): Promise<string> => Promise.resolve('there are no commands here');

const rigged = (answer: () => Promise<string | undefined>, adopted = false) => {
  const clock = fakeClock();
  const told: string[] = [];
  let asked = 0;
  const monitor = new HealthMonitor(
    clock,
    () => {
      asked += 1;
      return answer();
    },
    noCommands,
    (_target, verdict, problem) => told.push(problem ? `${verdict}: ${problem}` : verdict),
  );
  const check = HealthCheck.parse({ type: 'http' });
  const target: HealthTarget = {
    job: 'j',
    container: 'c',
    adopted,
    plan: { type: 'probe', check, address: 'x', port: 1, upAfter: 2, downAfter: 2 },
  };
  return { clock, told, monitor, target, asked: () => asked };
};

describe('the monitor', () => {
  it('given a starting instance, then it is asked each 100 ms, and each 2 s once it is up', async () => {
    let problem: string | undefined = 'refused';
    const r = rigged(() => Promise.resolve(problem));
    r.monitor.sync([r.target]);
    await r.clock.advance(450);
    expect(r.asked()).toBe(5);
    expect(r.told).toEqual([]);
    problem = undefined;
    await r.clock.advance(200);
    expect(r.told).toEqual(['up']);
    const before = r.asked();
    await r.clock.advance(10_000);
    expect(r.asked() - before).toBe(5);
    r.monitor.sync([r.target]);
    r.monitor.close();
    await r.clock.advance(10_000);
    expect(r.asked() - before).toBe(5);
  });

  it('given an instance that does not come up, then its problem is told after a while', async () => {
    const r = rigged(() => Promise.resolve('answered 500'));
    r.monitor.sync([r.target]);
    await r.clock.advance(3_000);
    expect(r.told).toEqual(['unknown: answered 500']);
    r.monitor.close();
  });

  it('given a machine that was frozen, then the answers of that time count for nothing', async () => {
    const r = rigged(() => Promise.resolve(undefined));
    let frozen = 0;
    const slow = new HealthMonitor(
      { ...r.clock, mono: () => r.clock.mono() + frozen },
      () => {
        // The check began, the machine stood still for a minute, and everything had timed out.
        frozen += 60_000;
        return Promise.resolve('timeout');
      },
      noCommands,
      (_t, verdict) => r.told.push(verdict),
    );
    slow.sync([{ ...r.target, adopted: true }]);
    await r.clock.advance(60_000);
    expect(r.told).toEqual([]);
    slow.close();
  });
});

describe('a command as a check', () => {
  it('given a job with one, then it is run in the container, and its exit code and last words are the answer', async () => {
    const argv: (readonly string[])[] = [];
    const docker = new FakeDocker({
      exec: (_container, command) => {
        argv.push(command);
        const stderr = command[0] === 'bad' ? 'one\nno connection\n' : '';
        return Promise.resolve({ code: command[0] === 'bad' ? 2 : 0, stdout: '', stderr });
      },
    });
    const id = await docker.intrude({ name: 'x', image: 'app:1' });
    const told: string[] = [];
    const clock = fakeClock();
    const never = (): Promise<string> => Promise.resolve('asked over the network');
    const monitor = new HealthMonitor(clock, never, containerProbe(docker), (_t, verdict, problem) =>
      told.push(problem ? `${verdict}: ${problem}` : verdict),
    );
    for (const command of [['good', '-q'], ['bad']]) {
      const health = HealthCheck.parse({ type: 'exec', command, threshold: 1 });
      const plan = healthPlan(template({ health }), '10.0.0.1', undefined);
      expect(plan).toMatchObject({ type: 'exec', command, upAfter: 1 });
      if (plan) monitor.sync([{ job: 'j', container: id, adopted: true, plan }]);
      await clock.advance(10);
      monitor.close();
    }
    expect(told).toEqual(['up', 'down: bad ended with 2: no connection']);
    expect(argv[0]).toEqual(['good', '-q']);
  });

  it('given an exec check without a command, or a command with another check, then it is no check', () => {
    expect(HealthCheck.safeParse({ type: 'exec' }).success).toBe(false);
    expect(HealthCheck.safeParse({ type: 'tcp', command: ['x'] }).success).toBe(false);
  });
});

describe('the checks themselves', () => {
  const probe = (port: number, over: Partial<HealthCheck>) => {
    const check = { ...HealthCheck.parse({ type: 'http', timeoutMs: 200 }), ...over };
    const target = { type: 'probe' as const, check, address: '127.0.0.1', port, upAfter: 1, downAfter: 1 };
    return networkProbe(target, AbortSignal.timeout(5_000));
  };

  it('given a server, then status and path decide over HTTP', async () => {
    const server = createServer((req, res) => {
      res.statusCode = req.url === '/ok' ? 204 : req.url === '/away' ? 302 : req.url === '/text' ? 200 : 503;
      if (req.url === '/text') res.write('all is ');
      res.end(req.url === '/text' ? `well${' '.repeat(200_000)}late` : '');
    }).listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as AddressInfo;
    expect(await probe(port, { path: '/ok' })).toBeUndefined();
    expect(await probe(port, { path: '/away' })).toBeUndefined();
    expect(await probe(port, { path: '/ok', status: 200 })).toContain('answered 204');
    expect(await probe(port, { path: '/text', body: 'all is well' })).toBeUndefined();
    expect(await probe(port, { path: '/text', body: 'late' })).toContain("answered without 'late'");
    expect(await probe(port, { path: '/no' })).toContain('answered 503');
    expect(await probe(port, { type: 'tcp' })).toBeUndefined();
    server.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.once('close', resolve));
    expect(await probe(port, { type: 'tcp' })).toContain('ECONNREFUSED');
    expect(await probe(port, {})).toContain('ECONNREFUSED');
  });

  it('given a peer that accepts and never answers, then TCP is content and HTTP is not', async () => {
    const sockets: net.Socket[] = [];
    const server = net.createServer((s) => sockets.push(s)).listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as AddressInfo;
    expect(await probe(port, { type: 'tcp' })).toBeUndefined();
    expect(await probe(port, {})).toContain('no answer within 200 ms');
    for (const s of sockets) s.destroy();
    server.close();
  });
});

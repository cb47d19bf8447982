// Discovery on real hosts: jobs find one another by name and by their token, with and without their agent, and nobody else does.
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { localPorts } from '../../src/lib/api/grid.js';
import { labExec, labImage, labStatus, type LabHost } from '../../src/lib/lab/index.js';
import { cli, eventually, hosts, labName, root, run, runningJobs } from './grid.js';

const app = 'names';
const ref = { root, name: labName };

/** What a program in the app's container of a host prints, as JSON. */
const inside = async <T>(host: LabHost, script: string): Promise<T> => {
  const container = `flynn-${(await runningJobs(host.name, app))[0]}`;
  const argv = ['docker', 'exec', container, 'node', '-e', `(async () => { ${script} })()`];
  const done = await labExec(host.name, argv, { ...ref, timeoutMs: 30_000 });
  expect(done.code, done.stderr).toBe(0);
  return JSON.parse(done.stdout) as T;
};
/** What names are to a program: addresses as any program asks for them, ports by SRV; the time that it took in ms. */
interface Found {
  addresses: string[];
  leader: string[];
  ports: { name: string; port: number }[];
  ms: number;
}
const look = (host: LabHost, service: string): Promise<Found> =>
  inside(
    host,
    `const dns = require('dns').promises, at = performance.now();
    const all = async (n) => (await dns.lookup(n, { all: true })).map((a) => a.address).sort();
    const name = '${service}.flynn';
    const [addresses, leader, ports] = [await all(name), await all('leader.' + name), await dns.resolveSrv(name)];
    console.log(JSON.stringify({ addresses, leader, ports, ms: performance.now() - at }));`,
  );
/** Calls discovery with the job's own token; the status. */
const call = (host: LabHost, method: string, path: string, body?: object): Promise<number> =>
  inside(
    host,
    `const answer = await fetch(process.env.FLYNN_DISCOVERY + '${path}', { method: '${method}',
      headers: { authorization: 'Bearer ' + process.env.FLYNN_TOKEN, 'content-type': 'application/json' },
      ${body ? `body: '${JSON.stringify(body)}'` : ''} });
    console.log(answer.status);`,
  );
const [first, second] = hosts() as [LabHost, LabHost];

beforeAll(async () => {
  const { hosts: found, dir } = await labStatus(ref);
  const lab = { name: labName, root, dir, existed: true, hosts: found };
  await labImage(lab, join(root, 'templates/examples/hello'), 'hello:1', () => undefined);
  await run(['apps:destroy', '-a', app, '--yes']);
  await cli(['apps:create', app, '--no-remote', '--if-missing']);
  await cli(['deploy', '-a', app, '--image', 'hello:1']);
  await cli(['scale', '-a', app, 'web=3']);
});
afterAll(async () => {
  await run(['apps:destroy', '-a', app, '--yes']);
});

describe('names', () => {
  it('of a service lead to all of its hosts, from every host, and SRV to the ports', async () => {
    for (const host of hosts()) {
      // Addresses are right at once, ports within about a second.
      const found = await eventually('three ports', async () => {
        const now = await look(host, `web.${app}`);
        return now.ports.length === 3 ? now : undefined;
      });
      expect(found.addresses).toEqual(
        hosts()
          .map(({ address }) => address)
          .sort(),
      );
      expect(found.leader).toHaveLength(1);
      expect(found.ports).toHaveLength(3);
    }
  });

  it('are answered while the agent is away, those that nobody has asked for too, and as fast', async () => {
    // given a service that was registered and never asked for
    const registered = await call(second, 'PUT', `/v1/services/fresh.${app}/registration`, { port: 8080 });
    expect(registered).toBe(200);
    const file = `/var/lib/flynn/dns/hosts/fresh.${app}`;
    await eventually('its file', async () =>
      (await labExec(first.name, ['test', '-s', file], ref)).code === 0 ? true : undefined,
    );
    await new Promise((resolve) => setTimeout(resolve, 300));
    // when
    await labExec(first.name, ['docker', 'stop', '-t', '2', 'flynn-host'], ref);
    try {
      // then
      for (const service of [`web.${app}`, `fresh.${app}`]) {
        const found = await look(first, service);
        expect(found.addresses).toContain(second.address);
        expect(found.ports.length).toBeGreaterThan(0);
        expect(found.ms).toBeLessThan(1_000);
      }
    } finally {
      await labExec(first.name, ['docker', 'start', 'flynn-host'], ref);
    }
    await eventually('its agent answers its jobs again', async () =>
      (await call(first, 'GET', '/v1/services').catch(() => 0)) === 200 ? true : undefined,
    );
  });
});

describe('the door of jobs', () => {
  it('takes what is the job’s own, and nothing else', async () => {
    expect(await call(first, 'PUT', `/v1/services/own.${app}/registration`, { port: 8080 })).toBe(200);
    expect(await call(first, 'PUT', `/v1/services/own.${app}/registration`, { port: 22 })).toBe(403);
    expect(await call(first, 'PUT', '/v1/services/web.other/registration', { port: 8080 })).toBe(403);
    expect(await call(first, 'GET', '/v1/jobs')).toBe(404);
    expect(await call(first, 'DELETE', `/v1/services/own.${app}/registration/8080`)).toBe(200);
  });

  it('is open to nobody outside, and neither is the resolver', async () => {
    const knock = (host: string, port: number): Promise<string> =>
      new Promise((resolve) => {
        const socket = createConnection({ host, port, timeout: 1_000 });
        socket.once('connect', () => resolve('open'));
        socket.once('timeout', () => resolve('silent'));
        socket.once('error', () => resolve('closed'));
        socket.once('connect', () => socket.destroy());
      });
    for (const { address } of hosts()) {
      expect(await knock(address, localPorts.discovery)).toBe('silent');
      expect(await knock(address, localPorts.names)).not.toBe('open');
      expect(await knock(address, 53)).not.toBe('open');
    }
  });
});

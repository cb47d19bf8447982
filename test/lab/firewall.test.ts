// The firewall on real hosts: what outsiders, containers and members get through to, and that it comes back by itself.
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { GridStatus } from '../../src/lib/api/app.js';
import { jobPorts, ports } from '../../src/lib/api/grid.js';
import { labExec, labImage, labStatus, type LabHost } from '../../src/lib/lab/index.js';
import { removeFirewall } from '../../src/lib/layer0/index.js';
import { netfilterOver, type RunTool } from '../../src/lib/layer0/host/firewall/netfilter.js';
import { planFirewall, variants } from '../../src/lib/layer0/host/firewall/plan.js';
import { parseSaved } from '../../src/lib/layer0/host/firewall/saved.js';
import { ask, cli, cliJson, eventually, hosts, labName, root, run, runningJobs } from './grid.js';

const app = 'fort';
const domain = 'fort.localhost';
const ref = { root, name: labName };
const clusterPorts = Object.values(ports).filter((port) => port !== ports.registryLocal);

/** `open`, `silent` when nothing came back within a second, or why it failed. */
const knock = (host: string, port: number): Promise<string> =>
  new Promise((resolve) => {
    const socket = createConnection({ host, port, timeout: 1_000 });
    const end = (how: string): void => {
      socket.destroy();
      resolve(how);
    };
    socket.once('connect', () => end('open'));
    socket.once('timeout', () => end('silent'));
    socket.once('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message));
  });

type Doors = Record<string, string>;
const doorsOf = (address: string, numbers: readonly number[]): string[] =>
  numbers.map((port) => `${address}:${port}`);
const all = (doors: readonly string[], how: string): Doors =>
  Object.fromEntries(doors.map((door) => [door, how]));

/** Knocks from this machine, which is no member, at the hosts' internal addresses. */
const fromOutside = async (doors: readonly string[]): Promise<Doors> =>
  Object.fromEntries(
    await Promise.all(
      doors.map(async (door) => {
        const [address = '', port] = door.split(':');
        return [door, await knock(address, Number(port))] as const;
      }),
    ),
  );

/** The same, as a program for the Node of an app's image: it prints what `fromOutside` returns. */
const knocker = `
const knock = ([host, port]) => new Promise((resolve) => {
  const socket = require('node:net').createConnection({ host, port, timeout: 1000 });
  const end = (how) => { socket.destroy(); resolve(how); };
  socket.once('connect', () => end('open'));
  socket.once('timeout', () => end('silent'));
  socket.once('error', (error) => end(error.code));
});
Promise.all(process.argv.slice(1).map(async (door) => [door, await knock(door.split(':'))]))
  .then((found) => console.log(JSON.stringify(Object.fromEntries(found))));`;

/** A container of the app on a host. */
const containerOn = async (host: LabHost): Promise<string> =>
  `flynn-${(await runningJobs(host.name, app))[0]}`;

/** Knocks from inside a container on a host. */
const fromContainer = async (host: LabHost, container: string, doors: readonly string[]): Promise<Doors> => {
  const argv = ['docker', 'exec', container, 'node', '-e', knocker, ...doors];
  const done = await labExec(host.name, argv, ref);
  expect(done.code, done.stderr).toBe(0);
  return JSON.parse(done.stdout) as Doors;
};

/** Knocks from a host itself. */
const fromHost = async (host: LabHost, doors: readonly string[]): Promise<Doors> => {
  const script =
    'for d; do timeout 2 bash -c "exec 3<>/dev/tcp/${d%:*}/${d#*:}" 2>/dev/null && echo "$d"; done; exit 0';
  const done = await labExec(host.name, ['bash', '-c', script, 'knock', ...doors], ref);
  const open = done.stdout.split('\n');
  return Object.fromEntries(doors.map((door) => [door, open.includes(door) ? 'open' : 'silent']));
};

/** Host ports of this range on which something listens, as the host's own `ss` tells. */
const listening = async (host: LabHost): Promise<number[]> => {
  const done = await labExec(host.name, ['ss', '-Hltn'], ref);
  const found = done.stdout.split('\n').map((line) => Number(/:(\d+)\s/.exec(line)?.[1]));
  return [...new Set(found.filter((port) => port > 0))];
};

const jobPortOf = async (host: LabHost): Promise<number> => {
  const port = (await listening(host)).find((one) => one >= jobPorts.first && one <= jobPorts.last);
  if (port === undefined) throw new Error(`no job is published on ${host.name}`);
  return port;
};

const on = async (host: LabHost, ...argv: string[]): Promise<string> => {
  const done = await labExec(host.name, argv, ref);
  expect(done.code, `${argv.join(' ')}: ${done.stderr}`).toBe(0);
  return done.stdout;
};

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

describe('from outside', () => {
  it('no port of the cluster answers, on any host', async () => {
    for (const host of hosts()) {
      expect(await listening(host)).toEqual(expect.arrayContaining(clusterPorts));
      const doors = doorsOf(host.address, clusterPorts);
      expect(await fromOutside(doors)).toEqual(all(doors, 'silent'));
    }
  });

  it('no published port of a job answers', async () => {
    for (const host of hosts()) {
      const doors = doorsOf(host.address, [await jobPortOf(host)]);
      expect(await fromOutside(doors)).toEqual(all(doors, 'silent'));
    }
  });

  it('sshd, the router and the gateway do', async () => {
    for (const host of hosts()) {
      const doors = doorsOf(host.address, [22, 80, 2222]);
      expect(await fromOutside(doors)).toEqual(all(doors, 'open'));
      expect((await ask(host, domain)).status).toBe(200);
    }
  });
});

describe('from inside an app', () => {
  it('no port of the cluster answers, of its own host or of others', async () => {
    const [first] = hosts();
    const doors = hosts().flatMap(({ address }) => doorsOf(address, clusterPorts));
    expect(await fromContainer(first!, await containerOn(first!), doors)).toEqual(all(doors, 'silent'));
  });

  it('the routers answer, and so do jobs of every host', async () => {
    const [first] = hosts();
    const jobs = await Promise.all(hosts().map(async (h) => `${h.address}:${await jobPortOf(h)}`));
    const doors = [...hosts().flatMap(({ address }) => doorsOf(address, [80])), ...jobs];
    expect(await fromContainer(first!, await containerOn(first!), doors)).toEqual(all(doors, 'open'));
  });
});

describe('among members', () => {
  it('everything answers, and the cluster is healthy', async () => {
    const jobs = await Promise.all(hosts().map(async (h) => `${h.address}:${await jobPortOf(h)}`));
    const doors = [...hosts().flatMap(({ address }) => doorsOf(address, clusterPorts)), ...jobs];
    for (const host of hosts()) expect(await fromHost(host, doors)).toEqual(all(doors, 'open'));
    const status = await cliJson<GridStatus>(['cluster', 'status']);
    expect(status.etcd).toMatchObject({ healthy: true });
    expect(status.hosts.filter(({ alive }) => !alive)).toEqual([]);
  });
});

describe('rules that somebody takes away', () => {
  /** Takes a jump away until the door stands open: the next look may come between the two. */
  const opened = (host: LabHost, chain: string, to: string, look: () => Promise<Doors>): Promise<Doors> =>
    eventually(
      `open without ${to}`,
      async () => {
        await labExec(host.name, ['iptables', '-D', chain, '-j', to], ref);
        const seen = await look();
        return Object.values(seen).every((how) => how === 'open') ? seen : undefined;
      },
      60_000,
    );
  const closed = (look: () => Promise<Doors>): Promise<Doors> =>
    eventually(
      'closed again',
      async () => {
        const seen = await look();
        return Object.values(seen).every((how) => how === 'silent') ? seen : undefined;
      },
      60_000,
    );

  it('were what kept outsiders and apps out, each of them, and are back by themselves', async () => {
    const [host, other] = hosts();
    const container = await containerOn(host!);
    const job = doorsOf(host!.address, [await jobPortOf(host!)]);
    const guards: { chain: string; to: string; look: () => Promise<Doors> }[] = [
      { chain: 'INPUT', to: 'FLYNN-INPUT', look: () => fromOutside(doorsOf(host!.address, clusterPorts)) },
      {
        chain: 'INPUT',
        to: 'FLYNN-INPUT',
        look: () => fromContainer(host!, container, doorsOf(host!.address, clusterPorts)),
      },
      { chain: 'DOCKER-USER', to: 'FLYNN-FORWARD', look: () => fromOutside(job) },
      {
        chain: 'DOCKER-USER',
        to: 'FLYNN-FORWARD',
        look: () => fromContainer(host!, container, doorsOf(other!.address, clusterPorts)),
      },
    ];
    for (const { chain, to, look } of guards) await opened(host!, chain, to, look);
    for (const { look } of guards) await closed(look);
  });

  it('are back after a restart of dockerd that found its chains flushed', async () => {
    const [, host] = hosts();
    const look = async () => fromOutside(doorsOf(host!.address, [await jobPortOf(host!)]));
    await on(
      host!,
      'sh',
      '-c',
      'kill -9 "$(cat /var/run/docker.pid)"; iptables -F DOCKER-USER; iptables -F INPUT',
    );
    await eventually('dockerd again', async () =>
      (await labExec(host!.name, ['docker', 'version'], ref)).code === 0 ? true : undefined,
    );
    await closed(look);
    expect((await ask(host!, domain)).status).toBe(200);
  });
});

describe('either packet filter of a host', () => {
  const input = { members: ['10.0.0.1', '10.0.0.2', 'fd00::2'], bridges: ['docker0', 'br-0123456789ab'] };
  const space = 'firewall-test';

  it.each(variants)(
    '%s takes the rules, shows them as written, and is as before without them',
    async (variant) => {
      // given a network of its own in a lab host, with Docker's chain
      const [host] = hosts();
      const within = (argv: readonly string[]): string[] => ['ip', 'netns', 'exec', space, ...argv];
      const tool: RunTool = (argv, text) => labExec(host!.name, within(argv), { ...ref, input: text });
      const plain = (text: string) => text.replace(/^#.*\n|\[\d+:\d+\]/gm, '');
      await on(host!, 'ip', 'netns', 'add', space);
      try {
        const netfilter = netfilterOver(tool);
        const read = async (family: 4 | 6): Promise<string> =>
          plain((await netfilter.save({ family, variant })) ?? '');
        const setUp = ['iptables', 'ip6tables'].map(
          (name) =>
            `t=${name}-${variant}; $t -N DOCKER-USER; $t -A FORWARD -j DOCKER-USER; $t -A INPUT -i x -j DROP`,
        );
        await on(host!, ...within(['sh', '-ec', setUp.join('\n')]));
        const before = [await read(4), await read(6)];
        const plan = async () =>
          planFirewall(
            [
              { family: 4, variant, saved: parseSaved(await read(4)) },
              { family: 6, variant, saved: parseSaved(await read(6)) },
            ],
            input,
          );
        // when
        const { changes } = await plan();
        expect(changes).toHaveLength(2);
        for (const { text, ...table } of changes) await netfilter.restore(table, text);
        // then
        expect(await plan()).toEqual({ changes: [] });
        expect(await read(6)).toContain('-s fd00::2/128 -j RETURN');
        expect(await removeFirewall(tool)).toBe(true);
        expect([await read(4), await read(6)]).toEqual(before);
      } finally {
        await on(host!, 'ip', 'netns', 'delete', space);
      }
    },
  );
});

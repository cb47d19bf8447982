// The machine's side of a lab: its network with the blackhole behind it, free ports, leftover cgroups.
import { readdir, readFile, rmdir } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { FlynnError } from '../api/errors.js';
import { docker, dockerAny } from './docker-cli.js';
import { findNumber, networkOf, type LabId } from './inventory.js';
import { which } from './packages.js';
import { addressesOf, nameServers, PUBLISHED, subnetOf, type Publish } from './plan.js';
import { runAny } from './process.js';

/** The lab's network, made with the first free number. Returns the number. Throws `no_capacity` when all are taken. */
export const ensureNetwork = async (id: LabId, signal?: AbortSignal): Promise<number> => {
  const found = await findNumber(id.key, signal);
  if (found !== undefined) return found;
  // The engine refuses a subnet that overlaps another network's: that makes this the lock between labs.
  for (let n = 0; n < 255; n++) {
    const args = ['network', 'create', '--subnet', subnetOf(n), '--label', `flynn.lab=${id.key}`];
    const made = await dockerAny([...args, '--label', `flynn.lab.root=${id.root}`, networkOf(id)], {
      signal,
    });
    if (made.code === 0) return n;
    const raced = await findNumber(id.key, signal);
    if (raced !== undefined) return raced;
  }
  throw new FlynnError({
    code: 'no_capacity',
    message: `no subnet of 10.77.0.0/16 is free for lab ${id.name}`,
    hint: 'docker network ls --filter label=flynn.lab',
  });
};

/** Changes the machine's routes: by `ip` as root, else in a container of the host's network. */
const ip = async (args: string[], image: string | undefined, signal?: AbortSignal): Promise<boolean> => {
  if (process.platform === 'linux' && process.getuid?.() === 0 && (await which('ip'))) {
    return (await runAny('ip', args, { signal })).code === 0;
  }
  if (!image) return false;
  const flags = ['run', '--rm', '--network', 'host', '--cap-add', 'NET_ADMIN', '--entrypoint', 'ip'];
  return (await dockerAny([...flags, image, ...args], { signal })).code === 0;
};

/** Sends the subnet's traffic nowhere when the network is gone. Returns whether the route could be set. */
export const addBlackhole = (n: number, image: string, signal?: AbortSignal): Promise<boolean> =>
  ip(['route', 'replace', 'blackhole', subnetOf(n), 'metric', '9999'], image, signal);

/** Removes that route; one that is absent is fine. */
export const removeBlackhole = (n: number, image: string | undefined): Promise<boolean> =>
  ip(['route', 'del', 'blackhole', subnetOf(n), 'metric', '9999'], image);

const canBind = (host: string, port: number): Promise<number | undefined> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(undefined));
    server.listen({ host, port, exclusive: true }, () => {
      const bound = server.address();
      server.close(() => resolve(typeof bound === 'object' && bound ? bound.port : undefined));
    });
  });

/** The first free port of 127.0.0.1:8080–8099, or undefined. */
export const freeLocalPort = async (): Promise<number | undefined> => {
  for (let port = 8080; port <= 8099; port++) if (await canBind('127.0.0.1', port)) return port;
  return undefined;
};

/** Whether somebody holds one of these places now. */
export const anyTaken = async (places: readonly Publish[]): Promise<boolean> => {
  for (const { ip, port } of places) if ((await canBind(ip, port)) === undefined) return true;
  return false;
};

/** Where a host's ports go: its own loopback address, or free ports of 127.0.0.1 where that cannot be bound. */
export const publishPlan = async (n: number, index: number, local?: number): Promise<Publish[]> => {
  const { loopback } = addressesOf(n, index);
  const shared = local === undefined ? [] : [{ ip: '127.0.0.1', port: local, inner: 80 }];
  if (await canBind(loopback, 0)) {
    return [...PUBLISHED.map((inner) => ({ ip: loopback, port: inner, inner })), ...shared];
  }
  const ports = await Promise.all(PUBLISHED.map(() => canBind('127.0.0.1', 0)));
  return [
    ...PUBLISHED.map((inner, i) => {
      const port = ports[i];
      if (port === undefined)
        throw new FlynnError({ code: 'no_capacity', message: 'no free port on 127.0.0.1' });
      return { ip: '127.0.0.1', port, inner };
    }),
    ...shared,
  ];
};

/** Name servers for the inner engines, as `nameServers` reads them; none where this machine names none. */
export const machineNameServers = async (): Promise<string[]> => {
  const read = (file: string): Promise<string> => readFile(file, 'utf8').catch(() => '');
  return nameServers(await read('/etc/resolv.conf'), await read('/run/systemd/resolve/resolv.conf'));
};

const removeTree = async (dir: string): Promise<void> => {
  const entries = await readdir(dir, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) if (entry.isDirectory()) await removeTree(join(dir, entry.name));
  // Only an empty group can be removed; a busy one is the engine's business.
  await rmdir(dir).catch(() => undefined);
};

/** Removes the cgroups that a removed lab host left behind: the engine cannot, they have children. */
export const removeCgroups = async (containerId: string, image: string | undefined): Promise<void> => {
  if (!/^[0-9a-f]{64}$/.test(containerId)) return;
  const bases = [
    '/sys/fs/cgroup',
    ...(await readdir('/sys/fs/cgroup').catch(() => [])).map((d) => `/sys/fs/cgroup/${d}`),
  ];
  const dirs = bases.flatMap((base) => [
    join(base, 'docker', containerId),
    join(base, 'system.slice', `docker-${containerId}.scope`),
  ]);
  if (process.getuid?.() === 0) {
    for (const dir of dirs) await removeTree(dir);
    return;
  }
  if (!image) return;
  const mount = ['-v', '/sys/fs/cgroup:/sys/fs/cgroup:rw', '--cgroupns', 'host', '--entrypoint', 'find'];
  const where = [
    '/sys/fs/cgroup',
    '-depth',
    '-path',
    `*${containerId}*`,
    '-type',
    'd',
    '-exec',
    'rmdir',
    '{}',
    ';',
  ];
  await dockerAny(['run', '--rm', '--privileged', ...mount, image, ...where]);
};

/** Image of one of the lab's containers, for helpers that need one. */
export const imageOf = (containerId: string): Promise<string> =>
  docker(['inspect', '-f', '{{.Config.Image}}', containerId]);

// Names by a real dnsmasq, as a host's jobs ask for them: with the agent there, with it away, and from outside.
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { Resolver } from 'node:dns/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pack } from 'tar-stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ServiceInstance } from '../../src/lib/api/discovery.js';
import { openDocker } from '../../src/lib/docker/index.js';
import { readQuestion, writeReply } from '../../src/lib/layer0/discovery/dns/message.js';
import { ResolverFiles } from '../../src/lib/layer0/discovery/dns/resolver-files.js';
import { serveNames } from '../../src/lib/layer0/discovery/dns/server.js';
import { warm } from '../../src/lib/layer0/discovery/dns/warm.js';
import { findBridge } from '../../src/lib/layer0/host/bridge.js';
import { systemClock as clock } from '../../src/lib/util/clock.js';
import { packageRoot } from '../../src/lib/util/package-root.js';
import { poll } from '../../src/lib/util/retry.js';
import { cryptoRng as rng } from '../../src/lib/util/rng.js';

const docker = openDocker();
const tag = 'flynn-test/dns:1';
const container = `flynn-test-dns-${process.pid}`;
const port = 11_400 + (process.pid % 100);
const services = new Map<string, ServiceInstance[]>();
const source = {
  known: true,
  names: () => [...services.keys()],
  view: (name: string) => {
    const instances = services.get(name) ?? [];
    return { name, instances, leader: instances[0] ?? null };
  },
};
let dir: string;
let files: ResolverFiles;
let server: { close(): void } | undefined;
let gateway: string;
const resolver = new Resolver({ timeout: 1_000, tries: 2 });
const over = new AbortController();

const set = async (name: string, ...places: [address: string, port: number][]): Promise<void> => {
  const instances = places.map(([address, p], i) => ({
    ...{ id: `x.${p}`, host: 'a', address, port: p, since: 0, meta: {}, epoch: i },
  }));
  if (instances.length > 0) services.set(name, instances);
  else services.delete(name);
  await files.sync(source, [name]);
};
const agentUp = async (): Promise<void> => {
  server = await serveNames({ source, rng, host: '127.0.0.1', port, onFault: () => undefined });
};
const agentAway = (): void => {
  server?.close();
  server = undefined;
};
const addresses = async (name: string): Promise<string[]> =>
  resolver.resolve4(name).then(
    (all) => all.sort(),
    // Whether the name or the record is not there is all the same to whoever asks for an address.
    ({ code = 'error' }: NodeJS.ErrnoException) => [/^(ENOTFOUND|ENODATA)$/.test(code) ? 'none' : code],
  );
/** Waits until a name is answered so: files reach the resolver by the kernel's notice. */
const becomes = (name: string, wanted: string[]): Promise<string[]> =>
  poll(
    clock,
    async () => {
      const now = await addresses(name);
      return JSON.stringify(now) === JSON.stringify(wanted) ? now : undefined;
    },
    { timeoutMs: 5_000, what: `${name} is ${wanted.join(' ')}` },
  );

/** A name server of the world: `up.test` and nothing else. Undefined where port 53 needs rights that we have not. */
const upstreamAt = '127.53.0.53';
let upstream: Socket | undefined;
const startUpstream = async (): Promise<Socket | undefined> => {
  const socket = createSocket('udp4');
  socket.on('message', (message, from) => {
    const question = readQuestion(message);
    if (!question) return;
    const answers =
      question.name === 'up.test'
        ? [{ name: 'up.test', ttl: 60, type: 'A' as const, address: '192.0.2.7' }]
        : [];
    socket.send(writeReply(question, { rcode: 0, answers }, 512), from.port, from.address);
  });
  try {
    socket.bind(53, upstreamAt);
    await once(socket, 'listening');
    return socket;
  } catch {
    return undefined;
  }
};

beforeAll(async () => {
  const bridge = await findBridge(docker)();
  if (!bridge) throw new Error('this engine has no bridge');
  gateway = bridge.address;
  dir = await mkdtemp(join(tmpdir(), 'flynn-dns-'));
  files = new ResolverFiles(dir);
  await files.configure({ interface: bridge.name, port });
  const folder = join(packageRoot(), 'templates/images/dns');
  const context = pack();
  for (const name of ['Dockerfile', 'dns-entry.sh'])
    context.entry({ name, mode: 0o755 }, await readFile(join(folder, name)));
  context.finalize();
  await docker.images.build(Readable.from(context), {
    tags: [tag],
    buildArgs: { BASE: 'debian:bookworm-slim' },
    timeoutMs: 200_000,
  });
  await agentUp();
  await writeFile(join(dir, 'resolv.conf'), `nameserver ${upstreamAt}\n`);
  upstream = await startUpstream();
  const id = await docker.containers.create({
    name: container,
    image: tag,
    network: 'host',
    env: { FLYNN_DNS_DIR: dir },
    mounts: [
      { type: 'bind', source: dir, target: dir, readOnly: true },
      ...(upstream
        ? [{ type: 'bind' as const, source: join(dir, 'resolv.conf'), target: '/etc/resolv.conf' }]
        : []),
    ],
    noNewPrivileges: true,
    init: true,
  });
  await docker.containers.start(id);
  resolver.setServers([gateway]);
  await set('first', ['10.0.0.1', 1]);
  await becomes('first.flynn', ['10.0.0.1']);
}, 240_000);
afterAll(async () => {
  over.abort();
  await docker.containers.remove(container, { force: true });
  agentAway();
  upstream?.close();
  docker.close();
  await rm(dir, { recursive: true });
});

describe('names of services', () => {
  it('given a service, its leader and its ports, then each is found; what comes and goes is followed', async () => {
    await set('db', ['10.0.0.1', 5432], ['10.0.0.2', 5433]);
    await becomes('db.flynn', ['10.0.0.1', '10.0.0.2']);
    expect(await addresses('leader.db.flynn')).toEqual(['10.0.0.1']);
    const srv = [
      { name: '10-0-0-1.addr.flynn', port: 5432, priority: 0, weight: 0 },
      { name: '10-0-0-2.addr.flynn', port: 5433, priority: 0, weight: 0 },
    ];
    const asked = await resolver.resolveSrv('db.flynn');
    expect(asked.sort((a, b) => a.port - b.port)).toEqual(srv);
    expect(await resolver.resolveSrv('_db._tcp.db.flynn')).toHaveLength(2);
    expect(await addresses('10-0-0-2.addr.flynn')).toEqual(['10.0.0.2']);
    await set('db', ['10.0.0.3', 5434]);
    await becomes('db.flynn', ['10.0.0.3']);
    await becomes('leader.db.flynn', ['10.0.0.3']);
    await set('db');
    await becomes('db.flynn', ['none']);
    await set('db', ['10.0.0.4', 5435]);
    await becomes('db.flynn', ['10.0.0.4']);
  });

  it('given a name that nobody had, asked for before, then it is found as soon as somebody has it', async () => {
    expect(await addresses('late.flynn')).toEqual(['none']);
    await expect(resolver.resolveSrv('late.flynn')).rejects.toMatchObject({ code: 'ENOTFOUND' });
    await set('late', ['10.0.0.9', 9]);
    await becomes('late.flynn', ['10.0.0.9']);
    // As the agent does after every change: an absence that was heard before is not kept.
    await warm(clock, gateway, ['late'], over.signal);
    expect(await resolver.resolveSrv('late.flynn')).toHaveLength(1);
  });

  it('given a service that moved while its ports were known, then they are right soon after the resolver was asked', async () => {
    await set('moves', ['10.0.0.1', 1]);
    for (let port = 1; port <= 3; port++) {
      await set('moves', ['10.0.0.1', port]);
      await warm(clock, gateway, ['moves'], over.signal);
      await clock.sleep(50);
      expect((await resolver.resolveSrv('moves.flynn'))[0]?.port).toBe(port);
    }
  });
});

describe('with the agent away', () => {
  it('given names that no job has asked for, then addresses, leaders, ports and missing families are answered at once', async () => {
    await set('never', ['10.0.0.5', 5]);
    await becomes('never.flynn', ['10.0.0.5']);
    await set('asked', ['10.0.0.6', 6]);
    await warm(clock, gateway, ['asked'], over.signal);
    agentAway();
    await clock.sleep(1_200);
    if (upstream) expect(await addresses('up.test')).toEqual(['192.0.2.7']);
    expect(await addresses('leader.never.flynn')).toEqual(['10.0.0.5']);
    expect(await addresses('asked.flynn')).toEqual(['10.0.0.6']);
    const started = clock.mono();
    expect(await resolver.resolveSrv('asked.flynn')).toMatchObject([{ port: 6 }]);
    expect(await resolver.resolveSrv('_asked._tcp.asked.flynn')).toMatchObject([{ port: 6 }]);
    await expect(resolver.resolve6('asked.flynn')).rejects.toMatchObject({ code: 'ENODATA' });
    await expect(resolver.resolve6('leader.asked.flynn')).rejects.toMatchObject({ code: 'ENODATA' });
    expect(clock.mono() - started).toBeLessThan(500);
    await agentUp();
  });
});

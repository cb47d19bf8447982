// A real etcd for contract tests: free loopback ports, a temporary directory, stopped by its own pid.
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EtcdStore } from '../../src/lib/store/etcd.js';
import { poll } from '../../src/lib/util/retry.js';
import { systemClock } from '../../src/lib/util/clock.js';

/** PEM texts for a server with client certificates required. */
export interface EtcdServerTls {
  ca: string;
  cert: string;
  key: string;
}

/** A running member. */
export interface EtcdServer {
  readonly url: string;
  readonly peerUrl: string;
  readonly pid: number;
  /** kill -9, and waits until it is gone. The data stays. */
  kill(): Promise<void>;
  /** Starts it again on the same ports and data. */
  start(): Promise<void>;
  /** SIGSTOP and SIGCONT: frozen, its kernel still accepts connections. */
  freeze(): void;
  thaw(): void;
  /** Kills it and removes its data. */
  stop(): Promise<void>;
}

/** A loopback port that is free now. */
export const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() =>
        typeof address === 'object' && address ? resolve(address.port) : reject(new Error('no port')),
      );
    });
  });

/** The binary, or an error that says how to get it. */
const binary = (): string => {
  const found = ['/usr/bin/etcd', '/usr/local/bin/etcd'].find((path) => existsSync(path));
  if (!found) throw new Error('no etcd on this machine: apt-get install etcd-server');
  return found;
};

interface MemberPlan {
  name: string;
  url: string;
  peerUrl: string;
}

const plan = async (name: string, scheme: string): Promise<MemberPlan> => ({
  name,
  url: `${scheme}://127.0.0.1:${await freePort()}`,
  peerUrl: `http://127.0.0.1:${await freePort()}`,
});

const member = async (me: MemberPlan, all: MemberPlan[], tls?: EtcdServerTls): Promise<EtcdServer> => {
  const dir = await mkdtemp(join(tmpdir(), 'flynn-etcd-'));
  const tlsArgs: string[] = [];
  if (tls) {
    for (const [name, text] of Object.entries(tls))
      await writeFile(join(dir, `${name}.pem`), text, { mode: 0o600 });
    tlsArgs.push('--cert-file', join(dir, 'cert.pem'), '--key-file', join(dir, 'key.pem'));
    tlsArgs.push('--trusted-ca-file', join(dir, 'ca.pem'), '--client-cert-auth');
  }
  const args = [
    ...['--name', me.name, '--data-dir', join(dir, 'data')],
    ...['--listen-client-urls', me.url, '--advertise-client-urls', me.url],
    ...['--listen-peer-urls', me.peerUrl, '--initial-advertise-peer-urls', me.peerUrl],
    ...['--initial-cluster', all.map((m) => `${m.name}=${m.peerUrl}`).join(',')],
    ...[
      '--initial-cluster-state',
      'new',
      '--pre-vote',
      '--grpc-keepalive-min-time=1s',
      '--log-level',
      'error',
    ],
    ...tlsArgs,
  ];
  let child: ChildProcess | undefined;
  let log = '';
  const start = async (): Promise<void> => {
    child = spawn(binary(), args, { stdio: ['ignore', 'ignore', 'pipe'], env: { PATH: '/usr/bin:/bin' } });
    child.stderr?.on('data', (chunk: Buffer) => (log = (log + chunk.toString()).slice(-4000)));
    await new Promise<void>((resolve, reject) => {
      child?.once('spawn', resolve);
      child?.once('error', reject);
    });
  };
  const signal = (name: NodeJS.Signals): void => void child?.kill(name);
  const kill = async (): Promise<void> => {
    const dying = child;
    if (!dying || dying.exitCode !== null || dying.signalCode !== null) return;
    const gone = new Promise<void>((resolve) => dying.once('exit', () => resolve()));
    dying.kill('SIGKILL');
    await gone;
  };
  await start();
  return {
    url: me.url,
    peerUrl: me.peerUrl,
    get pid() {
      if (!child?.pid) throw new Error(`etcd ${me.name} does not run: ${log}`);
      return child.pid;
    },
    kill,
    start,
    freeze: () => signal('SIGSTOP'),
    thaw: () => signal('SIGCONT'),
    stop: async () => {
      await kill();
      await rm(dir, { recursive: true, force: true });
    },
  };
};

/** Starts a cluster of that many members and waits until each of them serves linearizable reads. */
export const startEtcdCluster = async (
  size: number,
  tls?: { server: EtcdServerTls; client: EtcdServerTls },
): Promise<EtcdServer[]> => {
  const plans: MemberPlan[] = [];
  for (let i = 0; i < size; i++) plans.push(await plan(`m${i}`, tls ? 'https' : 'http'));
  const servers = await Promise.all(plans.map((p) => member(p, plans, tls?.server)));
  await Promise.all(servers.map((s) => waitForEtcd(s.url, tls?.client)));
  return servers;
};

/** Starts one member. */
export const startEtcd = async (tls?: {
  server: EtcdServerTls;
  client: EtcdServerTls;
}): Promise<EtcdServer> => {
  const [server] = await startEtcdCluster(1, tls);
  return server as EtcdServer;
};

/** Waits until the member at that URL answers, 20 s at most. */
export const waitForEtcd = async (url: string, tls?: EtcdServerTls): Promise<void> => {
  const store = new EtcdStore({ endpoints: [url], tls });
  try {
    await poll(
      systemClock,
      () =>
        store.get('ready').then(
          () => true,
          () => undefined,
        ),
      { timeoutMs: 20_000, what: `etcd at ${url}` },
    );
  } finally {
    await store.close();
  }
};

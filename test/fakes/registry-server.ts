// A real docker-registry for contract tests: started by the image's own entry script, on a free loopback port, over mTLS.
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { Agent } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RegistryClient } from '../../src/lib/layer1/registry/client.js';
import { systemClock } from '../../src/lib/util/clock.js';
import { poll } from '../../src/lib/util/retry.js';
import { freePort, type EtcdServerTls } from './etcd-server.js';

const recipe = new URL('../../templates/images/registry/', import.meta.url).pathname;

/** A running registry. */
export interface RegistryServer {
  client: RegistryClient;
  url: string;
  stop(): Promise<void>;
}

/** Starts one. It is given what a control host has: host.json, certificate, authority, and a directory. */
export const startRegistry = async (certs: {
  server: EtcdServerTls;
  client: EtcdServerTls;
}): Promise<RegistryServer> => {
  if (!existsSync('/usr/bin/docker-registry'))
    throw new Error('no docker-registry on this machine: apt-get install docker-registry');
  const root = await mkdtemp(join(tmpdir(), 'flynn-registry-'));
  for (const dir of ['common', 'control', 'data']) await mkdir(join(root, dir));
  const host = { cluster: { id: 'x', name: 'test' }, publicAddress: '192.0.2.1', address: '127.0.0.1' };
  await writeFile(join(root, 'common', 'host.json'), JSON.stringify(host, null, 2));
  await writeFile(join(root, 'common', 'ca.crt'), certs.server.ca);
  await writeFile(join(root, 'control', 'control.crt'), certs.server.cert);
  await writeFile(join(root, 'control', 'control.key'), certs.server.key, { mode: 0o600 });
  const config = (await readFile(join(recipe, 'config.yml'), 'utf8'))
    .replaceAll('/var/lib/flynn/registry', join(root, 'data'))
    .replaceAll('/etc/flynn/', `${root}/`);
  await writeFile(join(root, 'config.yml'), config);
  const port = await freePort();
  const child: ChildProcess = spawn('sh', [join(recipe, 'registry-entry')], {
    env: {
      PATH: process.env.PATH,
      FLYNN_CONFIG: root,
      REGISTRY_CONFIG: join(root, 'config.yml'),
      REGISTRY_PORT: String(port),
    },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr?.on('data', (chunk: Buffer) => (said = (said + chunk.toString()).slice(-2_000)));
  const agent = new Agent({ ...certs.client, keepAlive: true });
  const url = `https://127.0.0.1:${port}`;
  const client = new RegistryClient(url, agent);
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const stop = async (): Promise<void> => {
    agent.destroy();
    child.kill('SIGKILL');
    await ended;
    await rm(root, { recursive: true, force: true });
  };
  try {
    const answers = async () => {
      if (child.exitCode !== null) throw new Error(`the registry ended with ${child.exitCode}: ${said}`);
      return (await client.alive()) ? true : undefined;
    };
    await poll(systemClock, answers, {
      timeoutMs: 15_000,
      intervalMs: 50,
      what: 'the start of the registry',
    });
    return { client, url, stop };
  } catch (error) {
    await stop();
    throw error;
  }
};

// Behind a proxy that reads TLS: what bootstrap builds, and what builds of apps fetch, trusts the authority of --ca-cert.
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { pack } from 'tar-stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  bootstrapArgs,
  DEBIAN_IMAGE,
  labBundle,
  labDown,
  labEnv,
  labExec,
  labImage,
  labUp,
  NODE_IMAGE,
  type Lab,
} from '../../src/lib/lab/index.js';
import { issue, newAuthority } from '../../src/lib/operator/pki.js';
import { command, root, type CliOptions, type Finished } from '../lab/grid.js';

const ref = { root, name: 'trust' };
const quiet = () => undefined;
/** The system's bundle: on a machine behind such a proxy, the base images must trust that one too to be built on. */
const machineBundle = '/etc/ssl/certs/ca-certificates.crt';

let lab: Lab;
let bundle: string;
let dir: string;
let caCert: string;
let registry: { url: string; server: Server };

/** Bound of one command: images are sent, and built, on machines that have other things to do. */
const timeoutMs = 500_000;

const flynn = (args: string[], options: CliOptions = {}): Promise<Finished> =>
  command(process.execPath, [join(root, 'bin/run.js'), ...args], { timeoutMs, ...options, env: labEnv(ref) });

async function ok(args: string[], options: CliOptions = {}): Promise<string> {
  const done = await flynn(args, options);
  expect(done.code, `flynn ${args.join(' ')}\n${done.stdout}${done.stderr}`).toBe(0);
  return done.stdout;
}

async function onHost(...argv: string[]): Promise<string> {
  const done = await labExec('a', argv, ref);
  expect(done.code, `${argv.join(' ')}\n${done.stdout}${done.stderr}`).toBe(0);
  return done.stdout.trim();
}

/** A package as npm gets it: everything below `package/`. */
async function tarball(files: Record<string, string>): Promise<Buffer> {
  const archive = pack();
  for (const [name, content] of Object.entries(files)) archive.entry({ name: `package/${name}` }, content);
  archive.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of archive) chunks.push(chunk as Buffer);
  return gzipSync(Buffer.concat(chunks));
}

/** A server for packages at this machine's address on the lab's network, with a certificate of an authority nobody knows. */
async function startRegistry(
  address: string,
  served: Buffer,
): Promise<{ ca: string; server: Server; url: string }> {
  const authority = await newAuthority('proxy', Date.now());
  const { cert, key } = await issue(authority, { name: 'registry', addresses: [address] }, Date.now());
  const server = createServer({ cert, key }, (_request, response) => response.end(served));
  await new Promise<void>((resolve) => server.listen(0, address, resolve));
  return { ca: authority.cert, server, url: `https://${address}:${(server.address() as AddressInfo).port}` };
}

/** An app whose only dependency is fetched from `url`. */
async function writeApp(url: string, served: Buffer): Promise<void> {
  const name = 'greeting';
  const resolved = `${url}/${name}-1.0.0.tgz`;
  const integrity = `sha512-${createHash('sha512').update(served).digest('base64')}`;
  const manifest = { name: 'trusting', version: '1.0.0', dependencies: { [name]: '1.0.0' } };
  const lock = {
    ...{ name: 'trusting', version: '1.0.0', lockfileVersion: 3, requires: true },
    packages: { '': manifest, [`node_modules/${name}`]: { version: '1.0.0', resolved, integrity } },
  };
  const server =
    "require('node:http').createServer((q, r) => r.end(require('greeting'))).listen(process.env.PORT);\n";
  await mkdir(dir, { recursive: true });
  await writeFile(join(dir, 'package.json'), JSON.stringify(manifest));
  await writeFile(join(dir, 'package-lock.json'), JSON.stringify(lock));
  await writeFile(join(dir, 'server.js'), server);
  await writeFile(join(dir, 'Procfile'), 'web: node server.js\n');
  await writeFile(join(dir, '.npmrc'), 'fetch-retries=0\n');
}

async function git(...args: string[]): Promise<Finished> {
  const who = ['-c', 'user.name=Ada', '-c', 'user.email=ada@example.com'];
  return command('git', [...who, ...args], { cwd: dir, env: labEnv(ref), timeoutMs: 180_000 });
}

/** Creates the app and pushes it. */
async function push(app: string): Promise<Finished> {
  await git('remote', 'remove', 'flynn');
  await ok(['apps:create', app], { cwd: dir });
  return git('push', 'flynn', 'main');
}

async function answerOf(app: string): Promise<string> {
  return onHost('curl', '-sS', '--max-time', '10', '-H', `host: ${app}.localhost`, 'http://127.0.0.1/');
}

beforeAll(async () => {
  lab = await labUp({ ...ref, hosts: 1 }, quiet);
  bundle = await labBundle(quiet, { root });
  await rm(join(lab.dir, 'flynn'), { recursive: true, force: true });
  dir = await mkdtemp(join(tmpdir(), 'flynn-trust-'));
  const served = await tarball({
    'package.json': JSON.stringify({ name: 'greeting', version: '1.0.0', main: 'index.js' }),
    'index.js': "module.exports = 'fetched over TLS';\n",
  });
  const gateway = (await onHost('ip', '-4', 'route', 'show', 'default')).split(' ')[2]!;
  const { ca, ...started } = await startRegistry(gateway, served);
  registry = started;
  caCert = join(dir, '..', `${dir.split('/').at(-1)}.crt`);
  await writeFile(caCert, `${ca}\n${await readFile(machineBundle, 'utf8').catch(() => '')}`);
  await writeApp(registry.url, served);
  await git('init', '-q', '-b', 'main');
  await git('add', '-A');
  expect((await git('commit', '-qm', 'the app')).code).toBe(0);
}, 600_000);

afterAll(async () => {
  registry?.server.close();
  if (dir) await rm(dir, { recursive: true, force: true });
  if (caCert) await rm(caCert, { force: true });
  if (process.env.FLYNN_KEEP_LAB !== '1') await labDown(ref, quiet);
});

describe('a cluster of images that were built elsewhere', () => {
  it('given no authority, when an app is pushed, then its packages are not fetched and the push is refused', async () => {
    await ok(bootstrapArgs(lab, bundle));
    const done = await push('before');
    expect(done.code).not.toBe(0);
    expect(done.stderr).toMatch(/certificate/);
  });

  it('given bootstrap again with --ca-cert, then its file is all that changes, and the push serves', async () => {
    const again = await ok([...bootstrapArgs(lab, bundle), '--ca-cert', caCert, '--json']);
    const { results } = JSON.parse(again) as { results: { id: string; changed: boolean }[] };
    expect(results.filter(({ changed }) => changed).map(({ id }) => id)).toEqual(['files.write@a']);
    const done = await push('after');
    expect(done.code, done.stderr).toBe(0);
    expect(await answerOf('after')).toBe('fetched over TLS');
  });
});

describe('a cluster that builds its images from base images that trust nobody of ours', () => {
  it('given --ca-cert, when it is bootstrapped, then it builds them and they trust the authority', async () => {
    await ok(['cluster', 'destroy', lab.name, '--yes', '--ssh-config', join(lab.dir, 'ssh_config')]);
    await plainBase(NODE_IMAGE);
    await plainBase(DEBIAN_IMAGE);
    const args = bootstrapArgs(lab, bundle);
    args.splice(args.indexOf('--images'), 2);
    const done = await flynn([...args, '--ca-cert', caCert]);
    expect(done.code, done.stderr).toBe(0);

    const image = (
      await onHost('docker', 'images', '--format', '{{.Repository}}:{{.Tag}}', 'flynn/slugbuilder')
    ).split('\n')[0]!;
    const inside = (...argv: string[]): Promise<string> =>
      onHost('docker', 'run', '--rm', '--entrypoint', argv[0]!, image, ...argv.slice(1));
    const fetched = `fetch('${registry.url}/').then((answer) => console.log(answer.status))`;
    expect(await inside('node', '-e', fetched)).toBe('200');
    expect(await inside('curl', '-sS', '-o', '/dev/null', '-w', '%{http_code}', registry.url)).toBe('200');
  });

  it('and a push of an app serves', async () => {
    const done = await push('built');
    expect(done.code, done.stderr).toBe(0);
    expect(await answerOf('built')).toBe('fetched over TLS');
  });
});

/** Puts a base image on the host as it is without the authorities that the lab gave it. */
async function plainBase(tag: string): Promise<void> {
  const context = await mkdtemp(join(tmpdir(), 'flynn-plain-'));
  try {
    const dockerfile = [
      `FROM ${tag}`,
      'RUN rm -rf /usr/local/share/ca-certificates/* && if [ -x /usr/sbin/update-ca-certificates ]; then update-ca-certificates --fresh; fi',
      'ENV NODE_EXTRA_CA_CERTS=',
    ];
    await writeFile(join(context, 'Dockerfile'), `${dockerfile.join('\n')}\n`);
    const plain = `flynn-lab-plain/${tag}`;
    await labImage(lab, context, plain, quiet);
    await onHost('docker', 'tag', plain, tag);
  } finally {
    await rm(context, { recursive: true, force: true });
  }
}

// The real slug builder behind a proxy that reads TLS: it trusts the authority of its host, and nobody else.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { pack } from 'tar-stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openDocker } from '../../src/lib/docker/index.js';
import { issue, newAuthority } from '../../src/lib/operator/pki.js';
import { buildSystemImages } from '../../src/lib/operator/system-images.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
/** The host as containers on the default bridge reach it. */
const address = '172.17.0.1';

let trust: string;
let authority: string;
let registry: Server;
let source: Buffer;
let image: string;

async function tar(files: Record<string, string>): Promise<Buffer> {
  const archive = pack();
  for (const [name, content] of Object.entries(files)) archive.entry({ name }, content);
  archive.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of archive) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** An app whose only dependency is the tarball at `url`. */
function appOf(url: string, served: Buffer): Promise<Buffer> {
  const integrity = `sha512-${createHash('sha512').update(served).digest('base64')}`;
  const own = { name: 'app', version: '1.0.0', dependencies: { greeting: '1.0.0' } };
  const packages = {
    '': own,
    'node_modules/greeting': { version: '1.0.0', resolved: `${url}/greeting-1.0.0.tgz`, integrity },
  };
  return tar({
    'package.json': JSON.stringify(own),
    'package-lock.json': JSON.stringify({ ...own, lockfileVersion: 3, requires: true, packages }),
    '.npmrc': 'fetch-retries=0\n',
    Procfile: 'web: node server.js\n',
  });
}

/** Runs the builder with the host's folder of authorities, as its job does. */
function build(): Promise<{ code: number | null; slugBytes: number; said: string }> {
  return new Promise((resolve, reject) => {
    const mount = `${trust}:/etc/flynn/trust:ro`;
    const child = spawn('docker', ['run', '--rm', '-i', '-v', mount, image]);
    let [slugBytes, said] = [0, ''];
    child.stdout.on('data', (chunk: Buffer) => (slugBytes += chunk.length));
    child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString('utf8')));
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, slugBytes, said }));
    child.stdin.write('{"env":{}}\n');
    child.stdin.end(source);
  });
}

beforeAll(async () => {
  const docker = openDocker();
  try {
    ({
      images: { slugbuilder: image = '' },
    } = await buildSystemImages(docker, { root }));
  } finally {
    docker.close();
  }
  trust = await mkdtemp(join(tmpdir(), 'flynn-trust-'));
  await chmod(trust, 0o755);
  const made = await newAuthority('proxy', Date.now());
  authority = made.cert;
  const { cert, key } = await issue(made, { name: 'registry', addresses: [address] }, Date.now());
  const served = gzipSync(
    await tar({ 'package/package.json': '{"name":"greeting","version":"1.0.0"}', 'package/index.js': '1' }),
  );
  registry = createServer({ cert, key }, (_request, response) => response.end(served));
  await new Promise<void>((resolve) => registry.listen(0, address, resolve));
  source = await appOf(`https://${address}:${(registry.address() as AddressInfo).port}`, served);
}, 600_000);

afterAll(async () => {
  registry?.close();
  if (trust) await rm(trust, { recursive: true, force: true });
});

describe('the slug builder', () => {
  it('given a host without authorities, when a package comes from an unknown one, then the build fails', async () => {
    const { code, slugBytes, said } = await build();
    expect(code, said).toBe(1);
    expect(said).toContain('UNABLE_TO_VERIFY_LEAF_SIGNATURE');
    expect(slugBytes).toBe(0);
  });

  it('given the authority on its host, then the same build makes a slug', async () => {
    await writeFile(join(trust, 'ca.crt'), authority);
    const { code, slugBytes, said } = await build();
    expect(code, said).toBe(0);
    expect(slugBytes).toBeGreaterThan(100);
  });
});

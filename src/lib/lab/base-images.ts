// The two base images of everything: Debian bookworm and Node 24 on it. Pulled, or made where no registry answers.
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { FlynnError } from '../api/errors.js';
import { extraCertificates, machineBundle } from './ca.js';
import { docker, dockerAny, imageId } from './docker-cli.js';
import { buildImage } from './images.js';
import { canInstall, install, which } from './packages.js';
import { cacheDir } from './paths.js';
import { run } from './process.js';
import type { LabReport } from './types.js';

/** Name of the Debian base image. */
export const DEBIAN_IMAGE = 'debian:bookworm-slim';
/** Name of the Node base image. */
export const NODE_IMAGE = 'node:24-bookworm-slim';
const BUNDLE = '/etc/ssl/certs/ca-certificates.crt';
const LOCAL_CERTIFICATES = '/usr/local/share/ca-certificates';
const REMEMBER_MS = 10 * 60_000;

const answers = (host: string, port: number, timeoutMs: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect({ host, port, timeout: timeoutMs });
    const end = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => end(true));
    socket.once('timeout', () => end(false));
    socket.once('error', () => end(false));
  });

const registryReachable = async (signal?: AbortSignal): Promise<boolean> => {
  const file = join(cacheDir(), 'registry.json');
  const text = await readFile(file, 'utf8').catch(() => undefined);
  const known = text === undefined ? undefined : (JSON.parse(text) as { reachable: boolean; at: number });
  if (known && Date.now() - known.at < REMEMBER_MS) return known.reachable;
  // An engine with a mirror or a proxy gets at a registry that this process cannot see.
  const format = '{{len .RegistryConfig.Mirrors}} {{.HTTPSProxy}}';
  const indirect = (await docker(['info', '--format', format], { signal })).trim() !== '0';
  const reachable = indirect || (await answers('registry-1.docker.io', 443, 3_000));
  await mkdir(cacheDir(), { recursive: true });
  await writeFile(file, JSON.stringify({ reachable, at: Date.now() }));
  return reachable;
};

const pull = async (tag: string, report: LabReport, signal?: AbortSignal): Promise<boolean> => {
  if (!(await registryReachable(signal))) return false;
  report({ code: 'image.pull', message: `pulling ${tag}` });
  const done = await dockerAny(['pull', '-q', tag], { timeoutMs: 300_000, signal });
  if (done.code !== 0) report({ code: 'lab.warning', message: `pulling ${tag}: ${done.stderr.trim()}` });
  return done.code === 0;
};

const withDir = async <T>(work: (dir: string) => Promise<T>): Promise<T> => {
  await mkdir(cacheDir(), { recursive: true });
  const dir = await mkdtemp(join(cacheDir(), 'image-'));
  try {
    return await work(dir);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
};

const debootstrap = async (report: LabReport, signal?: AbortSignal): Promise<void> => {
  if (process.getuid?.() !== 0) {
    throw new FlynnError({
      code: 'missing',
      message: `${DEBIAN_IMAGE} cannot be pulled, and only root can make it with debootstrap`,
      hint: `docker pull ${DEBIAN_IMAGE}`,
    });
  }
  if (!(await which('debootstrap')) && (await canInstall())) await install(['debootstrap'], report, signal);
  report({ code: 'image.make', message: `no registry answers: making ${DEBIAN_IMAGE} with debootstrap` });
  await withDir(async (dir) => {
    const root = join(dir, 'root');
    const flags = ['--variant=minbase', '--include=ca-certificates', 'bookworm', root];
    await run('debootstrap', flags, { timeoutMs: 600_000, signal });
    await rm(join(root, 'var/log/bootstrap.log'), { force: true });
    for (const sub of ['var/cache/apt/archives', 'var/lib/apt/lists']) {
      await rm(join(root, sub), { recursive: true, force: true });
      await mkdir(join(root, sub, 'partial'), { recursive: true });
    }
    // The mirror is the one that debootstrap wrote down; its updates and fixes lie beside it.
    const sources = await readFile(join(root, 'etc/apt/sources.list'), 'utf8');
    const mirror = /^deb (\S+?)\/? bookworm /m.exec(sources)?.[1];
    const updates = [
      `deb ${mirror} bookworm-updates main`,
      `deb ${mirror}-security bookworm-security main`,
      '',
    ];
    if (mirror) await writeFile(join(root, 'etc/apt/sources.list.d/updates.list'), updates.join('\n'));
    const tar = join(dir, 'root.tar');
    await run('tar', ['-C', root, '--numeric-owner', '-cf', tar, '.'], { timeoutMs: 120_000, signal });
    await docker(['import', '--change', 'CMD ["bash"]', tar, DEBIAN_IMAGE], { timeoutMs: 120_000, signal });
  });
};

/** Puts what this machine trusts beyond the image's own bundle into the image, under the same name. */
const trustMachine = async (tag: string, report: LabReport, signal?: AbortSignal): Promise<void> => {
  const bundle = await machineBundle();
  if (!bundle) return;
  const there = await docker(
    ['run', '--rm', '--network', 'none', tag, 'sh', '-c', `cat ${BUNDLE} 2>/dev/null || true`],
    {
      signal,
    },
  );
  const extra = extraCertificates(bundle, there);
  // An image without a bundle is left alone on a machine that trusts nothing of its own.
  const own = there ? extra.length : (await readdir(LOCAL_CERTIFICATES).catch(() => [])).length;
  if (own === 0) return;
  report({ code: 'image.make', message: `adding ${extra.length} certificates of this machine to ${tag}` });
  await withDir(async (dir) => {
    // The bundle serves at once; the single files let update-ca-certificates make it again.
    await mkdir(join(dir, 'extra'));
    await writeFile(join(dir, 'bundle.crt'), `${there}\n${extra.join('\n')}\n`);
    await Promise.all(extra.map((pem, i) => writeFile(join(dir, 'extra', `machine-${i}.crt`), `${pem}\n`)));
    const dockerfile = [
      `FROM ${tag}`,
      `COPY bundle.crt ${BUNDLE}`,
      'COPY extra/ /usr/local/share/ca-certificates/',
      `ENV NODE_EXTRA_CA_CERTS=${BUNDLE}`,
      '',
    ];
    await writeFile(join(dir, 'Dockerfile'), dockerfile.join('\n'));
    await buildImage(dir, tag, { signal });
  });
};

const npmPack = async (spec: string, dir: string, signal?: AbortSignal): Promise<string> => {
  const out = await run('npm', ['pack', '--silent', '--pack-destination', dir, spec], {
    cwd: dir,
    timeoutMs: 300_000,
    signal,
  });
  return join(dir, out.trim().split('\n').at(-1) ?? '');
};

const NODE_DOCKERFILE = `FROM ${DEBIAN_IMAGE}
COPY node /usr/local/bin/node
COPY npm /usr/local/lib/node_modules/npm
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm \\
 && ln -s ../lib/node_modules/npm/bin/npx-cli.js /usr/local/bin/npx \\
 && chmod 755 /usr/local/lib/node_modules/npm/bin/*-cli.js \\
 && groupadd --gid 1000 node && useradd --uid 1000 --gid node --shell /bin/bash --create-home node \\
 && node --version && npm --version
ENV NODE_EXTRA_CA_CERTS=${BUNDLE}
CMD ["node"]
`;

const makeNode = async (report: LabReport, signal?: AbortSignal): Promise<void> => {
  // The engine's architecture, not this process's: the two differ where the engine runs in a virtual machine.
  const arch = await docker(['info', '--format', '{{.Architecture}}'], { signal });
  const cpu = /aarch64|arm64/.test(arch) ? 'arm64' : 'x64';
  report({
    code: 'image.make',
    message: `no registry answers: making ${NODE_IMAGE} from node-linux-${cpu}@24`,
  });
  await withDir(async (dir) => {
    const [node, npm] = await Promise.all([
      npmPack(`node-linux-${cpu}@24`, dir, signal),
      npmPack('npm@11', dir, signal),
    ]);
    const context = join(dir, 'context');
    await mkdir(join(context, 'npm'), { recursive: true });
    const untar = (file: string, ...rest: string[]): Promise<string> =>
      run('tar', ['-xzf', file, '-C', ...rest], { timeoutMs: 60_000, signal });
    await untar(node, context, '--strip-components=2', 'package/bin/node');
    await untar(npm, join(context, 'npm'), '--strip-components=1');
    // Here and not in the image: a chmod there would store the binary a second time.
    await chmod(join(context, 'node'), 0o755);
    await writeFile(join(context, 'Dockerfile'), NODE_DOCKERFILE);
    await buildImage(context, NODE_IMAGE, { signal });
  });
};

/** The base images by name, with their ids. */
export interface BaseImages {
  debian: { tag: string; id: string };
  node: { tag: string; id: string };
}

const ensure = async (
  tag: string,
  make: () => Promise<void>,
  report: LabReport,
  signal?: AbortSignal,
): Promise<{ tag: string; id: string }> => {
  const there = await imageId(tag, signal);
  if (there) return { tag, id: there };
  if (!(await pull(tag, report, signal))) await make();
  await trustMachine(tag, report, signal);
  const id = await imageId(tag, signal);
  if (!id) throw new FlynnError({ code: 'internal', message: `${tag} is absent after it was made` });
  report({ code: 'image.ready', message: `${tag} is ready` });
  return { tag, id };
};

/** Makes sure of `debian:bookworm-slim` and returns its id. Throws `missing` where it can be neither pulled nor made. */
export const ensureDebian = (report: LabReport, signal?: AbortSignal): Promise<{ tag: string; id: string }> =>
  ensure(DEBIAN_IMAGE, () => debootstrap(report, signal), report, signal);

/** Makes sure of both base images on the machine's engine, which must answer already (`ensureEngine`). */
export const ensureBaseImages = async (report: LabReport, signal?: AbortSignal): Promise<BaseImages> => {
  const debian = await ensureDebian(report, signal);
  const node = await ensure(NODE_IMAGE, () => makeNode(report, signal), report, signal);
  return { debian, node };
};

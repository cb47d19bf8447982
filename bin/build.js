#!/usr/bin/env node
// Builds dist/: commands for oclif, the appliances' bundle with all it needs, sdutil, and the command manifest.
import { execFileSync } from 'node:child_process';
import { cp, mkdir, readFile, rm } from 'node:fs/promises';
import { createWriteStream, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { createGzip } from 'node:zlib';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const dist = join(root, 'dist');

/** Bundled CommonJS needs these names, which ES modules do not have. */
const banner = [
  "import { createRequire as __createRequire } from 'node:module';",
  "import { fileURLToPath as __fileURLToPath } from 'node:url';",
  "import { dirname as __pathDirname } from 'node:path';",
  'const require = __createRequire(import.meta.url);',
  'const __filename = __fileURLToPath(import.meta.url);',
  'const __dirname = __pathDirname(__filename);',
].join('\n');

const common = {
  absWorkingDir: root,
  bundle: true,
  platform: 'node',
  format: 'esm',
  splitting: true,
  sourcemap: false,
  logLevel: 'warning',
  chunkNames: 'chunks/[name]-[hash]',
};

/** A tarball for hosts that have a Node of their own; the same files give the same bytes. */
async function packTool(dir, file) {
  const { pack } = await import('tar-stream');
  const tar = pack();
  for (const name of ['sdutil', 'sdutil.cjs']) {
    const mode = name === 'sdutil' ? 0o755 : 0o644;
    tar.entry({ name: `sdutil/${name}`, mode, mtime: new Date(0) }, await readFile(join(dir, name)));
  }
  tar.finalize();
  await pipeline(tar, createGzip({ level: 9 }), createWriteStream(file));
}

/** Builds everything; the result is complete or the old one stays. */
export async function build() {
  const esbuild = await import('esbuild');
  await rm(dist, { recursive: true, force: true });
  await mkdir(dist, { recursive: true });
  const commands = readdirSync(join(root, 'src/commands'), { recursive: true })
    .filter((file) => file.endsWith('.ts'))
    .map((file) => join('src/commands', file));
  await esbuild.build({
    ...common,
    target: 'node20',
    entryPoints: [...commands, 'src/demo/main.ts'],
    outbase: 'src',
    outdir: dist,
    packages: 'external',
  });
  await esbuild.build({
    ...common,
    target: 'node24',
    entryPoints: ['src/appliance.ts'],
    outdir: join(dist, 'appliance'),
    minify: true,
    keepNames: true,
    // Optional native parts of ssh2: it works without them.
    external: ['cpu-features', '*.node'],
    banner: { js: banner },
  });
  // etcd3 reads its protocol files from `../proto` of where its code lies: the folder beside `chunks`.
  await cp(join(root, 'node_modules/etcd3/proto'), join(dist, 'appliance/proto'), { recursive: true });
  // One file that needs nothing but Node: it goes into images of others.
  await esbuild.build({
    absWorkingDir: root,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    minify: true,
    keepNames: true,
    logLevel: 'warning',
    entryPoints: ['src/sdutil.ts'],
    outfile: join(dist, 'sdutil/sdutil.cjs'),
  });
  await cp(join(root, 'templates/sdutil/sdutil'), join(dist, 'sdutil/sdutil'));
  await packTool(join(dist, 'sdutil'), join(dist, 'sdutil.tar.gz'));
  // The agents bring it to their hosts.
  await cp(join(dist, 'sdutil'), join(dist, 'appliance/sdutil'), { recursive: true });
  execFileSync(process.execPath, [join(root, 'node_modules/oclif/bin/run.js'), 'manifest', root], {
    cwd: root,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await build();

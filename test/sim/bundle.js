// Makes the simulator one script in memory: the product's own sources, with stand-ins for encryption, and one line changed for a mutant.
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import vm from 'node:vm';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** Sources that the simulator has its own of. */
const standIns = { 'src/lib/util/seal.ts': 'test/sim/seal.ts' };

/**
 * The simulator's text, a CommonJS script.
 * @param {{ file: string, find: string, replace: string }} [mutant] one change of one source
 * @returns {Promise<string>}
 */
export async function bundleSim(mutant) {
  const esbuild = await import('esbuild');
  let applied = false;
  const { outputFiles } = await esbuild.build({
    absWorkingDir: root,
    entryPoints: ['test/sim/main.ts'],
    bundle: true,
    write: false,
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    sourcemap: false,
    keepNames: false,
    logLevel: 'silent',
    // Never loaded here: the adapters behind the ports.
    external: ['etcd3', 'dockerode', 'ssh2', 'cpu-features', '*.node'],
    logOverride: { 'empty-import-meta': 'silent' },
    plugins: [
      {
        name: 'simulated',
        setup(build) {
          build.onLoad({ filter: /[/\\]src[/\\]lib[/\\].*\.ts$/ }, async ({ path }) => {
            const name = relative(root, path).replaceAll('\\', '/');
            if (name in standIns)
              return { contents: await readFile(join(root, standIns[name]), 'utf8'), loader: 'ts' };
            if (mutant?.file !== name) return undefined;
            const text = await readFile(path, 'utf8');
            const times = text.split(mutant.find).length - 1;
            if (times !== 1)
              throw new Error(`${name} has the line of this mutant ${times} times: ${mutant.find}`);
            applied = true;
            return { contents: text.replace(mutant.find, () => mutant.replace), loader: 'ts' };
          });
        },
      },
    ],
  });
  if (mutant && !applied) throw new Error(`${mutant.file} is no part of the simulator`);
  return outputFiles[0].text;
}

/**
 * Runs the script in this process; returns what it exports.
 * @param {string} text
 * @returns {{ runSeed: (options: object) => Promise<any>, invariants: Record<string, string> }}
 */
export function loadSim(text) {
  const module = { exports: {} };
  const load = vm.runInThisContext(`(function (exports, require, module) {${text}\n})`, {
    filename: 'simulator.js',
  });
  load(module.exports, createRequire(join(root, 'package.json')), module);
  return module.exports;
}

/**
 * The command that runs exactly this again.
 * @param {object} options of the run
 * @returns {string}
 */
export function replay({ seed, hosts, minutes, restore }) {
  return `npm run sim -- --seed ${seed} --hosts ${hosts} --minutes ${minutes}${restore ? ' --restore' : ''}`;
}

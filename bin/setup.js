#!/usr/bin/env node
// Makes a fresh checkout ready: dependencies installed, dist/ built from the sources as they are now.
// Plain Node, no dependencies: it runs before there are any. Says nothing when there is nothing to do.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, realpathSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The checkout. */
export const root = dirname(dirname(fileURLToPath(import.meta.url)));
const stamp = join(root, 'dist', '.inputs');
/** What dist/ is made of, relative to the checkout. */
const inputs = ['src', 'templates', 'bin/build.js', 'package.json', 'tsconfig.json'];

/** Thrown when a step ends with another exit code than 0. */
class SetupError extends Error {
  /**
   * @param {string} message
   * @param {number} exitCode
   */
  constructor(message, exitCode) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** True when node_modules is absent or older than package-lock.json. */
function dependenciesMissing() {
  const installed = join(root, 'node_modules', '.package-lock.json');
  if (!existsSync(installed)) return true;
  return statSync(join(root, 'package-lock.json')).mtimeMs > statSync(installed).mtimeMs;
}

function files(path) {
  const info = statSync(path, { throwIfNoEntry: false });
  if (!info) return [];
  if (!info.isDirectory()) return [`${relative(root, path)} ${info.mtimeMs} ${info.size}`];
  return readdirSync(path)
    .sort()
    .flatMap((name) => files(join(path, name)));
}

/** A digest of names, times and sizes of everything that dist/ is made of. */
function inputsDigest() {
  const hash = createHash('sha256');
  for (const line of inputs.flatMap((name) => files(join(root, name)))) hash.update(`${line}\n`);
  return hash.digest('hex');
}

/** True when dist/ was not built from the sources as they are now. */
function buildStale() {
  return !existsSync(stamp) || readFileSync(stamp, 'utf8') !== inputsDigest();
}

/** Notes what dist/ was built from; `digest` is taken before the build, so that an edit meanwhile counts as stale. */
function recordBuild(digest) {
  writeFileSync(stamp, digest);
}

function step(title, command, args) {
  process.stderr.write(`- ${title}\n`);
  const start = performance.now();
  // The steps' own output is progress: on stderr, so that stdout stays the result.
  const done = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2] });
  if (done.error) throw new SetupError(`${title}: ${done.error.message}`, 7);
  if (done.status !== 0)
    throw new SetupError(`${title} ended with ${done.status ?? done.signal}`, done.status ?? 1);
  process.stderr.write(`+ ${title} (${((performance.now() - start) / 1000).toFixed(1)} s)\n`);
}

/**
 * Installs and builds what is missing or stale. Throws SetupError.
 * @param {{ build?: boolean }} [options] `build: false` leaves dist/ alone
 */
export function setup({ build = true } = {}) {
  if (dependenciesMissing()) step('npm ci', 'npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error']);
  if (!build || !buildStale()) return;
  const digest = inputsDigest();
  step('npm run build', process.execPath, [join(root, 'bin', 'build.js')]);
  recordBuild(digest);
}

/** `setup` for scripts: ends the process with its exit code when a step fails. */
export function setupOrExit(options) {
  try {
    setup(options);
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    process.stderr.write(`Error: ${error.message}\n`);
    process.exit(error.exitCode);
  }
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) setupOrExit();

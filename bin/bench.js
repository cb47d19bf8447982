#!/usr/bin/env node
// `npm run bench -- NAME`: measures one thing beside its peers; people read stderr, programs the last line of stdout.
import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { root, setupOrExit } from './setup.js';

const dir = join(root, 'test/bench');
const name = process.argv[2] ?? '';
if (!/^[a-z]+$/.test(name) || name === 'bench' || !existsSync(join(dir, `${name}.ts`))) {
  const names = readdirSync(dir)
    .filter((file) => file.endsWith('.ts'))
    .map((file) => file.replace(/\.ts$/, ''))
    .filter((file) => file !== 'bench');
  console.error(`there is no bench '${name}': ${names.join(', ')}`);
  process.exit(2);
}
setupOrExit();
const child = spawn(
  process.execPath,
  ['--import', 'tsx', join(dir, `${name}.ts`), ...process.argv.slice(3)],
  {
    cwd: root,
    stdio: 'inherit',
  },
);
child.once('exit', (code) => (process.exitCode = code ?? 1));
